"""Instruction following: one operation on a string, and two in sequence of which some pairs are never trained on."""

import random
from dataclasses import dataclass
from string import ascii_lowercase
from typing import ClassVar

from evals.abilities.ability import Ability, Example, Kind, check_dial
from evals.abilities.operations import LONGEST_LABEL, OPERATIONS, OperationName, apply, draw_argument, label

MAX_COUNT = 4  # A letter to count stands in its string 1 to 4 times, each as often.
NUM_LETTERS_RANGE = (5, 12)

# Two operations of which both orders are held out: with one order in training, a score would mix "cannot compose" with
# "answers the order that it knows". Each operation is trained in both places with others.
HELD_OUT_PAIRS = (
    frozenset({"rev", "take"}),
    frozenset({"sort", "twice"}),
    frozenset({"novow", "take"}),
    frozenset({"sub", "sort"}),
)
OrderedPair = tuple[OperationName, OperationName]
COMPOSED: tuple[OperationName, ...] = tuple(name for name in OPERATIONS if name != "count")
ORDERED_PAIRS: tuple[OrderedPair, ...] = tuple((a, b) for a in COMPOSED for b in COMPOSED if a != b)
PAIRS_BY_SIDE: dict[bool, tuple[OrderedPair, ...]] = {
    side: tuple(pair for pair in ORDERED_PAIRS if (frozenset(pair) in HELD_OUT_PAIRS) == side) for side in (False, True)
}


@dataclass(frozen=True)
class Transform(Ability):
    """One operation on a string, which it always changes (`rev:abcd>dcba.`). Key: the string, whatever is asked."""

    name: ClassVar[str] = "transform"
    kind: ClassVar[Kind] = "instruction"

    num_letters: int = 6
    operations: tuple[OperationName, ...] = OPERATIONS

    def __post_init__(self) -> None:
        check_dial("num_letters", self.num_letters, *NUM_LETTERS_RANGE)
        known = ", ".join(OPERATIONS)
        if not isinstance(self.operations, tuple) or not self.operations:
            raise ValueError(f"operations is {self.operations!r}: list one or more of {known}")
        for name in self.operations:
            if name not in OPERATIONS or self.operations.count(name) > 1:
                raise ValueError(f"operations has {name!r}: name each once, and only {known}")

    @property
    def chance(self) -> float:
        """The guesser says a number from 1 to 4 where letters are to be counted; the other answers are open."""
        return self.operations.count("count") / len(self.operations) / MAX_COUNT

    @property
    def max_characters(self) -> int:
        """The longest label, `:`, the string, `>`, an answer of at most two strings, `.`."""
        return LONGEST_LABEL + 3 + 3 * self.num_letters

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """An operation, and a string that it changes and leaves something of."""
        name = rng.choice(self.operations)
        while True:
            if name == "count":
                text, argument = _string_to_count_in(self.num_letters, rng)
            else:
                text = "".join(rng.choices(ascii_lowercase, k=self.num_letters))
                argument = draw_argument(name, text, rng)
            answer = apply(name, argument, text)
            if answer not in ("", text):
                return Example(text, label(name, argument), text, answer)


@dataclass(frozen=True)
class Compose(Ability):
    """One operation and then another on what it leaves (`rev+upper:abcd>DCBA.`). Key: the string.

    Each operation changes what it gets. Items are on HELD_OUT_PAIRS in either order, training on all other pairs. In an
    item neither the second operation alone nor the other order gives the answer. `seen_pairs` asks for such items on
    the pairs of training (and held-out strings) instead: the score to compare with.
    """

    name: ClassVar[str] = "compose"
    kind: ClassVar[Kind] = "instruction"

    num_letters: int = 6
    seen_pairs: bool = False

    def __post_init__(self) -> None:
        check_dial("num_letters", self.num_letters, *NUM_LETTERS_RANGE)
        if not isinstance(self.seen_pairs, bool):
            raise ValueError(f"seen_pairs is {self.seen_pairs!r}: give true or false")

    @property
    def chance(self) -> float:
        """Answers are open."""
        return 0.0

    @property
    def max_characters(self) -> int:
        """Two labels with `+` and `:`, the string, `>`, an answer of at most two strings, `.`."""
        return 2 * LONGEST_LABEL + 4 + 3 * self.num_letters

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """A pair and a string on which both operations show, and in items their order."""
        pairs = PAIRS_BY_SIDE[held_out and not self.seen_pairs]
        while True:
            first, second = rng.choice(pairs)
            text = "".join(rng.choices(ascii_lowercase, k=self.num_letters))
            first_argument = draw_argument(first, text, rng)
            middle = apply(first, first_argument, text)
            if middle in ("", text):
                continue
            second_argument = draw_argument(second, middle, rng)
            answer = apply(second, second_argument, middle)
            second_alone = apply(second, second_argument, text)
            other_order = apply(first, first_argument, second_alone)
            if answer not in ("", middle) and not (held_out and answer in (second_alone, other_order)):
                head = f"{label(first, first_argument)}+{label(second, second_argument)}"
                return Example(text, head, text, answer)


def _string_to_count_in(num_letters: int, rng: random.Random) -> tuple[str, str]:
    """A string and a letter that stands in it 1 to MAX_COUNT times."""
    letter = rng.choice(ascii_lowercase)
    count = rng.randint(1, MAX_COUNT)
    others = rng.choices(ascii_lowercase.replace(letter, ""), k=num_letters - count)
    letters = [letter] * count + others
    rng.shuffle(letters)
    return "".join(letters), letter
