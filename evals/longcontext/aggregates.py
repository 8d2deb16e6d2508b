"""Tasks that read every line: how many are about a class, which class is the most common, which of two is."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.lexicon import CLASSES
from evals.longcontext.task import Draw, Task, constant_chance
from evals.longcontext.world import BOOST, Writer, date, document, layout

NUM_USERS = 8


@dataclass(frozen=True)
class Count(Task):
    """How many lines are about a class: uniform from 0 to half of the lines, or to `most`, whichever is less."""

    name: ClassVar[str] = "count"
    reading: ClassVar[Reading] = "n"
    answer: ClassVar[Answer] = "number"

    most: int = 100

    def draw(self, draw: Draw) -> Item:
        """The other lines are uniform over the other classes."""
        rng = draw.rng
        templates = layout(rng, draw.tokens, 4)
        kind = rng.choice(CLASSES)
        most = min(self.most, len(templates) // 2)
        number = rng.randint(0, most)
        others = [other for other in CLASSES if other != kind]
        kinds = [kind] * number + rng.choices(others, k=len(templates) - number)
        question = rng.choice(
            [
                f"how many lines are about {kind} ?",
                f"count the lines of {kind}",
                f"what is the number of lines with {kind} ?",
            ]
        )
        context = _written(draw, templates, kinds, {kind: BOOST})
        return self.item(question, context, " ".join(str(number)), constant_chance(most), kind=kind, most=most)


@dataclass(frozen=True)
class Argmax(Task):
    """The class with the most lines, by a margin that a sample does not show and a reading of all does.

    It has `share` of the lines; no other comes nearer than `margin` of the lines, so the others have about .08 each. A
    class drawn at random has its words boosted where they do not count, so that words alone mislead.
    """

    name: ClassVar[str] = "argmax"
    reading: ClassVar[Reading] = "n"
    answer: ClassVar[Answer] = "exact"

    share: tuple[float, float] = (0.13, 0.14)
    margin: float = 0.04

    def draw(self, draw: Draw) -> Item:
        """Which class is uniform."""
        rng = draw.rng
        templates = layout(rng, draw.tokens, 4)
        total = len(templates)
        top, *others = rng.sample(CLASSES, len(CLASSES))
        most = math.ceil(rng.uniform(*self.share) * total)
        margin = max(1, math.floor(self.margin * total))
        # Of few lines a share is one line more or less: the others must have room below.
        most = max(most, math.ceil((total + margin * len(others)) / len(CLASSES)))
        cap = most - margin
        counts = {top: most, **_spread(rng, others, total - most, cap)}
        context = _written(draw, templates, _listed(counts), {rng.choice(CLASSES): BOOST})
        question = rng.choice(
            ["which kind is most common ?", "what are most lines about ?", "give the most common kind"]
        )
        return self.item(question, context, top, 1 / len(CLASSES), counts=counts)


@dataclass(frozen=True)
class Compare(Task):
    """Which of two classes has more lines: shares as in Argmax; one of the two, at random, is boosted."""

    name: ClassVar[str] = "compare"
    reading: ClassVar[Reading] = "n"
    answer: ClassVar[Answer] = "exact"

    share: tuple[float, float] = (0.13, 0.14)
    margin: float = 0.05

    def draw(self, draw: Draw) -> Item:
        """The one with more is named first or second alike."""
        rng = draw.rng
        templates = layout(rng, draw.tokens, 4)
        total = len(templates)
        more, less, *others = rng.sample(CLASSES, len(CLASSES))
        most = math.ceil(rng.uniform(*self.share) * total)
        counts = {more: most, less: most - max(1, math.floor(self.margin * total))}
        counts |= _spread(rng, others, total - sum(counts.values()), total)
        context = _written(draw, templates, _listed(counts), {rng.choice([more, less]): BOOST})
        first, second = rng.sample([more, less], 2)
        question = rng.choice(
            [
                f"which is more common , {first} or {second} ?",
                f"are there more lines of {first} or of {second} ?",
            ]
        )
        return self.item(question, context, more, 1 / 2, counts=counts, kinds=(first, second))


@dataclass(frozen=True)
class CountByUser(Task):
    """How many of a user's lines are about a class; how common the class is with the others tells nothing."""

    name: ClassVar[str] = "count_by_user"
    reading: ClassVar[Reading] = "n"
    answer: ClassVar[Answer] = "number"

    most: int = 30

    def draw(self, draw: Draw) -> Item:
        """Uniform from 0 to all of the user's lines, or to `most`; users have the same number of lines."""
        rng = draw.rng
        templates = layout(rng, draw.tokens, 4)
        users = rng.sample(draw.lexicon.names, _num_groups(len(templates)))
        group = rng.sample([users[number % len(users)] for number in range(len(templates))], len(templates))
        kind, kinds, number, most = _kinds_by_group(rng, group, users[0], self.most)
        question = rng.choice(
            [f"how many lines by {users[0]} are about {kind} ?", f"count the lines of {kind} by {users[0]}"]
        )
        writer = Writer(draw.lexicon, rng, draw.side, {kind: BOOST})
        records = zip(templates, kinds, group, strict=True)
        context = document([writer.record(*record, date(rng)) for record in records])
        gold, chance = " ".join(str(number)), constant_chance(most)
        return self.item(question, context, gold, chance, kind=kind, user=users[0], most=most)


