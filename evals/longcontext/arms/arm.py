"""An arm: a way to answer a question about a long context with one language model; all read with the same prompt."""

from dataclasses import dataclass
from typing import Any, Protocol

from evals.longcontext.item import Answer, Item


@dataclass(frozen=True)
class Asked:
    """What an arm is told of an item: never the right answer, nor what made it.

    Raises ValueError for a blank question or context.
    """

    question: str
    context: str
    answer: Answer

    def __post_init__(self) -> None:
        for name in ("question", "context"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} {getattr(self, name)!r} is blank: give text")

    @staticmethod
    def of(item: Item) -> "Asked":
        """Question, context and kind of answer."""
        return Asked(item.question, item.context, item.answer)


@dataclass(frozen=True)
class Answered:
    """An answer, and what it took: calls of the model, and the tokens that it read and wrote, as its replies count.

    status: done; exhausted, where turns or budget ended first; failed, where the model did not answer. reason: why it
    is not done.
    """

    answer: Any
    calls: int
    tokens: int
    status: str
    reason: str = ""


class Arm(Protocol):
    """A way to answer; several questions at once where `answer` is awaited side by side."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def profile(self) -> str | None:
        """Of the sandbox in which it runs programs; None where it runs none."""
        ...

    async def answer(self, asked: Asked) -> Answered:
        """The answer; raises ValueError for a question that is not for this arm."""
        ...
