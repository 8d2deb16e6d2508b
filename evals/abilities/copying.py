"""In-context learning that finds and copies: a string that repeats, a key among pairs."""

import math
import random
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import ClassVar

from evals.abilities.ability import Ability, Example, Kind, check_dial


@dataclass(frozen=True)
class Induction(Ability):
    """A string of distinct letters, then some of it again: continue (`ind:fkqzwbe,qz>wb.`). Key: the string.

    The repeated part begins anywhere, so that a fixed distance to look back does not do.
    """

    name: ClassVar[str] = "induction"
    kind: ClassVar[Kind] = "in-context"

    num_letters: int = 12
    num_repeated: int = 2
    num_continued: int = 4

    def __post_init__(self) -> None:
        check_dial("num_letters", self.num_letters, 5, 26)
        check_dial("num_repeated", self.num_repeated, 1, self.num_letters - 2)
        check_dial("num_continued", self.num_continued, 1, self.num_letters - self.num_repeated - 1)

    @property
    def chance(self) -> float:
        """The guesser orders letters of the string that the repeated part leaves."""
        return 1 / math.perm(self.num_letters - self.num_repeated, self.num_continued)

    @property
    def max_characters(self) -> int:
        """`ind:`, `,`, `>` and `.` with the letters."""
        return 7 + self.num_letters + self.num_repeated + self.num_continued

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """A string and a place in it."""
        string = "".join(rng.sample(ascii_lowercase, self.num_letters))
        start = rng.randrange(self.num_letters - self.num_repeated - self.num_continued + 1)
        end = start + self.num_repeated
        return Example(string, "ind", f"{string},{string[start:end]}", string[end : end + self.num_continued])


@dataclass(frozen=True)
class Recall(Ability):
    """Pairs of a small letter and a capital, then a small letter: its capital (`rec:qB,dX,kA?d>X.`).

    No letter twice. Key: the pairs in alphabetical order, `dX,kA,qB`, whatever is asked.
    """

    name: ClassVar[str] = "recall"
    kind: ClassVar[Kind] = "in-context"

    num_pairs: int = 8

    def __post_init__(self) -> None:
        check_dial("num_pairs", self.num_pairs, 2, 18)

    @property
    def chance(self) -> float:
        """The guesser picks a capital that is shown."""
        return 1 / self.num_pairs

    @property
    def max_characters(self) -> int:
        """`rec:`, three characters a pair, of which the last has no comma, `?d>X.`."""
        return 8 + 3 * self.num_pairs

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Pairs in a random order, one of them asked for."""
        capitals = rng.sample(ascii_uppercase, self.num_pairs)
        pairs = [a + b for a, b in zip(rng.sample(ascii_lowercase, self.num_pairs), capitals, strict=True)]
        asked, answer = rng.choice(pairs)
        return Example(
            ",".join(sorted(pairs)), "rec", f"{','.join(pairs)}?{asked}", answer, choices=tuple(sorted(capitals))
        )
