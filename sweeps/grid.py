"""A suite's params and the cells they name: a trunk a (family, shape, seed, unique tokens), a branch a token count."""

import math
from dataclasses import dataclass
from typing import Literal

from models.ladder import Shape

Family = Literal["decoder"]
Precision = Literal["float32", "bfloat16"]
Data = Literal["text", "abilities", "world"]


@dataclass(frozen=True)
class Training:
    """How every cell of a suite is trained; `learning_rate` is muP's, one value for all widths."""

    sequence_length: int = 128
    batch_tokens: int = 1024
    learning_rate: float = 0.01
    warmup_steps: int = 50
    cooldown_share: float = 0.2
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip_norm: float = 1.0
    precision: Precision = "float32"
    compile: bool = True

    def __post_init__(self) -> None:
        for name in ("sequence_length", "batch_tokens", "learning_rate", "clip_norm", "warmup_steps"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: give a number above 0")
        if self.batch_tokens % self.sequence_length:
            raise ValueError(
                f"batch_tokens {self.batch_tokens} is not divisible by sequence_length {self.sequence_length}: "
                f"use {max(1, self.batch_tokens // self.sequence_length) * self.sequence_length}"
            )
        for name in ("beta1", "beta2", "cooldown_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give a number between 0 and 1")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay is {self.weight_decay}: give 0 or more")

    @property
    def batch_rows(self) -> int:
        """Windows a batch."""
        return self.batch_tokens // self.sequence_length


@dataclass(frozen=True)
class Block:
    """A part of the grid: a rectangle (sizes x tokens) or compute budgets in training FLOPs (sizes x budgets).

    A budget gives each size the tokens that it pays for, so that smaller models get more of them; min_tokens and
    max_tokens leave out the corners of that band nobody would train. With unique_tokens the block trains over that many
    distinct tokens, again and again; without it no token is seen twice. With layers every size is trained at each of
    these depths instead of its own.
    """

    sizes: tuple[int, ...]
    seeds: tuple[int, ...] = (0,)
    tokens: tuple[int, ...] = ()
    budgets: tuple[float, ...] = ()
    min_tokens: int = 1
    max_tokens: int | None = None
    unique_tokens: int | None = None
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.tokens) == bool(self.budgets):
            raise ValueError("a block of the grid has tokens or budgets: give exactly one of the two lists")
        for name in ("sizes", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: list at least one")
        for name in ("tokens", "budgets"):
            for value in getattr(self, name):
                if not 0 < value < math.inf:
                    raise ValueError(f"{name} has {value}: give numbers above 0")
        for seed in self.seeds:
            if seed < 0:
                raise ValueError(f"seeds has {seed}: give 0 or more")
        _ = self.shapes

    @property
    def shapes(self) -> list[Shape]:
        """Every size at every depth."""
        return [Shape(width, layers) for width in self.sizes for layers in self.layers or (None,)]

    def token_counts(self, shape: Shape, vocab_size: int, sequence_length: int) -> list[int]:
        """Tokens of each branch of that shape, as asked for (not yet whole batches)."""
        per_token = shape.flops_per_token(vocab_size, sequence_length)
        asked = list(self.tokens) or [round(budget / per_token) for budget in self.budgets]
        return [n for n in asked if self.min_tokens <= n <= (self.max_tokens or n)]


@dataclass(frozen=True)
class Suite:
    """One question: a family, a grid, how it is trained, and on what: the corpus, the abilities' mixture, the world."""

    family: Family
    grid: tuple[Block, ...]
    training: Training
    data: Data = "text"

    def __post_init__(self) -> None:
        if not self.grid:
            raise ValueError("grid is empty: give at least one block of sizes and tokens")
        for index, block in enumerate(self.grid):
            if block.unique_tokens is not None and block.unique_tokens < self.training.batch_tokens:
                raise ValueError(
                    f"grid[{index}].unique_tokens is {block.unique_tokens}: give one batch "
                    f"({self.training.batch_tokens}) or more"
                )


@dataclass(frozen=True)
class Cell:
    """One trunk and its branches: `steps` are the optimiser steps at which branches end, ascending.

    unique_tokens: as in its block. layers: None where depth follows width.
    """

    suite: str
    family: Family
    width: int
    seed: int
    steps: tuple[int, ...]
    unique_tokens: int | None = None
    layers: int | None = None

    @property
    def shape(self) -> Shape:
        """Of its model."""
        return Shape(self.width, self.layers)

    @property
    def name(self) -> str:
        """Its directory below its suite: w0032-s0, w0032-l24-s0 where depth is given, w0032-s0-u65536 of a repeat."""
        return f"{self.shape.name}-s{self.seed}" + f"-u{self.unique_tokens}" * (self.unique_tokens is not None)


def branch_name(tokens: int) -> str:
    """The branch's directory below its cell."""
    return f"t{tokens}"


def cells(name: str, suite: Suite, vocab_size: int) -> list[Cell]:
    """The suite's cells by width, seed and unique tokens; blocks that name the same cell join their token counts.

    Token counts are rounded to whole batches. Raises ValueError where a branch is too short for its warm-up, and where
    no branch is left.
    """
    training = suite.training
    steps: dict[tuple[Shape, int, int | None], set[int]] = {}
    for block in suite.grid:
        for shape in block.shapes:
            counts = block.token_counts(shape, vocab_size, training.sequence_length)
            for seed in block.seeds:
                ends = steps.setdefault((shape, seed, block.unique_tokens), set())
                ends.update(round(n / training.batch_tokens) for n in counts)
    if not any(steps.values()):
        raise ValueError(f"suites.{name}: grid has no run left between min_tokens and max_tokens: widen that band")
    shortest = 2 * training.warmup_steps
    for (shape, _, _), ends in steps.items():
        if ends and min(ends) < shortest:
            raise ValueError(
                f"tokens at size {shape.width} are {min(ends)} whole steps of {training.batch_tokens}: give at least "
                f"{shortest * training.batch_tokens} (twice the warm-up) or lower warmup_steps or batch_tokens"
            )
    made = [
        Cell(name, suite.family, shape.width, seed, tuple(sorted(ends)), unique, shape.layers)
        for (shape, seed, unique), ends in steps.items()
        if ends
    ]
    return sorted(made, key=lambda cell: (cell.width, cell.layers or 0, cell.seed, cell.unique_tokens or 0))
