"""Tasks whose answer is a set of pairs of lines, named by the numbers that the lines carry.

In SemPairs a line is in or out by itself, as in all templates of OOLONG-Pairs, so that reading is O(n) and only the
output is O(n^2). In TruePairs whether two lines belong together is told by no line alone: which classes are opposite
stands nowhere in the text. Who learns the opposites of all classes can still do with one reading of each line and
compare what was read; there is no finite world in which that is not so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.lexicon import CLASSES
from evals.longcontext.task import Draw, Task, pairs_chance
from evals.longcontext.world import BOOST, Writer, document, layout


@dataclass(frozen=True)
class SemPairs(Task):
    """All pairs of lines that are both about a class, which is rare: two to `most` lines, uniform."""

    name: ClassVar[str] = "sempairs"
    reading: ClassVar[Reading] = "n, n^2 output"
    answer: ClassVar[Answer] = "pairs"

    most: int = 6

    def draw(self, draw: Draw) -> Item:
        """Numbers are drawn at random, not counted up."""
        rng = draw.rng
        templates, numbers = _numbered(draw)
        kind = rng.choice(CLASSES)
        others = [other for other in CLASSES if other != kind]
        chosen = set(rng.sample(range(len(templates)), min(rng.randint(2, self.most), len(templates))))
        writer = Writer(draw.lexicon, rng, draw.side, {kind: BOOST})
        lines = [
            writer.record(template, kind if place in chosen else rng.choice(others), user, numbers[place])
            for place, (template, user) in enumerate(
                zip(templates, rng.choices(draw.lexicon.names, k=len(templates)), strict=True)
            )
        ]
        question = rng.choice(
            [f"which pairs of lines are both about {kind} ?", f"list all pairs of numbers with {kind}"]
        )
        pairs = list(combinations([numbers[place] for place in chosen], 2))
        chance = pairs_chance(len(pairs), len(lines) * (len(lines) - 1) // 2)
        return self.item(question, document(lines), _text(pairs), chance, kind=kind)


@dataclass(frozen=True)
class TruePairs(Task):
    """All pairs of lines of one user about opposite classes: one pair each of one to `most` users, uniform."""

    name: ClassVar[str] = "truepairs"
    reading: ClassVar[Reading] = "n^2"
    answer: ClassVar[Answer] = "pairs"

    most: int = 8
    lines_a_user: int = 6

    def draw(self, draw: Draw) -> Item:
        """A user without a pair keeps to one side of all opposites; with one, its two classes come once each."""
        rng = draw.rng
        templates, numbers = _numbered(draw)
        num_users = max(2, min(len(draw.lexicon.names), len(templates) // self.lines_a_user))
        users = rng.sample(draw.lexicon.names, num_users)
        of_user: dict[str, list[int]] = {user: [] for user in users}
        for index, place in enumerate(rng.sample(range(len(templates)), len(templates))):
            of_user[users[index % num_users]].append(place)
        paired = set(rng.sample(users, rng.randint(1, min(self.most, num_users))))
        kinds, pairs = [""] * len(templates), []
        for user, places in of_user.items():
            allowed = [rng.choice([kind, other]) for kind, other in draw.lexicon.opposite_of.items() if kind < other]
            rest = places
            if user in paired:
                one, other, *rest = rng.sample(places, len(places))
                kinds[one] = allowed.pop(rng.randrange(len(allowed)))
                kinds[other] = draw.lexicon.opposite_of[kinds[one]]
                pairs.append((numbers[one], numbers[other]))
            for place in rest:
                kinds[place] = rng.choice(allowed)
        user_of = {place: user for user, places in of_user.items() for place in places}
        writer = Writer(draw.lexicon, rng, draw.side)
        lines = [
            writer.record(template, kinds[place], user_of[place], numbers[place])
            for place, template in enumerate(templates)
        ]
        question = rng.choice(
            ["which lines by the same user are opposites ?", "list all pairs by one user with opposite kinds"]
        )
        chance = pairs_chance(len(pairs), sum(len(of) * (len(of) - 1) // 2 for of in of_user.values()))
        return self.item(question, document(lines), _text(pairs), chance)


def _numbered(draw: Draw) -> tuple[list[int], list[str]]:
    """Templates, and a number of four digits for each line; of more where lines are many."""
    num_digits = max(4, len(str(draw.tokens // 7)))
    templates = layout(draw.rng, draw.tokens, num_digits)
    numbers = draw.rng.sample(range(10**num_digits), len(templates))
    return templates, [f"{number:0{num_digits}d}" for number in numbers]


def _text(pairs: Iterable[tuple[str, str]]) -> str:
    """In order, `0 3 1 4 - 2 2 0 1 , ...`."""
    ordered = sorted(tuple(sorted(pair)) for pair in pairs)
    return " , ".join(f"{' '.join(one)} - {' '.join(other)}" for one, other in ordered)
