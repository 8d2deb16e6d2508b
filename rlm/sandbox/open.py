"""The open profile: all of Python and the whole text, in a process that the kernel confines."""

from typing import Any, Literal

from rlm.sandbox.binding import Context
from rlm.sandbox.jail import Jail
from rlm.sandbox.session import Functions, Limits, Session
from rlm.text import Text


class Open:
    """A jail, made when it is entered; unsafe: also where the system lacks Landlock or seccomp.

    Raises ValueError on entering where it lacks them otherwise.
    """

    profile: Literal["open"] = "open"

    def __init__(self, unsafe: bool = False) -> None:
        self.unsafe = unsafe

    def __enter__(self) -> "Open":
        self._jail = Jail(self.unsafe)
        return self

    def __exit__(self, *exception: object) -> None:
        self._jail.close()

    @property
    def layers(self) -> dict[str, Any]:
        """Of the jail: True, or why it does not hold."""
        return self._jail.layers

    def session(self, functions: Functions, limits: Limits, context: Text, question: str) -> Session:
        """A process of its own."""
        return self._jail.session(functions, limits, Context.of(context, question))
