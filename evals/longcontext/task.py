"""A task: dials, and how it draws an item of a length from a seed."""

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.lexicon import Lexicon, Side
from evals.longcontext.world import WINDOW, num_tokens

ROOM = 32  # tokens of a question and its answer: a context of one window fits it with both


@dataclass(frozen=True)
class Draw:
    """What an item is drawn with; `tokens` is how long its context is, within a line."""

    lexicon: Lexicon
    rng: random.Random
    tokens: int
    side: Side


class Task(ABC):
    """A definition; its subclasses are frozen dataclasses whose fields are the dials."""

    name: ClassVar[str]
    reading: ClassVar[Reading]
    answer: ClassVar[Answer]

    @abstractmethod
    def draw(self, draw: Draw) -> Item:
        """An item at random."""

    def item(self, question: str, context: str, gold: str, chance: float, **meta: object) -> Item:
        """An item of this task."""
        return Item(self.name, self.reading, question, context, gold, self.answer, chance, meta)


def items(task: Task, lexicon: Lexicon, windows: int, count: int, seed: int, side: Side = "any") -> list[Item]:
    """Items whose contexts fill `windows` windows within a line, but for `ROOM` tokens.

    side: of the compositions of words and templates (see `lexicon.is_held_out`). The same arguments give the same items
    in every process, and fewer are the first of more. Raises ValueError for less than a window and an item.
    """
    if windows < 1 or count < 1:
        raise ValueError(f"{count} items of {windows} windows: give 1 or more of each")
    drawn = []
    for index in range(count):
        rng = random.Random(f"{task.name} {lexicon.seed} {windows} {side} {seed} {index}")
        item = task.draw(Draw(lexicon, rng, windows * WINDOW - ROOM, side))
        shape = {"windows": windows, "num_lines": item.context.count("\n"), "tokens": num_tokens(item.context)}
        drawn.append(replace(item, meta={**item.meta, **shape, "index": index}))
    return drawn


def constant_chance(most: int) -> float:
    """What the best constant scores by 0.75^|error| where the number is uniform from 0 to `most`."""
    middle = most // 2
    return sum(0.75 ** abs(number - middle) for number in range(most + 1)) / (most + 1)


def pairs_chance(num_right: int, num_possible: int) -> float:
    """The mean F1 of as many pairs as may be given, drawn at random from the possible ones."""
    given = min(2 * num_right + 10, num_possible)
    return 2 * given * num_right / num_possible / (given + num_right)
