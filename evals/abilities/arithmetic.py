"""Step-by-step reasoning with numbers: addition, multiplication, chains modulo m."""

import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from evals.abilities.ability import Ability, Example, Kind, Style, check_dial

MULTIPLIERS = range(2, 10)


def numbers(num_digits: int) -> range:
    """The whole numbers of so many digits; 0 has one."""
    return range(10 ** (num_digits - 1) if num_digits > 1 else 0, 10**num_digits)


@dataclass(frozen=True)
class Addition(Ability):
    """Two numbers of equal digits (`add:57+68>125.`). Steps: the columns from the right with their carries.

    `add#57+68>15,12=125.`: 7 + 8, then 5 + 6 + 1. Key: the operands with the smaller first, `57+68`.
    """

    name: ClassVar[str] = "addition"
    kind: ClassVar[Kind] = "reasoning"
    styles: ClassVar[tuple[Style, ...]] = ("direct", "steps")

    num_digits: int = 3

    def __post_init__(self) -> None:
        check_dial("num_digits", self.num_digits, 1, 8)

    @property
    def chance(self) -> float:
        """The guesser says the most frequent sum, which one in so many pairs has as there are numbers."""
        return 1 / len(numbers(self.num_digits))

    @property
    def max_characters(self) -> int:
        """`add#`, `+`, `>`, `=`, `.`, the operands, columns of two digits with commas between, the sum."""
        return 8 + 2 * self.num_digits + (3 * self.num_digits - 1) + (self.num_digits + 1)

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Operands at random, in either order."""
        low, high = numbers(self.num_digits)[0], numbers(self.num_digits)[-1]
        a, b = rng.randint(low, high), rng.randint(low, high)
        columns = [a // 10**place % 10 + b // 10**place % 10 for place in range(self.num_digits)]
        return Example(f"{min(a, b)}+{max(a, b)}", "add", f"{a}+{b}", str(a + b), steps=_with_carries(columns))


@dataclass(frozen=True)
class Multiplication(Ability):
    """A number times a digit from 2 to 9 (`mul:47*6>282.`). Steps: digit by digit from the right with carries.

    `mul#47*6>42,28=282.`: 7 * 6, then 4 * 6 + 4. Key: the operands with the smaller first, `6*47`.
    """

    name: ClassVar[str] = "multiplication"
    kind: ClassVar[Kind] = "reasoning"
    styles: ClassVar[tuple[Style, ...]] = ("direct", "steps")

    num_digits: int = 3

    def __post_init__(self) -> None:
        check_dial("num_digits", self.num_digits, 2, 5)

    @property
    def chance(self) -> float:
        """The guesser says the most frequent product."""
        return _most_frequent_product(self.num_digits)

    @property
    def max_characters(self) -> int:
        """`mul#`, `*6>`, `=`, `.`, the number, columns of two digits with commas between, the product."""
        return 9 + self.num_digits + (3 * self.num_digits - 1) + (self.num_digits + 1)

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Operands at random, the number first."""
        a, b = rng.choice(numbers(self.num_digits)), rng.choice(MULTIPLIERS)
        columns = [a // 10**place % 10 * b for place in range(self.num_digits)]
        return Example(f"{b}*{a}", "mul", f"{a}*{b}", str(a * b), steps=_with_carries(columns))


@dataclass(frozen=True)
class Chain(Ability):
    """Sums and products modulo m from left to right (`mod10:7+5*3+9>5.`). Steps: the value after each operation.

    `mod10#7+5*3+9>265=5.` Multipliers have no factor in common with m, so that every value stays equally likely.
    Key: the modulus and the chain with the operands of a run of one operation in ascending order, `10:5+7*3+9`.
    """

    name: ClassVar[str] = "chain"
    kind: ClassVar[Kind] = "reasoning"
    styles: ClassVar[tuple[Style, ...]] = ("direct", "steps")

    modulus: int = 10
    num_operations: int = 4

    def __post_init__(self) -> None:
        check_dial("modulus", self.modulus, 3, 10)
        check_dial("num_operations", self.num_operations, 2, 15)

    @property
    def chance(self) -> float:
        """The guesser picks a value below the modulus."""
        return 1 / self.modulus

    @property
    def max_characters(self) -> int:
        """`mod10#7`, two characters an operation, `>`, a digit an operation, `=5.`."""
        return len(f"mod{self.modulus}") + 6 + 3 * self.num_operations

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Operations that each can change the value."""
        multipliers = _units(self.modulus)
        value = rng.randrange(self.modulus)
        chain, runs, values = [str(value)], [[str(value)]], []
        operators = rng.choices("+*", k=self.num_operations)
        for index, operator in enumerate(operators):
            operand = rng.choice(multipliers) if operator == "*" else rng.randint(1, self.modulus - 1)
            value = (value * operand if operator == "*" else value + operand) % self.modulus
            if index and operator != operators[index - 1]:
                runs.append([])
            runs[-1].append(str(operand))
            chain += [operator, str(operand)]
            values.append(str(value))
        signs = [operator for operator, _ in itertools.groupby(operators)]
        joined = [sign.join(sorted(run)) for sign, run in zip(signs, runs, strict=True)]
        key = f"{self.modulus}:{joined[0]}" + "".join(s + run for s, run in zip(signs[1:], joined[1:], strict=True))
        choices = tuple(str(choice) for choice in range(self.modulus))
        return Example(key, f"mod{self.modulus}", "".join(chain), values[-1], "".join(values), choices)


def _with_carries(columns: list[int]) -> str:
    """Each column's total with the carry of the one before, units first."""
    carry, totals = 0, []
    for column in columns:
        totals.append(column + carry)
        carry = totals[-1] // 10
    return ",".join(map(str, totals))


@cache
def _most_frequent_product(num_digits: int) -> float:
    products = Counter(a * b for a in numbers(num_digits) for b in MULTIPLIERS)
    return max(products.values()) / products.total()


@cache
def _units(modulus: int) -> tuple[int, ...]:
    return tuple(unit for unit in range(2, modulus) if math.gcd(unit, modulus) == 1)
