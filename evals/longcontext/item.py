"""What a task gives: a question about a context, the right answer, and what scoring and analysis need besides."""

from dataclasses import dataclass, field
from typing import Any, Literal

# How much of a context of n lines has to be read for the answer.
Reading = Literal["1", "k", "n", "n, sequential", "n, n^2 output", "n^2"]
Answer = Literal["exact", "number", "pairs", "set"]


@dataclass(frozen=True)
class Item:
    """A question about a context.

    answer: how an output is scored. gold: the right answer in the tokens of the context (`4 7 1` is one number, a pair
    is `0 3 1 4 - 2 2 0 1`, pairs and members of a set stand between commas). chance: the mean score of the best guess
    that knows how answers are drawn and reads the question, and of the lines nothing but users and digits. meta: what
    made the item, `windows` and `num_lines` always.
    """

    task: str
    reading: Reading
    question: str
    context: str
    gold: str
    answer: Answer
    chance: float
    meta: dict[str, Any] = field(default_factory=dict)
