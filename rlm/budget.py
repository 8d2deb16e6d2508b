"""What a solver may spend: one ledger for the whole tree of calls, asked before each call and told after it.

A call is reserved at the most it can cost, at its node and at every node above, and settled at what it cost. So no sum
passes its cap, however many calls are under way, and what a child may spend is what all above it have left.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Counter = Literal["calls", "tokens", "usd"]
COUNTERS: tuple[Counter, ...] = ("calls", "tokens", "usd")


@dataclass(frozen=True)
class Budget:
    """Caps; None: none. Tokens are those read and written, seconds those of a clock on the wall.

    Raises ValueError for a negative cap.
    """

    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value >= 0:
                raise ValueError(f"budget: {name} {value}: give 0 or more")


class Exhausted(Exception):
    """A cap would be passed; nothing was spent."""

    def __init__(self, counter: str, asked: float, left: float) -> None:
        told = f"the budget's {counter}: {_number(asked)} asked for, {_number(max(left, 0))} left"
        super().__init__("the budget's seconds are over" if counter == "seconds" else told)
        self.counter = counter


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.6f}"


@dataclass
class Spent:
    """Sums of a node and all below it: settled, and reserved for calls under way."""

    calls: float = 0
    tokens: float = 0
    usd: float = 0

    def add(self, calls: int, tokens: int, usd: float) -> None:
        """To the sums."""
        self.calls += calls
        self.tokens += tokens
        self.usd += usd


@dataclass
class Reservation:
    """Of one call, for the most it can cost; `settle` it once."""

    ledger: "Ledger"
    tokens: int
    usd: float
    open: bool = True

    def settle(self, tokens: int, usd: float) -> None:
        """What the call cost, which counts as a call even where it failed.

        Raises AssertionError where it is more than was reserved, or settled before: then somebody counted wrongly.
        """
        assert self.open, "settled twice"
        assert tokens <= self.tokens, f"{tokens} tokens of a call that reserved {self.tokens}"
        assert usd <= self.usd + 1e-12, f"{usd} usd of a call that reserved {self.usd}"
        self.open = False
        for node in self.ledger.path:
            node.reserved.add(-1, -self.tokens, -self.usd)
            node.spent.add(1, tokens, usd)


@dataclass
class Ledger:
    """A node of the tree; the root has the caps of a run, a child may have its own besides.

    spent: by what went before, at first.
    """

    budget: Budget
    parent: "Ledger | None" = None
    clock: Callable[[], float] = time.monotonic
    spent: Spent = field(default_factory=Spent)
    reserved: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        self.began = self.clock()
        self.path: tuple[Ledger, ...] = (self, *(self.parent.path if self.parent else ()))  # up to the root
        self._capped: list[Counter] = [
            counter for counter in COUNTERS if any(getattr(node.budget, counter) is not None for node in self.path)
        ]
        self._end = min(
            (node.began + node.budget.seconds for node in self.path if node.budget.seconds is not None),
            default=math.inf,
        )

    def child(self, budget: Budget | None = None) -> "Ledger":
        """A node below this one; what it spends is spent here too."""
        return Ledger(budget or Budget(), self, self.clock)

    def reserve(self, tokens: int, usd: float = 0.0) -> Reservation:
        """Room for one call that costs at most so much.

        Raises Exhausted where this node or one above it has not as much, or no time.
        """
        asked = {"calls": 1, "tokens": tokens, "usd": usd}
        for counter in self._capped:
            if asked[counter] > self.left(counter):
                raise Exhausted(counter, asked[counter], self.left(counter))
        if self.seconds_left <= 0:
            raise Exhausted("seconds", 0, 0)
        for node in self.path:
            node.reserved.add(1, tokens, usd)
        return Reservation(self, tokens, usd)

    def left(self, counter: Counter) -> float:
        """The least that this node and those above it have; infinite without a cap."""
        least = math.inf
        for node in self.path:
            cap = getattr(node.budget, counter)
            if cap is not None:
                least = min(least, cap - getattr(node.spent, counter) - getattr(node.reserved, counter))
        return least

    @property
    def seconds(self) -> float:
        """Since this node was made."""
        return self.clock() - self.began

    @property
    def seconds_left(self) -> float:
        """The least of this node and those above it; infinite without a cap."""
        return self._end - self.clock()
