"""One way to call a model: within the budget, so many at a time, and written down."""

import asyncio
import math
import time
from collections.abc import Callable

from rlm.budget import Exhausted, Ledger, Reservation
from rlm.lm import LanguageModel, Messages, ModelError, Reply
from rlm.replay import call_key
from rlm.trace import Trace


class TooLong(ValueError):
    """A prompt that leaves no room for its answer in the model's window."""


class Caller:
    """Calls of a run, at most `concurrency` of them under way."""

    def __init__(self, trace: Trace, concurrency: int) -> None:
        self.trace = trace
        self._places = asyncio.Semaphore(concurrency)
        self._settled = asyncio.Event()  # set for a moment, for those that wait
        self._under_way = 0

    async def call(
        self, lm: LanguageModel, prompt: Callable[[], Messages], max_tokens: int, ledger: Ledger, node: int, kind: str
    ) -> Reply:
        """The model's answer. The ledger has what it cost; what is not known counts as the most that it can be.

        The prompt is made when it is the call's turn: of those that wait the texts are not in memory.

        Raises TooLong, Exhausted where the budget does not allow the call or its seconds end during it, and ModelError.
        """
        async with self._places:
            messages = prompt()
            asked, most = lm.num_tokens(messages), lm.most_tokens(messages)
            if asked + max_tokens > lm.window:
                raise TooLong(
                    f"{asked} tokens and {max_tokens} of an answer do not fit a window of {lm.window}: give less text"
                )
            reserved = await self._reserved(ledger, most + max_tokens, lm.price.of(most, max_tokens))
            reply, error, spent, began = None, "cancelled", (most, max_tokens), time.perf_counter()
            seconds_left = ledger.seconds_left
            try:
                async with asyncio.timeout(None if math.isinf(seconds_left) else seconds_left):
                    reply = await lm.complete(messages, max_tokens)
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
                usd = lm.price.of(*spent)
                reserved.settle(sum(spent), usd)
                self._under_way -= 1
                self._settled.set()
                self._settled.clear()
                if self.trace.kept:
                    self.trace.write(
                        "call",
                        node=node,
                        kind=kind,
                        model=lm.name,
                        key=call_key(lm.name, messages, max_tokens),
                        messages=[[message.role, message.content] for message in messages],
                        reply=reply.text if reply else None,
                        error=None if reply else error,
                        replayed=reply.replayed if reply else False,
                        prompt_tokens=spent[0],
                        completion_tokens=spent[1],
                        usd=usd,
                        seconds=time.perf_counter() - began,
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
