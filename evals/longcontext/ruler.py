"""RULER's generated tasks (Hsieh et al. 2024, arXiv 2404.06654) in words of our own, scored by F1 of sets.

Needles among sentences (niah), variables that take each other's value (vt), words that are common (cwe) and coded words
with frequencies by a zeta law (fwe). A regular expression or a counter solves each of them: they test finding and
counting, not reading. Every line ends with a newline; the closed world's lexicon is not used.
"""

import random
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase
from typing import ClassVar, Literal

from evals.longcontext.english import compound, sentence
from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.task import Draw, Task
from evals.longcontext.world import document, num_tokens

LISTED = "Reply with the {what} alone, between commas."
NOISE = ("The road goes on.", "Leaves are falling.", "It is getting late.", "Nothing happens here.", "On we walk.")


@dataclass(frozen=True)
class Niah(Task):
    """Needles `The secret number of KEY is VALUE.` in a haystack; all values of the keys that are asked for."""

    answer: ClassVar[Answer] = "set"
    reading: ClassVar[Reading] = "1"
    haystack: ClassVar[Literal["noise", "sentences", "needles"]] = "sentences"
    is_uuid: ClassVar[tuple[bool, bool]] = (False, False)  # key, value
    num_keys: ClassVar[int] = 1
    num_values: ClassVar[int] = 1
    num_queries: ClassVar[int] = 1

    def draw(self, draw: Draw) -> Item:
        """Places are uniform."""
        rng = draw.rng
        key_is_uuid, value_is_uuid = self.is_uuid
        fresh_key = _fresh(lambda: _uuid(rng) if key_is_uuid else compound(rng.randrange(20_000)))
        fresh_value = _fresh(lambda: _uuid(rng) if value_is_uuid else str(rng.randrange(10**6, 10**7)))

        def needle(key: str) -> tuple[str, str]:
            value = fresh_value()
            return f"The secret number of {key} is {value}.", value

        keys = [fresh_key() for _ in range(self.num_keys)]
        needles = {key: [needle(key) for _ in range(self.num_values)] for key in keys}
        hay: dict[str, Callable[[], str]] = {
            "noise": lambda: rng.choice(NOISE),
            "sentences": lambda: sentence(rng),
            "needles": lambda: needle(fresh_key())[0],
        }
        lines = _filled(draw, [line for both in needles.values() for line, _ in both], hay[self.haystack])
        asked = keys[: self.num_queries]
        gold = ", ".join(value for key in asked for _, value in needles[key])
        question = f"What are all secret numbers of {', '.join(asked)}? {LISTED.format(what='numbers')}"
        return self.item(question, document(lines), gold, 0.0, keys=asked)


class NiahSingle1(Niah):
    """One needle in sentences that repeat."""

    name = "niah_single_1"
    haystack = "noise"


class NiahSingle2(Niah):
    """One needle in sentences that differ."""

    name = "niah_single_2"


class NiahSingle3(Niah):
    """One needle with a long value."""

    name = "niah_single_3"
    is_uuid = (False, True)


class NiahMultikey1(Niah):
    """One needle besides three with other keys."""

    name = "niah_multikey_1"
    num_keys = 4


class NiahMultikey2(Niah):
    """One needle among needles."""

    name = "niah_multikey_2"
    haystack = "needles"


class NiahMultikey3(Niah):
    """One needle among needles, with long keys and values."""

    name = "niah_multikey_3"
    haystack = "needles"
    is_uuid = (True, True)


class NiahMultivalue(Niah):
    """Four needles with one key."""

    name = "niah_multivalue"
    reading = "k"
    num_values = 4


class NiahMultiquery(Niah):
    """Four needles, all asked for."""

    name = "niah_multiquery"
    reading = "k"
    num_keys = 4
    num_queries = 4


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
        fresh = _fresh(lambda: "".join(rng.choices(ascii_uppercase, k=5)))
        fresh_value = _fresh(lambda: str(rng.randrange(10**4, 10**5)))
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
        mixed = _filled(draw, assignments, lambda: rng.choice(NOISE))
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
        drawn = [compound(number) for number in rng.sample(range(30_000), self.num_asked + num_others)]
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
        fresh = _fresh(lambda: "".join(rng.choices(ascii_lowercase, k=6)))
        weights = [rank**-self.alpha for rank in range(1, 51)]
        found = [word for weight in weights for word in [fresh()] * round(total * weight / sum(weights))]
        return found[:total]

    def lines(self, words: list[str]) -> list[str]:
        """Fifteen words a line."""
        size = self.words_a_line
        return [" ".join(words[start : start + size]) for start in range(0, len(words), size)]


def _fresh(draw: Callable[[], str]) -> Callable[[], str]:
    """Draws what was not drawn before."""
    drawn: set[str] = set()

    def fresh() -> str:
        while (one := draw()) in drawn:
            pass
        drawn.add(one)
        return one

    return fresh


def _uuid(rng: random.Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def _filled(draw: Draw, lines: list[str], hay: Callable[[], str]) -> list[str]:
    """The lines in random places among as much hay as fits."""
    left = draw.tokens - num_tokens(document(lines))
    filling = []
    while (left := left - num_tokens(document([line := hay()]))) >= 0:
        filling.append(line)
    mixed = [*lines, *filling]
    return draw.rng.sample(mixed, len(mixed))


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
