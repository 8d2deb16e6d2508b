"""How a solver's programs run beside the loop: each in a thread, and its calls in the task that waits for it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from queue import SimpleQueue
from typing import Any

from rlm.budget import Exhausted
from rlm.lm import ModelError
from rlm.sandbox.session import Ran, Session


class Unsolved(Exception):
    """A solver below did not come to an answer."""


# What a call may raise that its program is told: RuntimeError where a sandbox below failed, OSError where a context's
# file did, TypeError where a tokenizer refuses a text. Any other error is one of ours, and ends the run.
TOLD = (ModelError, Exhausted, Unsolved, OSError, RuntimeError, TypeError, ValueError)
Work = Callable[[], Coroutine[Any, Any, Any]]


class Said(asyncio.Future[Work | Ran | None]):
    """What a program's thread said. The task that waits goes on within `tell`.

    The loop's next turn, in which `set_result` would have it go on, begins with a system call, and so lets the thread
    have the interpreter before its answer is there.
    """

    _waiting: tuple[Callable[[Any], object], Context]

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Of the task that waits."""
        assert context is not None, "only a task waits"
        self._waiting = fn, context
        super().add_done_callback(fn, context=context)

    def tell(self, said: Work | Ran | None) -> None:
        """Sets the result, unless the task was cancelled meanwhile."""
        if not self.done():
            go_on, context = self._waiting
            self.remove_done_callback(go_on)
            self.set_result(said)
            context.run(go_on, self)


class Runner:
    """Runs the programs of one solver, one at a time.

    A call is part of the task that waits for its program: it costs a wake-up of the loop and one of the thread, and
    ends with the task. over: the run ended before its program, which may go on in its thread but is answered no more.
    """

    def __init__(self) -> None:
        self.over = False
        self._loop = asyncio.get_running_loop()
        self._said = Said(loop=self._loop)
        self._answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

    async def run(self, session: Session, program: str) -> Ran:
        """What the program left. Nothing waits for its thread: a run that is interrupted ends before its program does.

        Raises RuntimeError where the sandbox failed.
        """
        threading.Thread(target=self._in_thread, args=(session, program), daemon=True).start()
        ended = False
        try:
            while callable(said := await self._said):
                answer = await _answer(said)
                self._said = Said(loop=self._loop)
                self._answers.put(answer)
            self._said, ended = Said(loop=self._loop), True
        finally:
            if not ended:
                self.over = True
                self._answers.put((None, _run_is_over()))
        if said is None:
            raise RuntimeError("the sandbox failed; its traceback is above")
        return said

    def call(self, work: Work) -> Any:
        """In a program's thread: what the work comes to; raises its error, and RuntimeError once the run is over."""
        if self.over:
            raise _run_is_over()
        self._say(work)
        found, error = self._answers.get()
        if error is not None:
            raise error
        return found

    def _in_thread(self, session: Session, program: str) -> None:
        ran = None
        try:
            ran = session.run(program)
        finally:
            if not self._loop.is_closed():
                self._say(ran)

    def _say(self, said: Work | Ran | None) -> None:
        self._loop.call_soon_threadsafe(lambda: self._said.tell(said))


async def _answer(work: Work) -> tuple[Any, Exception | None]:
    try:
        return await work(), None
    except TOLD as error:
        return None, error


def _run_is_over() -> RuntimeError:
    return RuntimeError("the run is over")
