"""What the solver asks of a sandbox: it runs programs one after another, and names that they bind stay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rlm.text import Text

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


class Printed:
    """The first `most` characters of what is printed, and how many more there were."""

    def __init__(self, most: int) -> None:
        self.most, self._parts, self._heard = most, [], 0

    def hear(self, stream: str, text: str) -> None:
        """More of it."""
        room = self.most - self._heard
        if room > 0:
            self._parts.append(text[:room])
        self._heard += len(text)

    @property
    def text(self) -> str:
        """What was kept."""
        more = self._heard - self.most
        return "".join(self._parts) + (f"\n[{more} characters more]\n" if more > 0 else "")


class Session(Protocol):
    """Runs programs. An error in one is told and leaves what was bound before it, as does one of a host's function."""

    def run(self, program: str) -> Ran:
        """Blocks until the program is over."""
        ...

    def close(self) -> None:
        """Ends what is left of it."""
        ...


class Sandbox(Protocol):
    """Makes sessions, from when it is entered until it is left."""

    @property
    def profile(self) -> Literal["sealed", "open"]:
        """sealed: text reaches no program, only models read it. open: all of Python, in a jail."""
        ...

    @property
    def layers(self) -> dict[str, Any]:
        """What stands between a program and the host: True, or why it does not; once entered."""
        ...

    def __enter__(self) -> "Sandbox": ...

    def __exit__(self, *exception: object) -> None: ...

    def session(self, functions: Functions, limits: Limits, context: Text, question: str) -> Session:
        """A session whose programs find the text as `context`; what they are to find out is in `question`."""
        ...
