"""params.yaml as a tree of frozen dataclasses, read here and nowhere else; unknown keys are refused by name."""

import difflib
import math
import types
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from analysis.params import FitParams
from evals.abilities.params import AbilitiesParams
from evals.inference.params import InferenceParams
from evals.longcontext.params import LongContextParams, WorldParams
from experiments.executors.params import ExecutorParams
from models.tokenizer import check_vocab_size
from sweeps.corpus import CorpusParams, ValidationParams
from sweeps.distil.params import DistillationParams
from sweeps.grid import Suite
from sweeps.posttrain.params import PosttrainParams


@dataclass(frozen=True)
class TokenizerParams:
    """Byte-level BPE; 260 entries are the 256 bytes, four specials and no merges."""

    vocab_size: int = 260

    def __post_init__(self) -> None:
        check_vocab_size(self.vocab_size)


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml."""

    corpus: CorpusParams
    validation: ValidationParams
    tokenizer: TokenizerParams
    executor: ExecutorParams
    suites: dict[str, Suite]
    fit: FitParams
    abilities: AbilitiesParams | None = None
    inference: InferenceParams | None = None
    distillation: DistillationParams | None = None
    world: WorldParams | None = None
    longcontext: LongContextParams | None = None
    posttrain: PosttrainParams | None = None

    def __post_init__(self) -> None:
        for name, suite in self.suites.items():
            if suite.data == "abilities" and self.abilities is None:
                raise ValueError(f"suites.{name}.data is abilities and abilities is missing: add it, with its shares")
            if suite.data == "world" and self.world is None:
                raise ValueError(f"suites.{name}.data is world and world is missing: add it, with its lessons")
        if self.posttrain is not None and self.longcontext is None:
            raise ValueError("posttrain goes on from longcontext.model and longcontext is missing: add it")
        asks = {"inference": self.inference, "distillation": self.distillation, "longcontext": self.longcontext}
        for name, asked in asks.items():
            if asked is not None and asked.suite not in self.suites:
                raise ValueError(f"{name}.suite is {asked.suite!r}: choose one of {', '.join(self.suites)}")
        asked = self.longcontext
        if asked is not None and self.suites[asked.suite].data != "world":
            raise ValueError(f"longcontext.model is {asked.model!r}: name a suite whose data is world")


def load(path: Path) -> Params:
    """Reads the file; raises ValueError with one line that names the key, the value and the remedy."""
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text())  # As DVC reads it: a key twice is refused.
    except FileNotFoundError:
        raise ValueError(f"{path} is not there: run at the root of a scalelab checkout") from None
    except MarkedYAMLError as error:
        raise ValueError(f"{path}, {_yaml_fault(error)}: mend the YAML there") from None
    except (YAMLError, ValueError, LookupError, OverflowError) as error:  # or no value of its tag
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        raise ValueError(f"{path} is empty: `scalelab use laptop` puts the default in place")
    return build(Params, tree, "")


def _yaml_fault(error: MarkedYAMLError) -> str:
    """The line, what is wrong there, and where that began."""
    problem = " ".join(error.problem.partition(" with value ")[0].split())
    began = f" ({error.context}, from line {error.context_mark.line + 1})" if error.context_mark else ""
    return f"line {error.problem_mark.line + 1}: {problem}{began}"


def build(kind: Any, value: Any, where: str) -> Any:
    """`value` (parsed YAML) as an instance of `kind`; `where` is its dotted place, for messages."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else build(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}: choose one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} is {value!r}: give a list")
        return tuple(build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {value!r}: give a mapping of names")
        return {str(name): build(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    return _build_scalar(kind, value, where)


def _build_dataclass(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'params'} is {value!r}: give a mapping")
    known = {field.name: field for field in fields(kind)}
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
            raise ValueError(f"{_place(where, key)} is not a known key: {hint}")
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{_place(where, name)} is missing: add it")
    built = {key: build(hints[key], item, _place(where, key)) for key, item in value.items()}
    try:
        return kind(**built)
    except ValueError as error:
        section = where.rpartition(".")[2]
        message = str(error)
        raise ValueError(message if not where or message.startswith(section) else f"{where}: {message}") from None


def _build_scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        # YAML 1.1 reads 1e12 (no dot, no sign) as text.
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"{where} is {value!r}: give a number") from None
    if kind is int and isinstance(value, float | str):
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{where} is {value!r}: give a whole number") from None
        if not math.isfinite(number) or number != int(number):
            raise ValueError(f"{where} is {value!r}: give a whole number")
        return int(number)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(f"{where} is {value!r}: give a value of type {kind.__name__}")
    return value


def _place(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)
