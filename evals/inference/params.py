"""What the inference stage measures. Standard library only: params.yaml is read with it."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from evals.inference.job import COMPOSITIONS, KINDS, TECHNIQUES, Precision
from models.ladder import Shape

RANDOM = "random"
LOWERED = [name for name, kind in KINDS.items() if kind == "precision" and not name.endswith("-qat")]


@dataclass(frozen=True)
class Measured:
    """A part of the grid: every technique on every model with every prompt, output, batch and dtype.

    models: `cell` of the suite that is measured, `suite/cell` of another, or `random`; without any the cells of that
    suite but the drafter. Of a cell the branch of most tokens is meant. Lengths are in tokens; a technique may be a
    composition, `first x second`. least_seconds: of these rows, in place of the stage's. No row is asked for twice
    with different seconds.
    """

    techniques: tuple[str, ...]
    models: tuple[str, ...] = ()
    prompts: tuple[int, ...] = (64,)
    outputs: tuple[int, ...] = (64,)
    batches: tuple[int, ...] = (4,)
    dtypes: tuple[Precision, ...] = ("float32",)
    least_seconds: float | None = None  # the stage's

    def __post_init__(self) -> None:
        for technique in self.techniques:
            if technique not in (*TECHNIQUES, *COMPOSITIONS):
                raise ValueError(
                    f"techniques has {technique!r}: choose of {', '.join(TECHNIQUES)}, or {', '.join(COMPOSITIONS)}"
                )
        for name in ("techniques", "prompts", "outputs", "batches", "dtypes"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: list at least one")
        for name in ("prompts", "outputs", "batches"):
            for value in getattr(self, name):
                if value < 1:
                    raise ValueError(f"{name} has {value}: give 1 or more")
        _check_seconds(self.least_seconds or 0.0)

    def grid(self) -> Iterator[tuple[str, int, int, int, Precision]]:
        """(technique, prompt, output, batch, dtype) of every row of a model."""
        return itertools.product(self.techniques, self.prompts, self.outputs, self.batches, self.dtypes)


@dataclass(frozen=True)
class RandomModel:
    """A size of the ladder, and its depth where that is not the ladder's."""

    size: int
    layers: int | None = None

    @property
    def shape(self) -> Shape:
        """Of the model; raises ValueError where there is no such size."""
        return Shape(self.size, self.layers)

    def __post_init__(self) -> None:
        _ = self.shape


@dataclass(frozen=True)
class InferenceParams:
    """The stage's part of params.yaml.

    suite: whose cells are measured. drafter: the cell that drafts for the others. pairs: turns that both sides take.
    least_seconds: where so many take less, they take as many more as last so long, to 31; ranks do not. random: the
    shape of a model with random weights, for speed alone. precision: techniques of which every branch of the suite
    tells what they cost it.
    """

    measured: tuple[Measured, ...]
    drafter: str
    suite: str = "inference"
    pairs: int = 7
    least_seconds: float = 0.0
    random: RandomModel | None = None
    precision: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.measured:
            raise ValueError("measured is empty: list at least one block of techniques")
        if self.pairs < 6:
            raise ValueError(f"pairs is {self.pairs}: give 6 or more, fewer have no interval of 95%")
        _check_seconds(self.least_seconds)
        for technique in self.precision:
            if technique not in LOWERED:
                raise ValueError(f"precision has {technique!r}: choose of {', '.join(LOWERED)}")
        for index, block in enumerate(self.measured):
            if RANDOM in block.models and self.random is None:
                raise ValueError(f"measured[{index}].models has random: give random, with its size, too")


def _check_seconds(least_seconds: float) -> None:
    if not 0 <= least_seconds < math.inf:
        raise ValueError(f"least_seconds is {least_seconds}: give a finite number, 0 or more")
