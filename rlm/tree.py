"""The tree of a run: solvers that write programs, and the sub-calls that the programs make."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rlm.budget import Budget, Exhausted, Ledger
from rlm.calls import Caller, TooLong
from rlm.lm import LanguageModel, Message, Messages, ModelError
from rlm.prompts import Setting
from rlm.sandbox.session import Ran, Sandbox, Session
from rlm.text import Text
from rlm.trace import Trace

if TYPE_CHECKING:
    from rlm.solver import RLM

Status = Literal["done", "exhausted", "failed"]
Found = TypeVar("Found")
LEAF_PROMPT_TOKENS = 128  # about, of a sub-call's question and rules
CHARACTERS_A_TOKEN = 3  # of a text that a sub-call is offered: few, so that most texts of that length fit
NO_PROGRAM = "Your reply had no program: reply with one in a ```python fence, and call answer(value) when you know."


@dataclass(frozen=True)
class Outcome:
    """How a node ended."""

    answer: Any
    status: Status
    reason: str


class Node:
    """A solver in the tree: what it may spend, and what its programs said is the answer."""

    def __init__(self, tree: "Tree", number: int, depth: int, ledger: Ledger, question: str) -> None:
        self.tree, self.number, self.depth, self.ledger, self.question = tree, number, depth, ledger, question
        self.loop = asyncio.get_running_loop()
        self.best: Any = None
        self.ready = False
        self.over = False
        self.waiting: set[Future[Any]] = set()

    def functions(self) -> dict[str, Callable[..., Any]]:
        """What its programs may call: they wait in their own thread while the loop goes on."""
        found: dict[str, Callable[..., Any]] = {"answer": self.answer}
        if self.depth > 0:
            found |= {"ask": self.ask, "ask_all": self.ask_all}
        if self.depth > 1:
            found |= {"rlm": self.rlm, "rlm_all": self.rlm_all}
        return found

    def answer(self, value: Any, ready: bool = True) -> None:
        """The answer, or the best so far."""
        value = str(value) if isinstance(value, Text) else value
        self.best = self.tree.typed(value) if self.number == 0 else value
        self.ready = ready

    def ask(self, question: str, text: Text | str) -> str:
        """A model's answer about a text."""
        return self._await(self.read(question, text))

    def ask_all(self, question: str, texts: Sequence[Text | str]) -> list[str]:
        """The same of each text, side by side."""
        return self._await(self._all(self.read, question, texts))

    def rlm(self, question: str, text: Text | str) -> Any:
        """A solver's answer about a text."""
        return self._await(self._rlm(question, text))

    def rlm_all(self, question: str, texts: Sequence[Text | str]) -> list[Any]:
        """The same of each text, side by side."""
        return self._await(self._all(self._rlm, question, texts))

    def _await(self, work: Coroutine[Any, Any, Found]) -> Found:
        if self.over:
            work.close()
            raise RuntimeError("the run is over")
        waiting = asyncio.run_coroutine_threadsafe(work, self.loop)
        self.waiting.add(waiting)
        try:
            return waiting.result()
        finally:
            self.waiting.discard(waiting)

    def cancel(self) -> None:
        """Ends what its program waits for, when the run itself is to end: the program is told of an error."""
        self.over = True
        for waiting in list(self.waiting):
            waiting.cancel()

    async def _all(
        self, one: Callable[[str, Text | str], Coroutine[Any, Any, Found]], question: str, texts: Sequence[Text | str]
    ) -> list[Found]:
        """All, or the first error once the others have ended."""
        found = await asyncio.gather(*(one(question, text) for text in texts), return_exceptions=True)
        for result in found:
            if isinstance(result, BaseException):
                raise result
        return [result for result in found if not isinstance(result, BaseException)]

    async def read(self, question: str, text: Text | str) -> str:
        """The answer of the model that reads."""
        reply = await self.tree.caller.call(
            self.tree.models[-1],
            lambda: self.tree.asked.prompts.leaf(question, str(text)),
            self.tree.asked.leaf_tokens,
            self.ledger,
            self.number,
            "ask",
        )
        return reply.text.strip()

    async def _rlm(self, question: str, text: Text | str) -> Any:
        context = Text.of(text) if isinstance(text, str) else text
        async with self.tree.places[self.depth - 1]:
            found = await self.tree.solve(question, context, self.depth - 1, self.ledger.child(), self.number)
        if found.status == "failed":
            raise ModelError(found.reason)
        return found.answer


