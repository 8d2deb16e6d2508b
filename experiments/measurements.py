"""The grid of the inference stage: which technique on which checkpoint, and the rows kept from earlier runs."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evals.inference.job import KINDS, Job
from evals.inference.params import RANDOM, InferenceParams
from experiments.abilities import ITEMS
from experiments.evaluate import ability_tasks
from experiments.points import settled_branches
from experiments.project import ABILITIES, CACHE, CODE_ROOT, DATA, Project, git_revision
from models.ladder import Shape
from sweeps import store

ROWS = "measurements"  # below runs/
RANDOM_WINDOW = 1024
# What quantisation-aware training may choose from: so many tokens, in so many parts of the corpus.
TRAINING_TOKENS, TRAINING_PARTS = 400_000, 100
MEASURED_BY = ("evals/inference", "models/decoding", "experiments/measurements.py")
LIBRARIES = ("torch", "transformers", "torchao")


@dataclass(frozen=True)
class Target:
    """A checkpoint that is measured.

    tokens: it was trained on, None for random weights. data: where the text lies that it is measured on. tasks: that it
    learned.
    """

    name: str
    checkpoint: Path
    params: int
    tokens: int | None
    drafter: Path | None
    data: Path
    tasks: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """Of its weights and tokenizer, and its drafter's."""
        digest = hashlib.sha256()
        for folder in filter(None, (self.checkpoint, self.drafter)):
            for path in sorted(folder.iterdir()):
                digest.update(f"{path.name}\n".encode() + path.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Measurement:
    """A row to be, and where it is kept."""

    target: Target
    job: Job
    path: Path
    identity: str

    @property
    def alone(self) -> bool:
        """Whether it wants the machine for itself: several processes, or weights that fill the memory's bandwidth."""
        return KINDS.get(self.job.technique) == "parallel" or self.target.tokens is None

    def read(self) -> dict[str, Any] | None:
        """The row, None where it was not measured yet by this code on this machine."""
        try:
            kept = store.read_json(self.path)
        except FileNotFoundError:
            return None
        return kept["row"] if kept["identity"] == self.identity else None

    def keep(self, row: dict[str, Any]) -> None:
        """Writes the row with what the measuring process cannot know."""
        about = {"model": self.target.name, "trained": self.target.tokens is not None, "tokens": self.target.tokens}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        store.write_json(self.path, {"identity": self.identity, "row": row | about})


class Measurements:
    """What params ask for of a project. Raises ValueError where a model that they name is none or is not trained."""

    def __init__(self, project: Project, params: InferenceParams) -> None:
        self.project, self.params = project, params
        self._targets: dict[str, Target] = {}
        self._texts: dict[Path, str] = {}

    @cached_property
    def rows(self) -> list[Measurement]:
        """One a technique, model and cell of the grid, each once."""
        found: dict[Path, Measurement] = {}
        for block in self.params.measured:
            for name in block.models or self.own_models:
                target = self.target(name)
                for technique, prompt, output, batch, dtype in block.grid():
                    tasks = target.tasks if KINDS.get(technique) == "precision" else ()
                    training = self.training_text(target.data) if technique.endswith("-qat") else None
                    job = Job(
                        technique, target.checkpoint, target.drafter, self.text(target.data), prompt, output, batch,
                        self.params.pairs, self.project.params.executor.device, dtype, training, tasks,
                        ITEMS if tasks else None,
                    )  # fmt: skip
                    one = self._measurement(target, job)
                    found[one.path] = one
        return list(found.values())

    @property
    def own_models(self) -> list[str]:
        """The cells of the suite but the drafter."""
        return [cell.name for cell in self.project.cells(self.params.suite) if cell.name != self.params.drafter]

    def target(self, name: str) -> Target:
        """The model of that name: `cell`, `suite/cell` or `random`."""
        if name not in self._targets:
            self._targets[name] = self._random() if name == RANDOM else self._trained(name)
        return self._targets[name]

    def branches(self, suite: str) -> Iterator[tuple[str, Path, dict[str, Any]]]:
        """(cell, checkpoint, record) of every branch that is done, of a cell in the order of its tokens."""
        for job, directory, record in settled_branches(self.project, suite):
            if record["status"] == "done":
                yield job.cell.name, directory / "checkpoint", record

    def _trained(self, name: str) -> Target:
        suite, _, cell = f"{self.params.suite}/{name}".rpartition("/")
        suite = suite.rpartition("/")[2]
        longest = {found: (checkpoint, record) for found, checkpoint, record in self.branches(suite)}
        for wanted in (cell, *([self.params.drafter] if suite == self.params.suite else [])):
            if wanted not in longest:
                raise ValueError(f"inference names {wanted!r}, which is no cell of {suite}: use {', '.join(longest)}")
        checkpoint, record = longest[cell]
        own = suite == self.params.suite
        of_text = self.project.suite(suite).data == "text"
        return Target(
            name,
            checkpoint,
            record["params_non_embedding"],
            record["tokens"],
            longest[self.params.drafter][0] if own and cell != self.params.drafter else None,
            DATA if of_text else ABILITIES,
            () if of_text else tuple(ability_tasks(self.project.abilities)),
        )

    def _random(self) -> Target:
        assert self.params.random is not None
        shape = self.params.random.shape
        place = CACHE / RANDOM / shape.name
        if not place.exists():
            _write_random(shape, self.project.params.tokenizer.vocab_size, place)
        return Target(RANDOM, place, shape.params_non_embedding, None, None, DATA, ())

    def text(self, data: Path) -> str:
        """Held-out text of that data."""
        if data not in self._texts:
            self._texts[data] = held_out_text(data)
        return self._texts[data]

    def training_text(self, data: Path) -> str:
        """Parts of what was trained on, from all over it."""
        name = data / "train.txt"
        if name not in self._texts:
            self._texts[name] = _parts(data)
        return self._texts[name]

    def _measurement(self, target: Target, job: Job) -> Measurement:
        fields = {name: value for name, value in asdict(job).items() if name not in ("text", "training_text")}
        texts = [hashlib.sha256((text or "").encode()).hexdigest() for text in (job.text, job.training_text)]
        what = [json.dumps(fields, sort_keys=True, default=str), *texts, target.digest, self._by]
        identity = hashlib.sha256("\n".join(what).encode()).hexdigest()[:16]
        cell = f"p{job.prompt_tokens}-o{job.new_tokens}-b{job.batch}-{job.dtype}"
        name = f"{job.technique.replace(' ', '')}-{cell}.json"
        return Measurement(target, job, self.project.runs / ROWS / target.name / name, identity)

    @cached_property
    def _by(self) -> str:
        """The code that measures, the libraries and the machine."""
        digest = hashlib.sha256()
        for name in MEASURED_BY:
            path = CODE_ROOT / name
            for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
                digest.update(file.read_bytes())
        versions = [importlib.metadata.version(library) for library in LIBRARIES]
        return " ".join([digest.hexdigest(), *versions, platform.node(), processor()])


def held_out_text(folder: Path) -> str:
    """The held-out documents there, one after another; raises ValueError where there are none."""
    path = folder / "validation.jsonl"
    if not path.exists():
        raise ValueError(f"{path} is not there: run `dvc repro {folder.name}`, or name a file with --text")
    return _documents(path)


def _documents(path: Path) -> str:
    return "\n".join(json.loads(line)["text"] for line in path.read_text().splitlines())


def _parts(data: Path) -> str:
    if data == ABILITIES:
        return _documents(data / "documents.jsonl")[:TRAINING_TOKENS]
    import numpy as np
    from transformers import AutoTokenizer

    from sweeps.tokens import load_tokens

    tokens = load_tokens(data)
    tokenizer: Any = AutoTokenizer.from_pretrained(tokens.tokenizer_path)
    step = max(1, len(tokens.train) // TRAINING_PARTS)
    parts = [
        tokens.train[start : start + TRAINING_TOKENS // TRAINING_PARTS] for start in range(0, len(tokens.train), step)
    ]
    return tokenizer.decode(np.concatenate(parts).tolist(), skip_special_tokens=True)


def _write_random(shape: Shape, vocab_size: int, place: Path) -> None:
    """Random weights, the output head's too: it begins at zero, where every token is as good as every other."""
    import torch

    from models import checkpoint, decoder

    model = decoder.build(shape, vocab_size, RANDOM_WINDOW, seed=0)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(0))
    checkpoint.save(model, DATA / "tokenizer", place)


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def machine() -> dict[str, Any]:
    """What the rows were measured on and by which revision."""
    return {"processor": processor(), "system": platform.platform(), "revision": git_revision()}
