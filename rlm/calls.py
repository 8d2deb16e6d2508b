"""One way to call a model: within the budget, so many at a time, again where that may help, and written down."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from rlm.budget import Exhausted, Ledger, Reservation
from rlm.lm import LanguageModel, Messages, ModelError, Reply
from rlm.replay import Recorded, call_key
from rlm.trace import Trace

FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds, twice as many each time: those of the `openai` package


class TooLong(ValueError):
    """A prompt that leaves no room for its answer in the model's window."""


@dataclass(frozen=True)
class Call:
    """What is asked of which model, by which node as which kind."""

    lm: LanguageModel
    messages: Messages
    max_tokens: int
    node: int
    kind: str


class Caller:
    """Calls of a run, at most `concurrency` of them under way; what is recorded is not asked, and costs nothing."""

    def __init__(self, trace: Trace, concurrency: int, recorded: Recorded | None = None) -> None:
        self.trace, self.recorded = trace, recorded
        self._places = asyncio.Semaphore(concurrency)
        self._settled = asyncio.Event()  # set for a moment, for those that wait
        self._under_way = 0

    async def call(
        self, lm: LanguageModel, prompt: Callable[[], Messages], max_tokens: int, ledger: Ledger, node: int, kind: str
    ) -> Reply:
        """The model's answer. The ledger has what each attempt cost; what is not known counts as the most it can be.

        The prompt is made when it is the call's turn: of those that wait the texts are not in memory.

        Raises TooLong, Exhausted where the budget does not allow an attempt or its seconds end first, and ModelError.
        """
        async with self._places:
            call = Call(lm, prompt(), max_tokens, node, kind)
            asked = lm.num_tokens(call.messages)
            if asked + max_tokens > lm.window:
                raise TooLong(
                    f"{asked} tokens and {max_tokens} of an answer do not fit a window of {lm.window}: give less text"
                )
            reply = self.recorded.take(lm.name, call.messages, max_tokens) if self.recorded else None
            if reply is not None:
                self._write(call, reply, None, (reply.prompt_tokens, reply.completion_tokens), 0.0)
                return reply
            return await retried(partial(self.attempt, call, ledger), lambda: ledger.seconds_left)

    async def attempt(self, call: Call, ledger: Ledger) -> Reply:
        """The same of one attempt, however many are under way."""
        lm, max_tokens, most = call.lm, call.max_tokens, call.lm.most_tokens(call.messages)
        reserved = await self._reserved(ledger, most + max_tokens, lm.price.of(most, max_tokens))
        reply, error, spent, began = None, "cancelled", (most, max_tokens), time.perf_counter()
        seconds_left = ledger.seconds_left
        try:
            async with asyncio.timeout(None if math.isinf(seconds_left) else seconds_left):
                reply = await lm.complete(call.messages, max_tokens)
            if reply.prompt_tokens > most or reply.completion_tokens > max_tokens:
                told, reply = f"{reply.prompt_tokens} + {reply.completion_tokens}", None
                raise ModelError(f"{lm.name} counted {told} tokens of a call of at most {most} + {max_tokens}")
            spent = reply.prompt_tokens, reply.completion_tokens
            return reply
        except TimeoutError:
            error = "the budget's seconds ended"
            raise Exhausted("seconds", 0, 0) from None
        except ModelError as failed:
            error, spent = str(failed), (0, 0) if failed.free else spent
            raise
        finally:
            reserved.settle(sum(spent), lm.price.of(*spent))
            self._under_way -= 1
            self._settled.set()
            self._settled.clear()
            self._write(call, reply, None if reply else error, spent, time.perf_counter() - began)

    def _write(
        self, call: Call, reply: Reply | None, error: str | None, spent: tuple[int, int], seconds: float
    ) -> None:
        if self.trace.kept:
            self.trace.write(
                "call",
                node=call.node,
                kind=call.kind,
                model=call.lm.name,
                key=call_key(call.lm.name, call.messages, call.max_tokens),
                messages=[[message.role, message.content] for message in call.messages],
                reply=reply.text if reply else None,
                error=error,
                replayed=reply.replayed if reply else False,
                prompt_tokens=spent[0],
                completion_tokens=spent[1],
                usd=call.lm.price.of(*spent),
                seconds=seconds,
            )

    async def _reserved(self, ledger: Ledger, tokens: int, usd: float) -> Reservation:
        """Room for the call; where those under way hold it, once they have told what they need of it."""
        while True:
            try:
                reserved = ledger.reserve(tokens, usd)
            except Exhausted as over:
                if over.counter == "seconds" or not self._under_way:
                    raise
                await self._settled.wait()
            else:
                self._under_way += 1
                return reserved


async def retried(
    attempt: Callable[[], Awaitable[Reply]], seconds_left: Callable[[], float] = lambda: math.inf
) -> Reply:
    """The answer of the first attempt, or of a later one as far as its ModelErrors allow that.

    Raises the last attempt's error, and Exhausted where there is no time to wait for the next.
    """
    number = 0
    while True:
        try:
            return await attempt()
        except ModelError as error:
            if number >= error.num_retries:
                raise
            wait = min(FIRST_WAIT * 2**number, LONGEST_WAIT) * random.uniform(0.75, 1.0)
            wait = wait if error.after is None else error.after
            if wait >= seconds_left():
                raise Exhausted("seconds", wait, seconds_left()) from None
        number += 1
        await asyncio.sleep(wait)
