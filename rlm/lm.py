"""Language models that a solver calls: what it asks of one, and the two that cost nothing.

The others lie beside: a folder of weights (`rlm.hf`) and a server (`rlm.server`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True)
class Message:
    """A part of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


Messages = tuple[Message, ...]


@dataclass(frozen=True)
class Reply:
    """What a model wrote, and the tokens that it read and wrote; replayed: in an earlier run."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    replayed: bool = False

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Price:
    """US dollars a million tokens, read and written; raises ValueError where one is negative."""

    read: float = 0.0
    written: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ValueError(f"price of tokens {name}: {value}: give 0 or more")

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        return (prompt_tokens * self.read + completion_tokens * self.written) / 1e6


class ModelError(Exception):
    """A model that did not answer, in a line.

    free: nothing was read or written. num_retries: times that the call may be made again; after: seconds to wait first,
    None where the model has no wish.
    """

    def __init__(self, told: str, free: bool = False, num_retries: int = 0, after: float | None = None) -> None:
        super().__init__(told)
        self.free, self.num_retries, self.after = free, num_retries, after


class LanguageModel(Protocol):
    """Answers a prompt; several at once where `complete` is awaited side by side.

    window: tokens that a prompt and its answer may have together.
    """

    @property
    def name(self) -> str:
        """What traces and tables call it."""
        ...

    @property
    def window(self) -> int:
        """In tokens."""
        ...

    @property
    def price(self) -> Price:
        """Of its tokens."""
        ...

    def num_tokens(self, messages: Messages) -> int:
        """Tokens of the prompt, or about as many where a server has the tokenizer."""
        ...

    def most_tokens(self, messages: Messages) -> int:
        """Tokens that the prompt cannot exceed."""
        ...

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """The answer, of at most so many tokens; raises ModelError."""
        ...


def count_bytes(messages: Messages) -> int:
    """What no tokenizer that falls back to bytes exceeds, but for what a template puts around messages."""
    return sum(len(message.content.encode(errors="replace")) for message in messages)


@dataclass
class Scripted:
    """Answers as a function has it, after `seconds`; or with the given texts, one after another.

    A word is a token. For tests, and to measure what a solver itself costs.
    """

    answers: Callable[[Messages], str] | Sequence[str]
    name: str = "scripted"
    window: int = 1_000_000
    price: Price = Price()
    seconds: float = 0.0
    heard: list[Messages] = field(default_factory=list)

    def num_tokens(self, messages: Messages) -> int:
        """Words."""
        return sum(len(message.content.split()) for message in messages)

    def most_tokens(self, messages: Messages) -> int:
        """The same."""
        return self.num_tokens(messages)

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """The next answer, cut to so many words; raises ModelError where there are no more."""
        self.heard.append(messages)
        place = len(self.heard) - 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if callable(self.answers):
            text = self.answers(messages)
        elif place < len(self.answers):
            text = self.answers[place]
        else:
            raise ModelError(f"{self.name}: asked {place + 1} times, {len(self.answers)} answers are there", free=True)
        words = len(text.split())
        if words > max_tokens:
            text, words = " ".join(text.split()[:max_tokens]), max_tokens
        return Reply(text, self.num_tokens(messages), words)
