"""What a worker needs to train one student. Standard library only: a plan does not load torch."""

import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.ladder import Shape
from sweeps import store
from sweeps.distil.params import WAYS, Way, check_on_policy
from sweeps.grid import Cell
from sweeps.schedule import Fork, fork

SUITE = "distillation"


@dataclass(frozen=True)
class DistilJob:
    """One student and all it takes to train it; record, metrics and checkpoint go to a directory below `runs`.

    `recipe` is that of a suite with code_digest as `code_digest` here gives it; `teacher` a Hugging Face directory and
    `teacher_digest` its checkpoint_digest. Raises ValueError for a way or a number of tokens that cannot be.
    """

    way: Way
    teacher: Path
    teacher_digest: str
    shape: Shape
    seed: int
    tokens: int
    on_policy_share: float
    beta: float
    recipe: store.Recipe
    data: Path
    runs: Path
    revision: str

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise ValueError(f"way {self.way!r}: give one of {', '.join(WAYS)}")
        check_on_policy(self.on_policy_share, self.beta)
        training = self.recipe.training
        if self.steps < 2 * training.warmup_steps:
            raise ValueError(
                f"tokens {self.tokens} are {self.steps} steps of {training.batch_tokens}: give at least "
                f"{2 * training.warmup_steps * training.batch_tokens} (twice the warm-up)"
            )

    @property
    def name(self) -> str:
        """w0016-s0/on-policy: the cell and the way."""
        return f"{self.cell.name}/{self.way}"

    @property
    def directory(self) -> Path:
        """Where the student lies."""
        return self.runs / SUITE / self.name

    @property
    def steps(self) -> int:
        """Optimiser steps, the same for every way: as many whole batches as come closest to the tokens."""
        return round(self.tokens / self.recipe.training.batch_tokens)

    @property
    def cell(self) -> Cell:
        """The student as a cell of a sweep: initial weights and order of the documents follow from it."""
        return Cell(SUITE, "decoder", self.shape.width, self.seed, (self.steps,), layers=self.shape.layers)

    @property
    def fork(self) -> Fork:
        """Where the rate begins to cool down, and the end."""
        return fork(self.steps, self.recipe.training.cooldown_share, self.recipe.training.warmup_steps)

    @property
    def own_samples_from(self) -> int:
        """The step from which the student trains on its own samples; the last one where it never does."""
        return self.steps - round(self.on_policy_share * self.steps) * (self.way == "on-policy")

    @property
    def fingerprint(self) -> str:
        """Identity of the student: what its way does not use is left out, so that data needs no teacher."""
        identity: dict[str, Any] = {name: getattr(self, name) for name in ("way", "seed", "steps")}
        identity |= {"width": self.shape.width, "layers": self.shape.num_layers, "recipe": asdict(self.recipe)}
        if self.way != "data":
            identity["teacher"] = self.teacher_digest
        if self.way == "on-policy":
            trl = importlib.metadata.version("trl")
            identity |= {"on_policy_share": self.on_policy_share, "beta": self.beta, "trl": trl}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def is_settled(self) -> bool:
        """Whether the student of this fingerprint lies in the directory, trained or diverged."""
        record = store.read_record(self.directory)
        return record is not None and record["fingerprint"] == self.fingerprint


def code_digest(root: Path) -> str:
    """Digest of the training path's code and of this room's."""
    own = sorted(str(path.relative_to(root)) for path in (root / "sweeps" / "distil").glob("*.py"))
    return store.code_digest(root, [*store.TRAINING_PATH, *own])


def checkpoint_digest(checkpoint: Path) -> str:
    """Digest of the weights and the config; raises ValueError where the directory has none."""
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        try:
            digest.update((checkpoint / name).read_bytes())
        except FileNotFoundError:
            raise ValueError(f"teacher {checkpoint} has no {name}: give a Hugging Face directory") from None
    return digest.hexdigest()
