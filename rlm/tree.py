"""The tree of a run: solvers that write programs, and the sub-calls that the programs make."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from rlm.budget import Exhausted, Ledger
from rlm.calls import Caller, TooLong
from rlm.lm import LanguageModel, Message, Messages, ModelError
from rlm.node import Node
from rlm.prompts import Setting
from rlm.sandbox.session import Ran, Sandbox, Session
from rlm.text import Text
from rlm.trace import Trace

if TYPE_CHECKING:
    from rlm.solver import RLM

Status = Literal["done", "exhausted", "failed"]
LEAF_PROMPT_TOKENS = 128  # about, of a sub-call's question and rules
CHARACTERS_A_TOKEN = 3  # of a text that a sub-call is offered: few, so that most texts of that length fit
MIN_PRINTED = 200
NO_PROGRAM = "Your reply had no program: reply with one in a ```python fence, and call answer(value) when you know."


@dataclass(frozen=True)
class Outcome:
    """How a node ended."""

    answer: Any
    status: Status
    reason: str


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
        number = self.trace.node(parent, depth, question, context_bytes=context.num_bytes)
        lm = self.models[min(self.asked.depth - depth, len(self.models) - 1)]
        node = Node(self, number, depth, ledger, question)
        outcome = await self._root(node, lm, context)
        self.trace.write("end", node=number, **vars(outcome), seconds=ledger.seconds)
        return outcome

    async def _root(self, node: Node, lm: LanguageModel, context: Text) -> Outcome:
        asked = self.asked
        printed = min(
            asked.limits.printed, max(MIN_PRINTED, (lm.window - asked.reply_tokens) // 4 * CHARACTERS_A_TOKEN)
        )
        begin = asked.prompts.begin(node.question, context, self._setting(node, printed))
        messages = begin
        session = self.sandbox.session(node.functions(), replace(asked.limits, printed=printed), context, node.question)
        try:
            for _ in range(asked.max_turns):
                messages = _fitting(messages, len(begin), lm, asked.reply_tokens)
                try:
                    reply = await self.caller.call(
                        lm, lambda said=messages: said, asked.reply_tokens, node.ledger, node.number, "root"
                    )
                    output = await self._ran(node, session, reply.text)
                except Exhausted as over:
                    return Outcome(node.best, "exhausted", str(over))
                except TooLong as failed:
                    told = f"a question and {asked.reply_tokens} tokens of a program do not fit a window of {lm.window}"
                    remedy = "name a model with a larger one, or ask less"
                    return Outcome(node.best, "failed", f"{told}: {remedy}" if messages == begin else str(failed))
                except ModelError as failed:
                    return Outcome(node.best, "failed", str(failed))
                if node.ready:
                    return Outcome(node.best, "done", "")
                messages = (*messages, Message("assistant", reply.text), asked.prompts.told(output))
        finally:
            if not node.runner.over:  # else its program may run still, and the session is left to the sandbox's end
                session.close()
        return Outcome(node.best, "exhausted", f"max_turns {asked.max_turns}: no final answer until then")

    async def _ran(self, node: Node, session: Session, reply: str) -> str:
        """What the reply's program gave; raises Exhausted where the budget's seconds end first."""
        program = self.asked.prompts.program(reply)
        if program is None:
            return NO_PROGRAM
        left = node.ledger.seconds_left
        try:
            async with asyncio.timeout(None if math.isinf(left) else left):
                ran = await node.runner.run(session, program)
        except TimeoutError:
            raise Exhausted("seconds", 0, 0) from None
        self.trace.write("program", node=node.number, code=program, **vars(ran))
        return _told(ran)

    def _setting(self, node: Node, printed: int) -> Setting:
        room = self.models[-1].window - self.asked.leaf_tokens - LEAF_PROMPT_TOKENS
        return Setting(self.sandbox.profile, node.depth, printed, max(0, room) * CHARACTERS_A_TOKEN)


def _fitting(messages: Messages, num_kept: int, lm: LanguageModel, max_tokens: int) -> Messages:
    """The messages, but for the earliest programs and outputs that the window has no room for, and the last program."""
    while lm.num_tokens(messages) + max_tokens > lm.window and len(messages) > num_kept + 1:
        dropped = 2 if len(messages) > num_kept + 2 else 1
        messages = (*messages[:num_kept], *messages[num_kept + dropped :])
        if dropped == 1:
            break
    return messages


def _told(ran: Ran) -> str:
    lost = "\nThe REPL had to be begun anew: its names are gone." if ran.lost else ""
    return (f"{ran.printed}{ran.error or ''}" or "[nothing printed]") + lost


def _validator(answer_type: Any) -> Callable[[Any], Any]:
    if answer_type is None:
        return lambda value: value
    from pydantic import TypeAdapter

    return TypeAdapter(answer_type).validate_python
