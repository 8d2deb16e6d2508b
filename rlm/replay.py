"""Answers of an earlier run instead of the model's: to resume after a crash, to audit, to test without a model."""

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from rlm.lm import LanguageModel, Messages, ModelError, Reply


def call_key(name: str, messages: Messages, max_tokens: int) -> str:
    """What calls share that ask the same of the same model."""
    asked = json.dumps([name, [[message.role, message.content] for message in messages], max_tokens])
    return hashlib.sha256(asked.encode(errors="backslashreplace")).hexdigest()[:24]


class Replayed:
    """A model that answers as it did in a trace, as far as that goes, and then itself; with `only` not even then.

    Of calls that ask the same the first recorded answer is given first.
    """

    def __init__(self, lm: LanguageModel, events: Iterable[Mapping[str, Any]], *, only: bool = False) -> None:
        self.lm, self.only = lm, only
        self.name, self.window, self.price = lm.name, lm.window, lm.price
        self._recorded: dict[str, deque[Reply]] = defaultdict(deque)
        for event in events:
            if event["event"] == "call" and event["error"] is None and not event["replayed"]:
                reply = Reply(event["reply"], event["prompt_tokens"], event["completion_tokens"], replayed=True)
                self._recorded[event["key"]].append(reply)

    def num_tokens(self, messages: Messages) -> int:
        """As the model counts."""
        return self.lm.num_tokens(messages)

    def most_tokens(self, messages: Messages) -> int:
        """As the model counts."""
        return self.lm.most_tokens(messages)

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """The recorded answer, or the model's."""
        recorded = self._recorded.get(call_key(self.name, messages, max_tokens))
        if recorded:
            return recorded.popleft()
        if self.only:
            raise ModelError(f"{self.name}: the trace has no answer to this call", free=True)
        return await self.lm.complete(messages, max_tokens)
