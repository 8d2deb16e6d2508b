"""The grid of the inference stage: which technique on which checkpoint, and the rows kept from earlier runs."""

import hashlib
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evals.inference.job import KINDS, Job
from evals.inference.params import RANDOM, InferenceParams
from experiments.abilities import ITEMS
from experiments.evaluate import ability_tasks, judge_identity
from experiments.points import checkpoint_of, settled_branches
from experiments.project import ABILITIES, CACHE, CODE_ROOT, DATA, Project, git_revision
from models.ladder import Shape
from sweeps import store

ROWS = "measurements"  # below runs/
RANDOM_WINDOW = 1024
# What quantisation-aware training may choose from: so many tokens, in so many parts of the corpus.
TRAINING_TOKENS, TRAINING_PARTS = 400_000, 100
MEASURED_BY = ("evals/inference", "models/decoding", "experiments/isolated.py", "experiments/measurements.py")
RANDOM_DRAFTER_LAYERS = 2
LIBRARIES = ("torch", "transformers", "torchao")


@dataclass(frozen=True)
class Target:
    """A checkpoint that is measured.

    suite: it was trained in, on so many tokens; both None for random weights. data: where the text lies that it is
    measured on. tasks: that it learned.
    """

    name: str
    suite: str | None
    checkpoint: Path
    params: int
    tokens: int | None
    drafter: Path | None
    data: Path
    tasks: tuple[str, ...]

    @property
    def is_random(self) -> bool:
        """Whether its weights are."""
        return self.suite is None

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
        """Whether it wants the machine for itself: ranks are several processes."""
        return KINDS.get(self.job.technique) == "parallel"

    def read(self) -> dict[str, Any] | None:
        """The row, None where it was not measured yet by this code on this machine."""
        try:
            kept = store.read_json(self.path)
        except FileNotFoundError:
            return None
        return kept["row"] if kept["identity"] == self.identity else None

    def keep(self, row: dict[str, Any]) -> None:
        """Writes the row with what the measuring process cannot know."""
        target = self.target
        about = {
            "model": target.name, "suite": target.suite, "trained": not target.is_random, "tokens": target.tokens,
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        store.write_json(self.path, {"identity": self.identity, "row": row | about})


class Measurements:
    """What params ask for of a project; a dry run leaves out random weights that are still to be made.

    Raises ValueError where a model that they name is none, is not trained, or diverged.
    """

    def __init__(self, project: Project, params: InferenceParams, *, dry_run: bool = False) -> None:
        self.project, self.params, self.dry_run = project, params, dry_run
        self._targets: dict[str, Target] = {}
        self._texts: dict[Path, str] = {}

    @cached_property
    def rows(self) -> list[Measurement]:
        """One a technique, model and cell of the grid, each once."""
        found: dict[Path, Measurement] = {}
        for block in self.params.measured:
            for name in block.models or self.own_models:
                if name == RANDOM and self.dry_run and not self._random_place.exists():
                    continue
                target = self.target(name)
                least = self.params.least_seconds if block.least_seconds is None else block.least_seconds
                for technique, prompt, output, batch, dtype in block.grid():
                    tasks = target.tasks if KINDS.get(technique) == "precision" else ()
                    training = self.training_text(target.data) if technique.endswith("-qat") else None
                    job = Job(
                        technique, target.checkpoint, target.drafter, self.text(target.data), prompt, output, batch,
                        self.params.pairs, self.project.params.executor.device, dtype,
                        training_text=training, tasks=tasks, items=ITEMS if tasks else None,
                        least_seconds=least, random=target.is_random,
                    )  # fmt: skip
                    one = self._measurement(target, job)
                    if one.path in found and found[one.path].job != job:
                        raise ValueError(
                            f"measured asks twice for {technique} on {name} with least_seconds {least:g} and "
                            f"{found[one.path].job.least_seconds:g}: give the row one of them"
                        )
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
        """(cell, checkpoint, record) of every branch, of a cell in the order of its tokens."""
        for job, directory, record in settled_branches(self.project, suite):
            yield job.cell.name, directory / "checkpoint", record

    def _trained(self, name: str) -> Target:
        suite, _, cell = f"{self.params.suite}/{name}".rpartition("/")
        suite = suite.rpartition("/")[2]
        longest = {found: (checkpoint, record) for found, checkpoint, record in self.branches(suite)}
        for wanted in (cell, *([self.params.drafter] if suite == self.params.suite else [])):
            if wanted not in longest:
                raise ValueError(f"inference names {wanted!r}, which is no cell of {suite}: use {', '.join(longest)}")
            if longest[wanted][1]["status"] != "done":
                raise ValueError(
                    f"inference names {wanted!r}, which diverged: lower suites.{suite}.training.learning_rate"
                )
            checkpoint_of(longest[wanted][0].parent)  # refused here, before anything is measured
        checkpoint, record = longest[cell]
        own = suite == self.params.suite
        of_text = self.project.suite(suite).data == "text"
        return Target(
            name,
            suite,
            checkpoint,
            record["params_non_embedding"],
            record["tokens"],
            longest[self.params.drafter][0] if own and cell != self.params.drafter else None,
            DATA if of_text else ABILITIES,
            () if of_text else tuple(ability_tasks(self.project.abilities)),
        )

    def _random(self) -> Target:
        assert self.params.random is not None
        shape, place = self.params.random.shape, self._random_place
        if not place.exists():
            partial = place.with_suffix(".part")
            shutil.rmtree(partial, ignore_errors=True)
            vocab_size = self.project.params.tokenizer.vocab_size
            _write_random(shape, vocab_size, partial / "target")
            _write_random(Shape(shape.width, RANDOM_DRAFTER_LAYERS), vocab_size, partial / "drafter")
            partial.replace(place)
        return Target(RANDOM, None, place / "target", shape.params_non_embedding, None, place / "drafter", DATA, ())

    @cached_property
    def _random_place(self) -> Path:
        """Named by what decides the weights and the tokenizer beside them."""
        assert self.params.random is not None
        manifest = self.project.corpus()
        decides = [store.code_digest(CODE_ROOT), manifest["digest"], str(manifest["vocab_size"]), str(RANDOM_WINDOW)]
        digest = hashlib.sha256("\n".join(decides).encode()).hexdigest()[:16]
        return CACHE / RANDOM / f"{self.params.random.shape.name}-{digest}"

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
        what = [json.dumps(fields, sort_keys=True, default=str), *texts, target.digest, self.by]
        if job.tasks:
            what.append(judge_identity(job.tasks))
        identity = hashlib.sha256("\n".join(what).encode()).hexdigest()[:16]
        cell = f"p{job.prompt_tokens}-o{job.new_tokens}-b{job.batch}-{job.dtype}"
        name = f"{job.technique.replace(' ', '')}-{cell}.json"
        return Measurement(target, job, self.project.runs / ROWS / target.name / name, identity)

    @cached_property
    def by(self) -> str:
        """The code that measures, the libraries, the machine and how many processes work on it side by side."""
        names = sorted(
            str(file.relative_to(CODE_ROOT))
            for path in (CODE_ROOT / name for name in MEASURED_BY)
            for file in (path.rglob("*.py") if path.is_dir() else [path])
        )
        versions = [importlib.metadata.version(library) for library in LIBRARIES]
        executor = self.project.params.executor
        machine = [platform.node(), processor(), accelerator(executor.device), str(executor.workers)]
        return " ".join([store.code_digest(CODE_ROOT, names), *versions, *machine])


def held_out_text(folder: Path) -> str:
    """The held-out documents there, one after another; raises ValueError where there are none."""
    path = folder / "validation.jsonl"
    if not path.exists():
        raise ValueError(f"{path} is not there: run `dvc repro {folder.name}`")
    return "\n".join(_documents(path))


def _documents(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def _parts(data: Path) -> str:
    if data == ABILITIES:
        documents = _documents(data / "documents.jsonl")
        step = max(1, sum(map(len, documents)) // TRAINING_TOKENS)
        return "\n".join(documents[::step])
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


def accelerator(device: str) -> str:
    """The accelerator's name; empty on a cpu."""
    if device == "cpu":
        return ""
    import torch

    return torch.cuda.get_device_name(device)


def machine() -> dict[str, Any]:
    """What the rows were measured on and by which revision."""
    return {"processor": processor(), "system": platform.platform(), "revision": git_revision()}