class Tree:
    """All nodes of a run, which share a sandbox, a trace and the places for calls."""

    def __init__(self, asked: "RLM", sandbox: Sandbox, caller: Caller, trace: Trace, answer_type: Any) -> None:
        self.asked, self.sandbox, self.caller, self.trace = asked, sandbox, caller, trace
        self.models = asked.models
        # Of each depth: a solver that waits holds a place of its own level alone, so the one it waits for gets one.
        self.places = [asyncio.Semaphore(asked.concurrency) for _ in range(asked.depth)]
        self._typed = _validator(answer_type)

    def typed(self, value: Any) -> Any:
        """The final answer as it was asked for; raises ValueError where the value is none such."""
        return self._typed(value)

    async def solve(
        self, question: str, context: Text, depth: int, ledger: Ledger, parent: int | None = None
    ) -> Outcome:
        """A node and all below it, from its first prompt to its answer."""
        number = self.trace.node(parent, "rlm", depth, question, context_bytes=context.num_bytes)
        lm = self.models[min(self.asked.depth - depth, len(self.models) - 1)]
        node = Node(self, number, depth, ledger, question)
        outcome = await self._root(node, lm, context) if depth or parent is None else await self._leaf(node, context)
        self.trace.write("end", node=number, **vars(outcome), seconds=ledger.seconds)
        return outcome

    async def _leaf(self, node: Node, context: Text) -> Outcome:
        """A solver that may go no deeper is a model."""
        try:
            return Outcome(await node.read(node.question, context), "done", "")
        except Exhausted as over:
            return Outcome(None, "exhausted", str(over))
        except (TooLong, ModelError) as failed:
            return Outcome(None, "failed", str(failed))

    async def _root(self, node: Node, lm: LanguageModel, context: Text) -> Outcome:
        asked = self.asked
        begin = asked.prompts.begin(node.question, context, self._setting(node))
        messages = begin
        session = self.sandbox.session(node.functions(), asked.limits, context, node.question)
        try:
            for _ in range(asked.max_turns):
                messages = _fitting(messages, len(begin), lm, asked.max_tokens)
                try:
                    reply = await self.caller.call(
                        lm, lambda said=messages: said, asked.max_tokens, node.ledger, node.number, "root"
                    )
                except Exhausted as over:
                    return Outcome(node.best, "exhausted", str(over))
                except (TooLong, ModelError) as failed:
                    return Outcome(node.best, "failed", str(failed))
                output = NO_PROGRAM
                program = asked.prompts.program(reply.text)
                if program is not None:
                    ran = await _in_thread(session, program)
                    self.trace.write("program", node=node.number, code=program, **vars(ran))
                    output = _told(ran)
                if node.ready:
                    return Outcome(node.best, "done", "")
                messages = (*messages, Message("assistant", reply.text), asked.prompts.told(output))
        except asyncio.CancelledError:
            node.cancel()  # and leave the session to the sandbox's end: a program may still run in it
            raise
        finally:
            if not node.over:
                session.close()
        return Outcome(node.best, "exhausted", f"max_turns {asked.max_turns}: no final answer until then")

    def _setting(self, node: Node) -> Setting:
        """The same in every run, whatever was spent until then: a prompt that differed would not be found again."""
        room = self.models[-1].window - self.asked.leaf_tokens - LEAF_PROMPT_TOKENS
        return Setting(
            self.sandbox.profile, node.depth, self.asked.limits.printed, max(0, room) * CHARACTERS_A_TOKEN,
            _caps(self.asked.budget) if node.number == 0 else "",
        )  # fmt: skip


async def _in_thread(session: Session, program: str) -> Ran:
    """Runs a program in a thread that nothing waits for: a run that is interrupted ends before its program does."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Ran] = loop.create_future()

    def settle(ran: Ran | None) -> None:
        if found.cancelled():
            return
        if ran is None:
            found.set_exception(RuntimeError("the sandbox failed; its traceback is above"))
        else:
            found.set_result(ran)

    def run() -> None:
        ran = None
        try:
            ran = session.run(program)
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, ran)

    threading.Thread(target=run, daemon=True).start()
    return await found


def _fitting(messages: Messages, num_kept: int, lm: LanguageModel, max_tokens: int) -> Messages:
    """The messages, but for the earliest programs and outputs that the window has no room for."""
    while lm.num_tokens(messages) + max_tokens > lm.window and len(messages) > num_kept + 2:
        messages = (*messages[:num_kept], *messages[num_kept + 2 :])
    return messages


def _told(ran: Ran) -> str:
    lost = "\nThe REPL had to be begun anew: its names are gone." if ran.lost else ""
    return (f"{ran.printed}{ran.error or ''}" or "[nothing printed]") + lost


def _caps(budget: Budget) -> str:
    """The whole run's, in a sentence; nothing where nothing is capped."""
    caps = {"calls": budget.calls, "tokens": budget.tokens, "seconds": budget.seconds, "US dollars": budget.usd}
    told = [f"{cap:,} {name}" for name, cap in caps.items() if cap is not None]
    return f"You have {', '.join(told)} for all of this." if told else ""


def _validator(answer_type: Any) -> Callable[[Any], Any]:
    if answer_type is None:
        return lambda value: value
    from pydantic import TypeAdapter

    return TypeAdapter(answer_type).validate_python
