"""Which world the built-in model learns in, and what is compared at which lengths. Standard library only."""

from dataclasses import dataclass
from typing import Literal

from evals.longcontext.lexicon import Lexicon

Profile = Literal["sealed", "open"]
SAFE_PROFILE: Profile = "sealed"


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
