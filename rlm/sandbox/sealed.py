"""The sealed profile: programs in pydantic-monty, to which a text is a thing to hand on and never to read.

Only models turn text into values. What a program may learn of it besides is how long it is, and where literals stand
that it has from the question or from a model's answer.
"""

import ast
import time
from collections.abc import Callable
from typing import Any, Literal

import pydantic_monty
from pydantic_monty import ClassInstance, Monty, MontySession

from rlm.programs import parsed
from rlm.sandbox.session import Functions, Limits, Printed, Ran, Session
from rlm.text import Text

IMPORTS = {"collections", "math", "statistics", "itertools", "json"}
MOST_SESSIONS = 4096  # a solver holds one while its children have theirs


class Sealed:
    """A pool of workers, each a process."""

    profile: Literal["sealed"] = "sealed"

    @property
    def layers(self) -> dict[str, Any]:
        """Its interpreter knows no files, processes or network, and runs in a process of its own."""
        return {"interpreter": True, "process": True}

    def __enter__(self) -> "Sealed":
        self._pool = Monty(max_processes=MOST_SESSIONS)
        self._pool.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.__exit__(None, None, None)

    def session(self, functions: Functions, limits: Limits, context: Text, question: str) -> Session:
        """A worker of its own."""
        return _SealedSession(self._pool, functions, limits, context, question)


class Opaque:
    """A text as a program has it; known: the question, and what models answered in the session."""

    def __init__(self, text: Text, known: list[str]) -> None:
        self.text, self.known = text, known

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.text)

    @property
    def num_lines(self) -> int:
        """Lines."""
        return self.text.num_lines

    def lines(self, first: int, last: int) -> ClassInstance:
        """The lines from `first` to before `last`."""
        return shown(self.text.lines(first, last), self.known)

    def split(self, num_bytes: int) -> list[ClassInstance]:
        """Parts of at most so many bytes."""
        return [shown(part, self.known) for part in self.text.split(num_bytes)]

    def grep(self, literal: str) -> list[ClassInstance]:
        """Lines that a known literal stands in; raises ValueError for another."""
        if not literal or not any(literal in one for one in self.known):
            raise ValueError(f"grep {literal!r}: it stands neither in the question nor in an answer")
        return [shown(part, self.known) for part in self.text.grep(literal)]


def shown(text: Text, known: list[str]) -> ClassInstance:
    """What crosses: a handle, whose size is counted when it is asked for."""
    return ClassInstance(
        Opaque(text, known), lazy_attrs={"size", "num_lines"}, allowed_methods={"lines", "split", "grep"}
    )


class _SealedSession:
    def __init__(self, pool: Monty, functions: Functions, limits: Limits, context: Text, question: str) -> None:
        self._pool, self._limits = pool, limits
        self._waited = 0.0
        self._functions = {name: self._opened(function) for name, function in functions.items()}
        self._known = [question]
        self._inputs = {"context": shown(context, self._known), "question": question}
        self._session: MontySession | None = None

    def run(self, program: str) -> Ran:
        refused = forbidden(program)
        if refused:
            return Ran("", refused, 0.0)
        session = self._begun()
        printed, error, lost = Printed(self._limits.printed), None, False
        began, self._waited = time.perf_counter(), 0.0
        try:
            value = session.feed_run(
                program, inputs=self._inputs, external_lookup=self._functions, print_callback=printed.hear
            )
        except pydantic_monty.MontyCrashedError as crashed:
            error, lost, value = str(crashed), True, None
        except pydantic_monty.MontySyntaxError as wrong:
            error, value = wrong.display("type-msg"), None
        except pydantic_monty.MontyError as wrong:
            error, value = str(wrong), None
            lost = isinstance(wrong.exception(), TimeoutError | MemoryError)  # the heap may be half changed
        if lost:
            self.close()
        if value is not None:
            printed.hear("stdout", f"{value!r}\n")
        return Ran(printed.text, error, time.perf_counter() - began - self._waited, lost)

    def _begun(self) -> MontySession:
        if self._session is None:
            self._session = self._pool.checkout(
                script_name="<program>",
                limits={
                    "max_feed_duration_secs": self._limits.seconds,
                    "max_memory": self._limits.memory_bytes,
                    "max_suspensions": self._limits.calls,
                },
                os_policy={"sleep": "zero", "random_start": {"seed": 0}},
            )
            self._session.__enter__()
        return self._session

    def _opened(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function for texts, not handles."""

        def called(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                found = function(*map(opened, arguments), **{name: opened(value) for name, value in named.items()})
            finally:
                self._waited += time.perf_counter() - began
            self._known += [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str)]
            return self._closed(found)

        return called

    def _closed(self, value: Any) -> Any:
        """Handles for the texts in a value that goes to a program."""
        if isinstance(value, Text):
            return shown(value, self._known)
        return [self._closed(one) for one in value] if isinstance(value, list) else value

    def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.__exit__(None, None, None)


def opened(value: Any) -> Any:
    """The texts in a value that came from a program."""
    if isinstance(value, Opaque):
        return value.text
    if isinstance(value, list | tuple):
        return [opened(one) for one in value]
    if isinstance(value, dict):
        return {name: opened(one) for name, one in value.items()}
    return value


def forbidden(program: str) -> str | None:
    """Why a program may not run, None where it may: of modules only those that work on answers."""
    try:
        tree = parsed(program)
    except SyntaxError as error:
        return f"SyntaxError: {error}"
    for part in ast.walk(tree):
        named = []
        if isinstance(part, ast.Import):
            named = [alias.name for alias in part.names]
        elif isinstance(part, ast.ImportFrom):
            named = [part.module or "."]
        for name in named:
            if name not in IMPORTS:
                return f"ImportError: {name} is not to be had here: use {', '.join(sorted(IMPORTS))}"
    return None
