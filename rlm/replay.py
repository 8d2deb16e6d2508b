"""Answers of an earlier run instead of the model's: to resume after a crash, to audit, to test without a model."""

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from rlm.budget import Spent
from rlm.lm import LanguageModel, Messages, ModelError, Reply


def call_key(name: str, messages: Messages, max_tokens: int) -> str:
    """What calls share that ask the same of the same model."""
    asked = json.dumps([name, [[message.role, message.content] for message in messages], max_tokens])
    return hashlib.sha256(asked.encode(errors="backslashreplace")).hexdigest()[:24]


class Recorded:
    """Answers that a trace has, and what was spent on them and on calls that failed.

    Of calls that ask the same the first recorded answer is given first.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]]) -> None:
        self.spent = Spent()
        self._replies: dict[str, deque[Reply]] = defaultdict(deque)
        for event in events:
            if event["event"] != "call" or event["replayed"]:
                continue
            read, written = event["prompt_tokens"], event["completion_tokens"]
            self.spent.add(1, read + written, event["usd"])
            if event["error"] is None:
                self._replies[event["key"]].append(Reply(event["reply"], read, written, replayed=True))

    def take(self, name: str, messages: Messages, max_tokens: int) -> Reply | None:
        """The next answer of the model of that name, None where there is none left."""
        replies = self._replies.get(call_key(name, messages, max_tokens)) if self._replies else None
        return replies.popleft() if replies else None


class Replayed:
    """A model that answers as it did in a trace, and not otherwise."""

    def __init__(self, lm: LanguageModel, events: Iterable[Mapping[str, Any]]) -> None:
        self.lm, self.recorded = lm, Recorded(events)
        self.name, self.window, self.price = lm.name, lm.window, lm.price

    def num_tokens(self, messages: Messages) -> int:
        """As the model counts."""
        return self.lm.num_tokens(messages)

    def most_tokens(self, messages: Messages) -> int:
        """As the model counts."""
        return self.lm.most_tokens(messages)

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """The recorded answer; raises ModelError where there is none."""
        reply = self.recorded.take(self.name, messages, max_tokens)
        if reply is None:
            raise ModelError(f"{self.name}: the trace has no answer to this call", free=True)
        return reply
