"""Instruction following in the manner of IFEval (Zhou et al. 2023): demands on an answer that a function verifies."""

import random
import re
from dataclasses import dataclass
from string import ascii_lowercase
from typing import ClassVar, Literal

from evals.abilities.ability import Ability, Example, Item, Kind, check_dial, final_answer

Constraint = Literal["caps", "box", "copies", "begin", "end"]
WAYS: dict[Constraint, tuple[str, ...]] = {
    "caps": ("caps",),
    "box": ("box",),
    "copies": ("x2", "x3"),
    "begin": ("begin*", "begin&", "begin~"),
    "end": ("end!", "end?", "end;"),
}
SINGLES = tuple(WAYS)
HELD_OUT_PAIRS: tuple[tuple[Constraint, Constraint], ...] = (("caps", "copies"), ("box", "end"), ("caps", "begin"))
SEEN_PAIRS: tuple[tuple[Constraint, Constraint], ...] = (
    ("caps", "box"),
    ("caps", "end"),
    ("box", "copies"),
    ("box", "begin"),
    ("copies", "begin"),
    ("copies", "end"),
    ("begin", "end"),
)


@dataclass(frozen=True)
class Format(Ability):
    """Say a word under one demand or two (`say+x2+end!:tabo>tabo-tabo!.`). Key: the word, whatever is demanded.

    caps: in capitals; box: in brackets; x2, x3: so many copies; begin, end: with that mark. Training has single demands
    and pairs in any order; the items have HELD_OUT_PAIRS in either order, of which training has none in any.
    """

    name: ClassVar[str] = "format"
    kind: ClassVar[Kind] = "instruction"

    num_letters: int = 4

    def __post_init__(self) -> None:
        check_dial("num_letters", self.num_letters, 3, 8)

    @property
    def chance(self) -> float:
        """Answers are open."""
        return 0.0

    @property
    def max_characters(self) -> int:
        """`say+begin*+end!:`, `>`, `.`, and three copies with hyphens between and brackets or a mark around them."""
        return 16 + self.num_letters + 1 + (3 * self.num_letters + 2 + 2) + 1

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Demands of the side on a random word."""
        word = "".join(rng.choices(ascii_lowercase, k=self.num_letters))
        constraints: list[Constraint] = [rng.choice(SINGLES)]
        if held_out or rng.random() < 0.5:
            constraints = [*rng.choice(HELD_OUT_PAIRS if held_out else SEEN_PAIRS)]
            rng.shuffle(constraints)
        demands = [rng.choice(WAYS[constraint]) for constraint in constraints]
        return Example(word, "+".join(["say", *demands]), word, _obeying(word, demands))

    def check(self, item: Item, text: str) -> bool:
        """Whether the answer is the word and meets every demand; separators and the order of marks are free."""
        head, _, word = item.prompt.rpartition("\n")[2].rstrip(">").partition(":")
        return meets(word, head.split("+")[1:], final_answer(text))


def meets(word: str, demands: list[str], answer: str) -> bool:
    """Whether the letters of the answer are the copies demanded of the word, in the demanded case, with the marks."""
    num_copies = next((int(demand[1:]) for demand in demands if demand in WAYS["copies"]), 1)
    letters = "".join(character for character in answer if character.isalpha())
    if letters != (word.upper() if "caps" in demands else word) * num_copies:
        return False
    if "box" in demands and not re.fullmatch(r"[^\[\]a-zA-Z]*\[[^\[\]]+\][^\[\]a-zA-Z]*", answer):
        return False
    begins = all(answer.startswith(demand[-1]) for demand in demands if demand.startswith("begin"))
    return begins and all(answer.endswith(demand[-1]) for demand in demands if demand.startswith("end"))


def _obeying(word: str, demands: list[str]) -> str:
    """The answer to train on: [begin mark] [copies with hyphens between, in brackets] [end mark]."""
    answer, before, after = word, "", ""
    for demand in demands:
        if demand in WAYS["copies"]:
            answer = "-".join([word] * int(demand[1:]))
        elif demand.startswith("begin"):
            before = demand[-1]
        elif demand.startswith("end"):
            after = demand[-1]
    if "caps" in demands:
        answer = answer.upper()
    if "box" in demands:
        answer = f"[{answer}]"
    return before + answer + after
