"""What an ability is: dials, one definition that draws its contents, and the side of the split that a content is on.

A document is one line, `head:body>answer.`; worked out it is `head#body>steps=answer.`, and `:` or `#` says which is
asked for. The prompt ends with `>`; the target, which alone counts in the loss, is what follows.
"""

import hashlib
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

Kind = Literal["in-context", "instruction", "reasoning"]
Style = Literal["direct", "steps"]

STYLE_MARKS: dict[Style, str] = {"direct": ":", "steps": "#"}
MAX_DOCUMENT_CHARACTERS = 63  # A row of 64 bytes less <|bos|>.
SIDES = 8  # One content in eight is held out.


@dataclass(frozen=True)
class Document:
    """A line to train on."""

    ability: str
    prompt: str
    target: str

    @property
    def text(self) -> str:
        """The whole line, without a newline."""
        return self.prompt + self.target

    @property
    def loss_spans(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of characters of `text` that count in the loss: the target."""
        return ((len(self.prompt), len(self.prompt) + len(self.target)),)


@dataclass(frozen=True)
class Item:
    """A question with all that judging an answer needs: `answer` has neither steps nor terminator.

    key: the name of its content.
    choices: the answers between which an informed guesser is undecided, for multiple-choice scoring in direct style;
    empty where answers are open or worked out.
    chance: the ability's, at the dials that made the item.
    """

    ability: str
    style: Style
    prompt: str
    target: str
    choices: tuple[str, ...]
    answer: str
    key: str
    chance: float


@dataclass(frozen=True)
class Example:
    """One content of an ability in the words of every style.

    key: the content in a canonical form: what is left when wording, style and orders without meaning are taken away.
    steps: the working before `=answer`; empty where the ability has no such style.
    """

    key: str
    head: str
    body: str
    answer: str
    steps: str = ""
    choices: tuple[str, ...] = ()

    def prompt(self, style: Style) -> str:
        """What is asked, up to and including `>`."""
        return f"{self.head}{STYLE_MARKS[style]}{self.body}>"

    def target(self, style: Style) -> str:
        """What is to be said, up to and including the terminator."""
        return f"{self.steps}={self.answer}." if style == "steps" else f"{self.answer}."


class Ability(ABC):
    """A definition; its subclasses are frozen dataclasses whose fields are the dials of difficulty.

    Of a `key` that `draw` gives, the hash alone decides the side, whatever the dials and the style.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    styles: ClassVar[tuple[Style, ...]] = ("direct",)

    @property
    @abstractmethod
    def chance(self) -> float:
        """Exact match of the best guess that does not do the task.

        The guesser knows how answers look and how often each is right, and reads no more of a prompt than the answers
        that it offers. 0 where answers are open, so that such a guess is next to never right.
        """

    @property
    @abstractmethod
    def max_characters(self) -> int:
        """No document at these dials has more; at most MAX_DOCUMENT_CHARACTERS."""

    @abstractmethod
    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """A content at random, of either side; `held_out` matters where whole compositions are held out as well."""

    def check(self, item: Item, text: str) -> bool:
        """Whether `text`, a continuation of the item's prompt, gives a right answer; working is not judged."""
        return final_answer(text) == item.answer


def final_answer(text: str) -> str:
    """What stands before the first terminator, and there after the last `=`."""
    return text.partition(".")[0].rpartition("=")[2]


def is_held_out(ability: str, key: str) -> bool:
    """The side of a content, the same in every process and for ever."""
    return hashlib.blake2b(f"{ability}\n{key}".encode(), digest_size=8).digest()[0] % SIDES == 0


def check_dial(name: str, value: int, low: int, high: int) -> None:
    """Raises ValueError where the dial is not a whole number of that range."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}: give a whole number from {low} to {high}")


def check_fits(name: str, value: int, max_characters: int) -> None:
    """Raises ValueError where the dial makes documents that are longer than a row."""
    if max_characters > MAX_DOCUMENT_CHARACTERS:
        raise ValueError(
            f"{name} is {value}: documents of {max_characters} characters are longer than {MAX_DOCUMENT_CHARACTERS}: "
            "lower it"
        )
