"""A session of the jail: says to its process what to run, serves its calls, and ends it where it must."""

import os
import secrets
import signal
import time
from collections.abc import Callable
from typing import Any

from rlm.sandbox import values
from rlm.sandbox.binding import Context
from rlm.sandbox.child import Child, Lost
from rlm.sandbox.session import Functions, Limits, Ran

# From the gentle interrupt to the kill.
GRACE_SECONDS = 0.5
_SECONDS_TO_START = 30.0
_MAX_ERROR = 5000


class Confined:
    """A `Session` in a process of its own, which is started with the first program and anew where one was lost.

    Names bound by programs stay, but those of the functions are theirs again at each program's begin.
    """

    def __init__(
        self,
        fork: Callable[[int, int | None], Child],
        functions: Functions,
        limits: Limits,
        context: Context | None,
        forget: Callable[["Confined"], None],
    ) -> None:
        self._fork, self._functions, self._limits, self._forget = fork, dict(functions), limits, forget
        self._context, self._file = context, None
        if context is not None:
            # Anew: to read only, and with a place in the file that is not shared.
            self._file = os.open(f"/proc/self/fd/{context.fd}", os.O_RDONLY | os.O_CLOEXEC)
        self._child: Child | None = None
        self._closed = self._busy = False

    def run(self, program: str) -> Ran:
        """See `Session`. Raises ValueError once it is closed, and where a program runs already."""
        if self._closed or self._busy:
            raise ValueError(f"the session {'is closed' if self._closed else 'runs one program at a time'}")
        self._busy, fit = True, False
        try:
            self._child = self._child or self._start()
            turn = Turn(self._child, self._functions, self._limits, self._context)
            try:
                error = turn.run(program)
                fit = True
            except Lost as reason:
                error = f"SessionLost: {reason}; all names are gone"
            return Ran("".join(turn.printed), error, turn.seconds(), lost=not fit)
        finally:
            self._busy = False
            if self._closed or not fit:
                self._end()

    def _start(self) -> Child:
        child = self._fork(self._limits.memory_bytes, self._file)
        started = False
        try:
            extra = {} if self._context is None else self._context.extra
            start = values.pack({"functions": list(self._functions), "extra": extra})
            deadline = time.monotonic() + _SECONDS_TO_START
            child.send(start, deadline)
            held = child.receive(deadline)["layers"]
            fallen = [name for name in child.must_hold if held.get(name, True) is not True]
            if fallen:
                raise RuntimeError(f"the sandbox's {fallen[0]} does not hold any more: {held[fallen[0]]}")
            started = True
        except Lost as reason:
            raise RuntimeError(f"a session of the sandbox did not start: {reason}") from reason
        finally:
            if not started:
                child.kill()
        return child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def close(self) -> None:
        """Kills its process. A program that runs in another thread ends as lost."""
        self._closed = True
        self._forget(self)
        if self._busy and self._child is not None:
            self._child.signal(signal.SIGKILL)
        else:
            self._end()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "Confined":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Turn:
    """One program: what it printed so far, its calls, and its clock, which stands while a function of the host runs."""

    def __init__(self, child: Child, functions: Functions, limits: Limits, context: Context | None) -> None:
        self.child, self.functions, self.limits = child, functions, limits
        self.refer = values.no_reference if context is None else context.refer
        self.restore = values.no_text if context is None else context.restore
        self.printed: list[str] = []
        self.characters_left = limits.printed
        self.num_calls = 0
        self.started, self.waited, self.ended = time.monotonic(), 0.0, None
        self.interrupted = False
        self.mark = secrets.token_hex(8)  # which the end of this program bears, and that of no other

    def seconds(self) -> float:
        """Of its own, up to now or to its end."""
        return (self.ended or time.monotonic()) - self.started - self.waited

    def run(self, program: str) -> str | None:
        """The error it ended with. Raises Lost where its process cannot go on."""
        if not self.child.silent():
            raise Lost("it spoke between programs")
        self.child.signal(signal.SIGCONT)
        try:
            error = self._converse(program)
        except TimeoutError:
            raise Lost(f"TimeoutError: it ran for more than {self.limits.seconds} s and would not stop") from None
        finally:
            self.ended = time.monotonic()
        # Nothing of it runs on.
        self.child.signal(signal.SIGSTOP)
        if self.interrupted:
            late = f"TimeoutError: stopped after {self.limits.seconds} s; the names that it bound are kept"
            return late if error is None else f"{error}\n{late}"
        return error

    def _deadline(self) -> float:
        return self.started + self.waited + self.limits.seconds + GRACE_SECONDS * self.interrupted

    def _send(self, frame: bytes) -> None:
        # An answer may fall due with the time: what is half sent can't be stopped gently, so it has the grace as well.
        self.child.send(frame, self._deadline() + GRACE_SECONDS)

    def _converse(self, program: str) -> str | None:
        frame = values.pack({"program": program, "printed": self.limits.printed, "mark": self.mark})
        self._send(frame)
        while True:
            try:
                message = self.child.receive(self._deadline())
            except TimeoutError:
                if self.interrupted:
                    raise
                self.interrupted = True
                self.child.signal(signal.SIGINT)
                continue
            match message:
                case {"printed": str(text), **rest} if not rest:
                    self._print(text)
                case {"done": None, "mark": self.mark, **rest} if not rest:
                    return None
                case {"done": str(error), "mark": self.mark, **rest} if not rest:
                    return values.printable(error[:_MAX_ERROR])
                case {"call": str(name), "args": list(arguments), "kwargs": dict(named), **rest} if not rest:
                    self._serve(name, arguments, named)
                case {"done": _}:
                    raise Lost("it sent an end that is not its own")
                case _:
                    raise Lost("it sent a frame of no known kind")

    def _print(self, text: str) -> None:
        if self.characters_left > 0:
            kept = values.printable(text[: self.characters_left])[: self.characters_left]
            self.printed.append(kept)
            self.characters_left -= len(kept)

    def _serve(self, name: str, arguments: list[Any], named: dict[str, Any]) -> None:
        if name not in self.functions:
            raise Lost("it called a function that there is not")
        self.num_calls += 1
        try:
            arguments = values.decode(arguments, self.restore)
            named = values.decode(named, self.restore)
        except ValueError as error:
            raise Lost(f"it called {name} with what cannot be: {error}") from error
        if self.interrupted:
            frame = _failure("TimeoutError: out of time")
        elif self.num_calls > self.limits.calls:
            frame = _failure(f"CallsExhausted: no more than {self.limits.calls} calls in one program")
        else:
            before = time.monotonic()
            frame = self._call(name, arguments, named)
            self.waited += time.monotonic() - before
        self._send(frame)

    def _call(self, name: str, arguments: list[Any], named: dict[str, Any]) -> bytes:
        try:
            result = self.functions[name](*arguments, **named)
            frame = values.pack({"value": values.encode(result, self.refer)})
        except Exception as error:  # noqa: BLE001 whatever a function raises is told to the program
            return _failure(_told(error))
        if len(frame) > values.MAX_ANSWER_BYTES:
            return _failure(f"ValueError: {name} gave {len(frame)} bytes, at most {values.MAX_ANSWER_BYTES} may be")
        return frame


def _told(error: Exception) -> str:
    """Its kind and message; for one of the operating system without the path."""
    message = error.strerror or "" if isinstance(error, OSError) and error.filename is not None else str(error)
    return f"{type(error).__name__}: {message}"[:_MAX_ERROR]


def _failure(told: str) -> bytes:
    return values.pack({"error": told})
