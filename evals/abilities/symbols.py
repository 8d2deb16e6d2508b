"""Step-by-step reasoning with symbols: parity, pointers, boolean expressions."""

import random
from dataclasses import dataclass
from string import ascii_lowercase
from typing import ClassVar

from evals.abilities.ability import Ability, Example, Kind, Style, check_dial, check_fits

BITS = ("0", "1")
OPERANDS = {
    ("&", 0): ((0, 0), (0, 1), (1, 0)),
    ("&", 1): ((1, 1),),
    ("|", 0): ((0, 0),),
    ("|", 1): ((0, 1), (1, 0), (1, 1)),
    ("^", 0): ((0, 0), (1, 1)),
    ("^", 1): ((0, 1), (1, 0)),
}


@dataclass(frozen=True)
class Parity(Ability):
    """Whether the number of ones is odd (`par:01101>1.`). Steps: the parity so far (`par#01101>01001=1.`).

    Key: the bits.
    """

    name: ClassVar[str] = "parity"
    kind: ClassVar[Kind] = "reasoning"
    styles: ClassVar[tuple[Style, ...]] = ("direct", "steps")

    num_bits: int = 12

    def __post_init__(self) -> None:
        check_dial("num_bits", self.num_bits, 5, 27)

    @property
    def chance(self) -> float:
        """The guesser says 0 or 1. One that says whether most bits are ones gets a little more: .61 of 12 bits."""
        return 0.5

    @property
    def max_characters(self) -> int:
        """`par#`, the bits, `>`, as many parities, `=1.`."""
        return 8 + 2 * self.num_bits

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """Bits at random."""
        bits = rng.choices(BITS, k=self.num_bits)
        parity, parities = False, []
        for bit in bits:
            parity ^= bit == "1"
            parities.append(BITS[parity])
        key = "".join(bits)
        return Example(key, "par", key, parities[-1], "".join(parities), BITS)


@dataclass(frozen=True)
class Pointers(Ability):
    """Where k hops lead along arrows (`ptr:ca,ab,bd,dc?a2>d.`: a to b to d). Steps: the nodes on the way (`bd=d`).

    The arrows form one cycle. Key: the arrows in alphabetical order, `ab,bd,ca,dc`, whatever is asked.
    """

    name: ClassVar[str] = "pointers"
    kind: ClassVar[Kind] = "reasoning"
    styles: ClassVar[tuple[Style, ...]] = ("direct", "steps")

    num_nodes: int = 8
    num_hops: int = 2

    def __post_init__(self) -> None:
        check_dial("num_nodes", self.num_nodes, 4, 17)
        check_dial("num_hops", self.num_hops, 1, self.num_nodes - 2)  # With one more it is one hop backwards.
        check_fits("num_hops", self.num_hops, self.max_characters)

    @property
    def chance(self) -> float:
        """The guesser picks a node that is shown and is not the start."""
        return 1 / (self.num_nodes - 1)

    @property
    def max_characters(self) -> int:
        """`ptr#`, three characters an arrow, of which the last has no comma, `?a2>`, the nodes on the way, `=d.`."""
        return 9 + len(str(self.num_hops)) + 3 * self.num_nodes + self.num_hops

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """A cycle in random order that starts at its first node."""
        nodes = rng.sample(ascii_lowercase, self.num_nodes)
        arrows = [a + b for a, b in zip(nodes, [*nodes[1:], nodes[0]], strict=True)]
        key = ",".join(sorted(arrows))
        rng.shuffle(arrows)
        way = "".join(nodes[1 : self.num_hops + 1])
        body = f"{','.join(arrows)}?{nodes[0]}{self.num_hops}"
        return Example(key, "ptr", body, way[-1], way, tuple(sorted(nodes[1:])))


@dataclass(frozen=True)
class Logic(Ability):
    """A boolean expression (`log:!((0&1)|1)>0.`). Steps: the value at each closing bracket (`log#!((0&1)|1)>00=0.`).

    A `!` before a bracket negates it. The answer is drawn before the operands, so that the operators alone do not tell
    it. Key: the expression with the two sides of every operator in order of their text.
    """

    name: ClassVar[str] = "logic"
    kind: ClassVar[Kind] = "reasoning"
    styles: ClassVar[tuple[Style, ...]] = ("direct", "steps")

    num_operators: int = 4

    def __post_init__(self) -> None:
        check_dial("num_operators", self.num_operators, 2, 8)

    @property
    def chance(self) -> float:
        """The guesser says 0 or 1."""
        return 0.5

    @property
    def max_characters(self) -> int:
        """`log#`, six characters an operator (its step too) and one bit more than operators, `>`, `=0.`."""
        return 9 + 6 * self.num_operators

    def draw(self, rng: random.Random, held_out: bool) -> Example:
        """An expression that has a value drawn beforehand."""
        value = rng.getrandbits(1)
        text, key, steps = _expression(rng, self.num_operators, value)
        return Example(key, "log", text, str(value), steps, BITS)


def _expression(rng: random.Random, num_operators: int, value: int) -> tuple[str, str, str]:
    """An expression of that value: its text, its canonical text, the values at its closing brackets."""
    if not num_operators:
        return BITS[value], BITS[value], ""
    negated = rng.getrandbits(1)
    operator = rng.choice("&|^")
    left_value, right_value = rng.choice(OPERANDS[operator, value ^ negated])
    num_left = rng.randrange(num_operators)
    left, left_key, left_steps = _expression(rng, num_left, left_value)
    right, right_key, right_steps = _expression(rng, num_operators - 1 - num_left, right_value)
    sign = "!" * negated
    first, second = sorted((left_key, right_key))
    key = f"{sign}({first}{operator}{second})"
    return f"{sign}({left}{operator}{right})", key, left_steps + right_steps + BITS[value]
