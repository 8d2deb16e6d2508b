"""A model that many call at once: within one budget, and so many calls at a time."""

import asyncio

from rlm.budget import Exhausted, Ledger
from rlm.calls import Call, Caller
from rlm.lm import LanguageModel, Messages, Reply
from rlm.trace import Trace


class Metered:
    """The model, with at most `concurrency` calls under way; `over`: why a call was refused, None where none was.

    It is for one loop: another needs another, with the same ledger.
    """

    def __init__(self, lm: LanguageModel, ledger: Ledger, concurrency: int) -> None:
        self.lm, self.ledger = lm, ledger
        self.name, self.window, self.price = lm.name, lm.window, lm.price
        self.over: Exhausted | None = None
        self._caller, self._places = Caller(Trace(None), concurrency), asyncio.Semaphore(concurrency)

    def num_tokens(self, messages: Messages) -> int:
        """As the model counts."""
        return self.lm.num_tokens(messages)

    def most_tokens(self, messages: Messages) -> int:
        """As the model counts."""
        return self.lm.most_tokens(messages)

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """The model's answer; raises ModelError, and Exhausted: after the first, for every call."""
        async with self._places:
            if self.over is not None:
                raise self.over
            try:
                return await self._caller.attempt(Call(self.lm, messages, max_tokens, 0, "ask"), self.ledger)
            except Exhausted as over:
                self.over = over
                raise