@dataclass(frozen=True)
class CountByDate(Task):
    """How many of a month's lines are about a class; how common the class is in the others tells nothing."""

    name: ClassVar[str] = "count_by_date"
    reading: ClassVar[Reading] = "n"
    answer: ClassVar[Answer] = "number"

    most: int = 30

    def draw(self, draw: Draw) -> Item:
        """As CountByUser, with months."""
        rng = draw.rng
        templates = layout(rng, draw.tokens, 4)
        months = rng.sample([f"{month:02d}" for month in range(1, 13)], _num_groups(len(templates)))
        group = rng.sample([months[number % len(months)] for number in range(len(templates))], len(templates))
        kind, kinds, number, most = _kinds_by_group(rng, group, months[0], self.most)
        users = rng.sample(draw.lexicon.names, NUM_USERS)
        writer = Writer(draw.lexicon, rng, draw.side, {kind: BOOST})
        records = zip(templates, kinds, group, strict=True)
        context = document(
            [writer.record(template, one, rng.choice(users), date(rng, month)) for template, one, month in records]
        )
        month = " ".join(months[0])
        question = rng.choice(
            [f"how many lines in month {month} are about {kind} ?", f"count the lines of {kind} in month {month}"]
        )
        gold, chance = " ".join(str(number)), constant_chance(most)
        return self.item(question, context, gold, chance, kind=kind, month=month, most=most)


def _num_groups(total: int) -> int:
    """Users or months: fewer where lines are few, so that each has some."""
    return max(3, min(NUM_USERS, total // 12))


def _kinds_by_group(rng: random.Random, group: list[str], asked: str, most: int) -> tuple[str, list[str], int, int]:
    """A class, the class of each line, how many of the asked group's lines are of it, and how many could have been."""
    kind = rng.choice(CLASSES)
    others = [other for other in CLASSES if other != kind]
    places = [place for place, one in enumerate(group) if one == asked]
    most = min(most, len(places))
    number = rng.randint(0, most)
    chosen = set(rng.sample(places, number))
    share = rng.random()
    kinds = [
        kind if place in chosen or (one != asked and rng.random() < share) else rng.choice(others)
        for place, one in enumerate(group)
    ]
    return kind, kinds, number, most


def _spread(rng: random.Random, kinds: Sequence[str], total: int, cap: int) -> dict[str, int]:
    """About the same number for each, at most `cap`, with `total` in all."""
    assert total <= cap * len(kinds)
    counts = {kind: total // len(kinds) + (index < total % len(kinds)) for index, kind in enumerate(kinds)}
    for _ in range(total // 8):
        taken, given = rng.sample(kinds, 2)
        if counts[taken] > 0 and counts[given] < min(cap, total // len(kinds) * 5 // 4):
            counts[taken] -= 1
            counts[given] += 1
    return counts


def _listed(counts: Mapping[str, int]) -> list[str]:
    return [kind for kind, count in counts.items() for _ in range(count)]


def _written(draw: Draw, templates: list[int], kinds: list[str], decoys: Mapping[str, float]) -> str:
    """Records with the classes in random order."""
    users = draw.rng.sample(draw.lexicon.names, NUM_USERS)
    writer = Writer(draw.lexicon, draw.rng, draw.side, decoys)
    shuffled = draw.rng.sample(kinds, len(kinds))
    return document(
        [
            writer.record(template, kind, draw.rng.choice(users), date(draw.rng))
            for template, kind in zip(templates, shuffled, strict=True)
        ]
    )
