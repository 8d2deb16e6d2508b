"""What the arms without programs have in common: one model, one prompt, and a count of what is asked."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from evals.longcontext.arms.arm import Answered, Asked
from evals.longcontext.cut import joined, most
from rlm.calls import TooLong, retried
from rlm.lm import LanguageModel, Messages, ModelError, Reply
from rlm.prompts import Prompts

NOTHING = {"", "none", "not found"}  # what a reader says of a text that does not tell


class Asker:
    """Asks a model about texts, within a window, and counts calls and tokens."""

    def __init__(self, lm: LanguageModel, prompts: Prompts, leaf_tokens: int, window: int) -> None:
        self.lm, self.prompts, self.leaf_tokens, self.window = lm, prompts, leaf_tokens, window
        self.calls = self.tokens = 0

    def size(self, question: str, text: str) -> int:
        """Tokens of the prompt, and the most that its answer may have."""
        return self.lm.num_tokens(self.prompts.leaf(question, text)) + self.leaf_tokens

    def fits(self, question: str, text: str) -> bool:
        """Whether prompt and answer fit the window."""
        return self.size(question, text) <= self.window

    async def ask(self, question: str, text: str) -> str:
        """The model's answer about a text; raises TooLong and ModelError."""
        if not self.fits(question, text):
            size = self.size(question, text)
            raise TooLong(f"{size} tokens, with the answer's, do not fit a window of {self.window}: give less text")
        reply = await retried(partial(self._attempt, self.prompts.leaf(question, text)))
        self.tokens += reply.tokens
        return reply.text.strip()

    async def _attempt(self, prompt: Messages) -> Reply:
        self.calls += 1
        return await self.lm.complete(prompt, self.leaf_tokens)

    async def ask_all(self, question: str, texts: Sequence[str]) -> list[str]:
        """The same of each text, side by side; the first error once the others have ended."""
        found = await asyncio.gather(*(self.ask(question, text) for text in texts), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return [one for one in found if isinstance(one, str)]


@dataclass(frozen=True)
class Reader(ABC):
    """An arm that asks its question, and no other, of texts; leaf_tokens: the most of an answer."""

    lm: LanguageModel
    prompts: Prompts
    leaf_tokens: int

    called: ClassVar[str]

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.called

    @property
    def profile(self) -> None:
        """It runs no programs."""
        return None

    @property
    def window(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return self.lm.window

    @abstractmethod
    async def read(self, asker: Asker, asked: Asked) -> str:
        """The answer; raises TooLong and ModelError."""

    async def answer(self, asked: Asked) -> Answered:
        """The answer; failed where the model does not answer, or where what it is to read at a time does not fit."""
        asker = Asker(self.lm, self.prompts, self.leaf_tokens, self.window)
        try:
            found = await self.read(asker, asked)
        except (ModelError, TooLong) as error:
            return Answered(None, asker.calls, asker.tokens, "failed", str(error))
        return Answered(found, asker.calls, asker.tokens, "done")


def is_told(answer: str) -> bool:
    """Whether an answer says something of its text."""
    return answer.lower().rstrip(".") not in NOTHING


def fitting(asker: Asker, question: str, ranked: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Of lines with their places, the best first, those that fit the window together: by place, in its order.

    Raises TooLong where not even the first does.
    """

    def of(count: int) -> dict[int, str]:
        return dict(sorted(ranked[:count]))

    count = most(len(ranked), lambda count: asker.fits(question, joined(of(count).values())))
    if not count:
        raise TooLong(f"a line of {len(ranked[0][1])} characters does not fit a window of {asker.window} tokens")
    return of(count)
