"""What the solver asks of a sandbox: it runs programs one after another, and names that they bind stay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# What a program may call. They run in the host, one at a time, in the thread that runs the program. Arguments and
# results are None, bool, int, float, str, lists, dicts with str keys, or texts.
Functions = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    seconds: of its own, not counting what it waits for the host's functions. memory_bytes: of all programs of a session
    together. printed: characters, the rest is left out. calls: of the host's functions.

    Raises ValueError for what is not above 0.
    """

    seconds: float = 30.0
    memory_bytes: int = 1 << 30
    printed: int = 20_000
    calls: int = 100_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"{name} {value}: give more than 0")


@dataclass(frozen=True)
class Ran:
    """What a program left: what it printed, the error that ended it, and its own seconds.

    lost: the session is over and its names are gone, where a program could be stopped in no other way; the next
    program begins with none.
    """

    printed: str
    error: str | None
    seconds: float
    lost: bool = False


class Session(Protocol):
    """Runs programs. An error in one is told and leaves what was bound before it."""

    def run(self, program: str) -> Ran:
        """Blocks until the program is over; what the host's functions raise as BaseException passes through."""
        ...

    def close(self) -> None:
        """Ends what is left of it."""
        ...
