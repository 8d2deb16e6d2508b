"""Which world the built-in model learns in, and what is compared at which lengths. Standard library only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evals.longcontext.lexicon import Lexicon
from evals.longcontext.tasks import TASKS
from evals.longcontext.world import WINDOW

Profile = Literal["sealed", "open"]
ArmName = Literal[
    "direct", "truncation", "bm25", "dense", "agentic", "summary", "map-reduce", "offload", "rlm-0", "rlm-1", "rlm-2"
]
DIRECT_TOKENS = 16_384  # that `direct` reads at once at most, question and answer included


@dataclass(frozen=True)
class WorldParams:
    """The world and its lessons.

    lessons: documents to train on; held_out: with compositions that no lesson has, to validate on. words: of the
    lexicon; seed: of lexicon and draws.
    """

    lessons: int
    held_out: int = 1000
    words: int = 3000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("lessons", "held_out"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give 1 or more")
        _ = self.lexicon

    @property
    def lexicon(self) -> Lexicon:
        """Raises ValueError for too few words or too many."""
        return Lexicon(self.seed, self.words)


@dataclass(frozen=True)
class Measured:
    """A part of the grid: every arm on every task at every length, on the same `items` of each.

    windows: lengths of contexts in windows of 128 tokens, 32 of the last left free for question and answer. profile: of
    the sandbox, for arms that run programs.
    """

    tasks: tuple[str, ...]
    arms: tuple[ArmName, ...]
    windows: tuple[int, ...]
    items: int
    profile: Profile = "sealed"

    def __post_init__(self) -> None:
        _check(self, ("tasks", "arms", "windows"))
        check_direct(self.arms, self.windows)


@dataclass(frozen=True)
class Gated:
    """Where the gates of honesty are run: with `rlm-1`, in the sealed profile."""

    tasks: tuple[str, ...]
    windows: tuple[int, ...]
    items: int

    def __post_init__(self) -> None:
        _check(self, ("tasks", "windows"))


@dataclass(frozen=True)
class LongContextParams:
    """What the long-context stage compares. model: `suite/cell`, of which the branch of most tokens is asked."""

    model: str
    measured: tuple[Measured, ...]
    gates: tuple[Gated, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if self.model.count("/") != 1:
            raise ValueError(f"model is {self.model!r}: give suite/cell, as policy/w0064-s0")
        if not self.measured:
            raise ValueError("measured is empty: give at least one block")

    @property
    def suite(self) -> str:
        """The model's."""
        return self.model.split("/")[0]


def check_direct(arms: Sequence[str], windows: Sequence[int]) -> None:
    """Raises ValueError where `direct` is to read contexts that it cannot."""
    most = (DIRECT_TOKENS - 1) // WINDOW  # a context that fills them all takes more, with question and answer
    if "direct" in arms and max(windows) > most:
        raise ValueError(f"windows {max(windows)}: direct reads {most} at most: leave that length out, or the arm")


def _check(block: Measured | Gated, lists: tuple[str, ...]) -> None:
    for name in lists:
        if not getattr(block, name):
            raise ValueError(f"{name} is empty: list at least one")
    for task in block.tasks:
        if task not in TASKS:
            raise ValueError(f"tasks has {task!r}: choose of {', '.join(TASKS)}")
    for number in (*block.windows, block.items):
        if number < 1:
            raise ValueError(f"windows {block.windows}, items {block.items}: give 1 or more")
