"""In-context learning of names for classes: classes known, names new; and which feature the classes go by."""

import random
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, digits
from typing import ClassVar

from evals.abilities.ability import Ability, Example, Kind, check_dial, check_fits

VOWELS = "aeiou"
CONSONANTS = "".join(letter for letter in ascii_lowercase if letter not in VOWELS)
CLASSES = (VOWELS, CONSONANTS, digits, ascii_uppercase)
WORDS = tuple(a + b + c for a in CONSONANTS for b in VOWELS for c in CONSONANTS)
SYMBOLS = "@$%&*~^+"
FEATURES = ("capital", "vowel", "odd", "high")  # Bits 0 to 3 of a thing such as B7: of its letter, of its digit.


def _things(bits: int) -> tuple[str, ...]:
    """Every letter with every digit that have those features and lack the others; high digits are 5 to 9."""
    letters = VOWELS if bits >> 1 & 1 else CONSONANTS
    letters = letters.upper() if bits & 1 else letters
    return tuple(a + d for a in letters for d in digits if int(d) % 2 == bits >> 2 & 1 and (d >= "5") == bits >> 3)


THINGS = tuple(_things(bits) for bits in range(2 ** len(FEATURES)))


@dataclass(frozen=True)
class Labels(Ability):
    """Vowels, consonants, digits and capitals under made-up words (`lab:e=zup,7=kib,4=kib,a=zup,o>zup.`).

    Words and classes change with each document; what is asked is not among the shown, of which no two are the same.
    Key: what is shown in order of the characters, `4=kib,7=kib,a=zup,e=zup`, whatever is asked.
    """

    name: ClassVar[str] = "labels"
    kind: ClassVar[Kind] = "in-context"

    num_classes: int = 3
    num_shown_each: int = 2

    def __post_init__(self) -> None:
        check_dial("num_classes", self.num_classes, 2, len(CLASSES))
        check_dial("num_shown_each", self.num_shown_each, 1, len(VOWELS) - 1)
        check_fits("num_shown_each", self.num_shown_each, self.max_characters)

    @property
    def chance(self) -> float:
        """The guesser picks a word that is shown."""
        return 1 / self.num_classes

    @property
    def max_characters(self) -> int:
        """`lab:`, six characters a shown one, `o>zup.`."""
        return 10 + 6 * self.num_classes * self.num_shown_each

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Each class equally often; the class that is asked for does not depend on what is shown."""
        words = rng.sample(WORDS, self.num_classes)
        asked = rng.randrange(self.num_classes)
        shown, query = [], ""
        for index, members in enumerate(rng.sample(CLASSES, self.num_classes)):
            drawn = rng.sample(members, self.num_shown_each + 1)
            if index == asked:
                query = drawn[-1]
            shown += [f"{member}={words[index]}" for member in drawn[:-1]]
        rng.shuffle(shown)
        key = ",".join(sorted(shown))
        return Example(key, "lab", f"{','.join(shown)},{query}", words[asked], choices=tuple(sorted(words)))


@dataclass(frozen=True)
class Classify(Ability):
    """Things such as B7 under two signs that stand for one feature (`cls:B7=@,e2=%,a9=@,K8=%,i3>@.`: odd and even).

    The feature is one of four: capital or small, vowel or consonant, odd or even, 5 and above or below. What is shown
    singles it out; each sign is shown equally often. Key: what is shown in order, whatever is asked.
    """

    name: ClassVar[str] = "classify"
    kind: ClassVar[Kind] = "in-context"

    num_shown_each: int = 4

    def __post_init__(self) -> None:
        check_dial("num_shown_each", self.num_shown_each, 2, 5)

    @property
    def chance(self) -> float:
        """The guesser picks one of the two signs."""
        return 0.5

    @property
    def max_characters(self) -> int:
        """`cls:`, five characters a shown one, `A3>@.`."""
        return 9 + 10 * self.num_shown_each

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Which sign is asked for does not depend on what is shown."""
        feature = rng.randrange(len(FEATURES))
        sides = [0, 1] * self.num_shown_each
        rng.shuffle(sides)
        asked = rng.getrandbits(1)
        while True:
            codes = [_with_feature(rng.getrandbits(4), feature, side) for side in (*sides, asked)]
            things = [rng.choice(THINGS[code]) for code in codes]
            if len(set(things)) == len(things) and _singles_out(codes[:-1], sides):
                break
        signs = rng.sample(SYMBOLS, 2)
        shown = [f"{thing}={signs[side]}" for thing, side in zip(things[:-1], sides, strict=True)]
        return Example(
            ",".join(sorted(shown)),
            "cls",
            f"{','.join(shown)},{things[-1]}",
            signs[asked],
            choices=tuple(sorted(signs)),
        )


def _with_feature(bits: int, feature: int, side: int) -> int:
    return bits & ~(1 << feature) | side << feature


def _singles_out(codes: list[int], sides: list[int]) -> bool:
    """Whether only one feature, or its absence, agrees with the sides of all things."""
    present = absent = 2 ** len(FEATURES) - 1
    for code, side in zip(codes, sides, strict=True):
        present &= code if side else ~code
        absent &= ~code if side else code
    return (present | absent).bit_count() == 1
