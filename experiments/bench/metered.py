"""A model that many call at once: within one budget, and so many calls at a time."""

from rlm.budget import Exhausted, Ledger
from rlm.calls import Caller
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
        self._caller = Caller(Trace(None), concurrency)

    def num_tokens(self, messages: Messages) -> int:
        """As the model counts."""
        return self.lm.num_tokens(messages)

    def most_tokens(self, messages: Messages) -> int:
        """As the model counts."""
        return self.lm.most_tokens(messages)

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """The model's answer; raises ModelError, TooLong, and Exhausted: after the first, for every call."""
        if self.over is not None:
            raise self.over
        try:
            return await self._caller.call(self.lm, lambda: messages, max_tokens, self.ledger, 0, "ask")
        except Exhausted as over:
            self.over = over
            raise
