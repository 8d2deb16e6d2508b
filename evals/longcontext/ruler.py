"""RULER's generated tasks (Hsieh et al. 2024, arXiv 2404.06654) in words of our own, scored by F1 of sets.

Needles among sentences (niah), variables that take each other's value (vt), words that are common (cwe) and coded words
with frequencies by a zeta law (fwe). A regular expression or a counter solves each of them: they test finding and
counting, not reading. Every line ends with a newline; the closed world's lexicon is not used.
"""

import random
from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase
from typing import ClassVar

from evals.longcontext.english import MOST_COMPOUNDS, compound
from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.needles import (
    LISTED,
    NOISE,
    NiahMultikey1,
    NiahMultikey2,
    NiahMultikey3,
    NiahMultiquery,
    NiahMultivalue,
    NiahSingle1,
    NiahSingle2,
    NiahSingle3,
    filled,
    fresh_draws,
)
from evals.longcontext.task import Draw, Task
from evals.longcontext.world import document


@dataclass(frozen=True)
class VariableTracking(Task):
    """All variables with a value that one is given and each of four others takes from the one before."""

    name: ClassVar[str] = "vt"
    reading: ClassVar[Reading] = "k"
    answer: ClassVar[Answer] = "set"

    num_hops: int = 4
    num_chains: int = 2

    def draw(self, draw: Draw) -> Item:
        """Assignments of a chain stand in order, with noise between; a second chain misleads."""
        rng = draw.rng
        fresh = fresh_draws(lambda: "".join(rng.choices(ascii_uppercase, k=5)))
        fresh_value = fresh_draws(lambda: str(rng.randrange(10**4, 10**5)))
        chains = [[fresh() for _ in range(self.num_hops + 1)] for _ in range(self.num_chains)]
        values = [fresh_value() for _ in chains]
        pending = [
            [
                f"VAR {chain[0]} = {value}",
                *(f"VAR {new} = VAR {old}" for old, new in pairwise(chain)),
            ]
            for chain, value in zip(chains, values, strict=True)
        ]
        assignments = []
        for index in rng.sample([i for i, chain in enumerate(pending) for _ in chain], sum(map(len, pending))):
            assignments.append(pending[index].pop(0))
        places_of = set(assignments)
        mixed = filled(draw, assignments, lambda: rng.choice(NOISE))
        ordered = iter(assignments)
        lines = [next(ordered) if line in places_of else line for line in mixed]
        question = (
            f"Which variables have the value {values[0]}, given or taken from another? {LISTED.format(what='names')}"
        )
        return self.item(question, document(lines), ", ".join(chains[0]), 0.0)


class Counted(Task):
    """A list of words of which the most frequent are asked for."""

    answer: ClassVar[Answer] = "set"
    reading: ClassVar[Reading] = "n"
    num_asked: ClassVar[int]

    @abstractmethod
    def words(self, rng: random.Random, num_words: int) -> list[str]:
        """All words as often as they come, the asked first."""

    @abstractmethod
    def lines(self, words: list[str]) -> list[str]:
        """Of the words in random order."""

    def draw(self, draw: Draw) -> Item:
        """As many words as fit."""
        words = self.words(draw.rng, draw.tokens)
        asked = list(dict.fromkeys(words))[: self.num_asked]
        lines = self.lines(draw.rng.sample(words, len(words)))
        question = f"Which {self.num_asked} words are the most frequent? {LISTED.format(what='words')}"
        return self.item(question, document(lines), ", ".join(asked), 0.0)


@dataclass(frozen=True)
class CommonWords(Counted):
    """Ten words 30 times each among others 3 times each; in short lists 6 times and once. A numbered word a line."""

    name: ClassVar[str] = "cwe"
    num_asked: ClassVar[int] = 10

    def words(self, rng: random.Random, num_words: int) -> list[str]:
        """A line has three tokens."""
        total = num_words // 3
        often, seldom = (30, 3) if total >= 600 else (6, 1)
        often = min(often, total // self.num_asked)
        num_others = (total - often * self.num_asked) // seldom
        drawn = [compound(number) for number in rng.sample(range(MOST_COMPOUNDS), self.num_asked + num_others)]
        return [word for word in drawn[:10] for _ in range(often)] + [w for w in drawn[10:] for _ in range(seldom)]

    def lines(self, words: list[str]) -> list[str]:
        """Numbered from 1."""
        return [f"{number}. {word}" for number, word in enumerate(words, 1)]


@dataclass(frozen=True)
class FrequentWords(Counted):
    """The three most frequent of coded words, the k-th of which comes k^-alpha times as often as the first."""

    name: ClassVar[str] = "fwe"
    num_asked: ClassVar[int] = 3

    alpha: float = 2.0
    words_a_line: int = 15

    def words(self, rng: random.Random, num_words: int) -> list[str]:
        """As many as the law gives at least one of."""
        total = num_words * self.words_a_line // (self.words_a_line + 1)
        fresh = fresh_draws(lambda: "".join(rng.choices(ascii_lowercase, k=6)))
        weights = [rank**-self.alpha for rank in range(1, 51)]
        found = [word for weight in weights for word in [fresh()] * round(total * weight / sum(weights))]
        return found[:total]

    def lines(self, words: list[str]) -> list[str]:
        """Fifteen words a line."""
        size = self.words_a_line
        return [" ".join(words[start : start + size]) for start in range(0, len(words), size)]


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        NiahSingle1(),
        NiahSingle2(),
        NiahSingle3(),
        NiahMultikey1(),
        NiahMultikey2(),
        NiahMultikey3(),
        NiahMultivalue(),
        NiahMultiquery(),
        VariableTracking(),
        CommonWords(),
        FrequentWords(),
    )
}
