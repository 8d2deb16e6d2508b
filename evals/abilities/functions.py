"""In-context learning of functions: a line modulo ten, a boolean function."""

import itertools
import math
import random
from dataclasses import dataclass
from functools import cache
from string import digits
from typing import ClassVar

from evals.abilities.ability import Ability, Example, Kind, check_dial


@dataclass(frozen=True)
class Linear(Ability):
    """Values of y = a x + b modulo 10, then an x that is not among them (`lin:3=7,1=1,8=2,2=4,6>6.`: a = 3, b = 8).

    a is not 0, and the shown determine a and b. Key: the shown in order of x, `1=1,2=4,3=7,8=2`, whatever is asked.
    """

    name: ClassVar[str] = "linear"
    kind: ClassVar[Kind] = "in-context"

    num_shown: int = 4

    def __post_init__(self) -> None:
        check_dial("num_shown", self.num_shown, 2, 9)

    @property
    def chance(self) -> float:
        """The guesser picks a digit."""
        return 0.1

    @property
    def max_characters(self) -> int:
        """`lin:`, four characters a shown one, `6>6.`."""
        return 8 + 4 * self.num_shown

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Two x whose difference is a unit modulo 10 give a and b; more x do so together."""
        a, b = rng.randint(1, 9), rng.randrange(10)
        while True:
            *xs, asked = rng.sample(range(10), self.num_shown + 1)
            if math.gcd(10, *(x - xs[0] for x in xs)) == 1:
                break
        shown = [f"{x}={(a * x + b) % 10}" for x in xs]
        key, answer = ",".join(sorted(shown)), str((a * asked + b) % 10)
        return Example(key, "lin", f"{','.join(shown)},{asked}", answer, choices=tuple(digits))


@dataclass(frozen=True)
class Boolean(Ability):
    """Values of a function of one or two of the bits, then bits that are not among them (`boo:011=1,...,110>0.`).

    The shown determine the answer among all such functions. How many of them are 1 depends on the function but not on
    the answer, so that counting does not help. Key: the shown in order, then what is asked, `001=0,...,111=1,110`.
    """

    name: ClassVar[str] = "boolean"
    kind: ClassVar[Kind] = "in-context"

    num_bits: int = 3
    num_shown: int = 5

    def __post_init__(self) -> None:
        check_dial("num_bits", self.num_bits, 3, 4)
        check_dial("num_shown", self.num_shown, 4, {3: 6, 4: 7}[self.num_bits])

    @property
    def chance(self) -> float:
        """The guesser says 0 or 1."""
        return 0.5

    @property
    def max_characters(self) -> int:
        """`boo:`, the shown with `=`, a value and a comma, the asked with `>`, a value and `.`."""
        return 7 + self.num_bits + (self.num_bits + 3) * self.num_shown

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """The function and the answer first, then inputs until they determine it."""
        functions = boolean_functions(self.num_bits)
        function, answer = rng.choice(functions), rng.getrandbits(1)
        counts = self._num_shown_by_value(function, rng)
        inputs = _inputs_by_value(self.num_bits, function)
        while True:
            asked = rng.choice(inputs[answer])
            shown: list[int] = []
            for value in (0, 1):
                shown += rng.sample([x for x in inputs[value] if x != asked], counts[value])
            if _determined(functions, function, shown, asked):
                break
        rng.shuffle(shown)
        values = [f"{x:0{self.num_bits}b}={function >> x & 1}" for x in shown]
        query = f"{asked:0{self.num_bits}b}"
        key = ",".join([*sorted(values), query])
        return Example(key, "boo", f"{','.join(values)},{query}", str(answer), choices=("0", "1"))

    def _num_shown_by_value(self, function: int, rng: random.Random) -> tuple[int, int]:
        """How many inputs of value 0 and of value 1 are shown; one of each value is always left to be asked."""
        num_inputs, num_ones = 2**self.num_bits, function.bit_count()
        rarer = rng.getrandbits(1) if 2 * num_ones == num_inputs else int(2 * num_ones < num_inputs)
        num_rarer = min(num_ones, num_inputs - num_ones)
        num_rarer_shown = min(num_rarer - 1, (2 * self.num_shown * num_rarer + num_inputs) // (2 * num_inputs))
        num_others = self.num_shown - num_rarer_shown
        return (num_others, num_rarer_shown) if rarer else (num_rarer_shown, num_others)


@cache
def boolean_functions(num_bits: int) -> tuple[int, ...]:
    """The functions of one or two of the bits that are not constant; bit x of each is its value at the input x."""
    found = set()
    for i, j in itertools.combinations(range(num_bits), 2):
        for table in range(1, 15):
            found.add(sum((table >> (2 * (x >> i & 1) + (x >> j & 1)) & 1) << x for x in range(2**num_bits)))
    return tuple(sorted(found))


@cache
def _inputs_by_value(num_bits: int, function: int) -> tuple[list[int], list[int]]:
    inputs = range(2**num_bits)
    return [x for x in inputs if not function >> x & 1], [x for x in inputs if function >> x & 1]


def _determined(functions: tuple[int, ...], function: int, shown: list[int], asked: int) -> bool:
    """Whether every function that agrees with this one on the shown does so on the asked."""
    mask, asked_mask = sum(1 << x for x in shown), 1 << asked
    return all((other ^ function) & mask or not (other ^ function) & asked_mask for other in functions)
