"""One solver of a run's tree, as its programs see it: what they may call, and what they say is the answer."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from rlm.budget import Ledger
from rlm.calls import TooLong
from rlm.runner import Runner, Unsolved
from rlm.text import Text

if TYPE_CHECKING:
    from rlm.tree import Tree

Found = TypeVar("Found")
BYTES_A_TOKEN = 16  # more than any text has: what is longer than a window of them need not be read to know


class Node:
    """What a solver may spend, and its answer so far.

    The functions are called in the thread that runs its program, and wait there while the loop goes on.
    """

    def __init__(self, tree: "Tree", number: int, depth: int, ledger: Ledger, question: str) -> None:
        self.tree, self.number, self.depth, self.ledger, self.question = tree, number, depth, ledger, question
        self.runner = Runner()
        self.best: Any = None
        self.ready = False

    def functions(self) -> dict[str, Callable[..., Any]]:
        """What its programs may call."""
        found: dict[str, Callable[..., Any]] = {"answer": self.answer}
        if self.depth > 0:
            found |= {"ask": self.ask, "ask_all": self.ask_all}
        if self.depth > 1:
            found |= {"rlm": self.rlm, "rlm_all": self.rlm_all}
        return found

    def answer(self, value: Any, ready: bool = True) -> None:
        """The answer, or the best so far; raises TypeError or ValueError for what is none.

        A solver below hands on a text as it is, so that no program above reads it.
        """
        if self.number == 0:
            value = self.tree.typed(plain(value))
            json.dumps(value, default=str)
        self.best, self.ready = value, ready

    def ask(self, question: str, text: Text | str) -> str:
        """A model's answer about a text."""
        return self.runner.call(partial(self._ask, asked(question), checked(text)))

    def ask_all(self, question: str, texts: Sequence[Text | str]) -> list[str]:
        """The same of each text, side by side."""
        return self.runner.call(partial(self._all, self._ask, asked(question), all_checked(texts)))

    def rlm(self, question: str, text: Text | str) -> Any:
        """A solver's answer about a text."""
        return self.runner.call(partial(self._rlm, asked(question), checked(text)))

    def rlm_all(self, question: str, texts: Sequence[Text | str]) -> list[Any]:
        """The same of each text, side by side."""
        return self.runner.call(partial(self._all, self._rlm, asked(question), all_checked(texts)))

    async def _all(
        self, one: Callable[[str, Text | str], Coroutine[Any, Any, Found]], question: str, texts: Sequence[Text | str]
    ) -> list[Found]:
        """All, or the first error once the others have ended."""
        found = await asyncio.gather(*(one(question, text) for text in texts), return_exceptions=True)
        for result in found:
            if isinstance(result, BaseException):
                raise result
        return [result for result in found if not isinstance(result, BaseException)]

    async def _ask(self, question: str, text: Text | str) -> str:
        tree, lm = self.tree, self.tree.models[-1]
        if isinstance(text, Text) and text.num_bytes > BYTES_A_TOKEN * lm.window:
            raise TooLong(f"{text.num_bytes} bytes do not fit a window of {lm.window} tokens: give less text")
        reply = await tree.caller.call(
            lm,
            lambda: tree.asked.prompts.leaf(question, str(text)),
            tree.asked.leaf_tokens,
            self.ledger,
            self.number,
            "ask",
        )
        return reply.text.strip()

    async def _rlm(self, question: str, text: Text | str) -> Any:
        async with self.tree.places[self.depth - 1]:
            context = Text.of(text) if isinstance(text, str) else text
            found = await self.tree.solve(question, context, self.depth - 1, self.ledger.child(), self.number)
        if found.status != "done":
            best = "" if found.answer is None else f"; its best answer so far: {plain(found.answer)!r}"
            raise Unsolved(f"the solver's status is {found.status}: {found.reason}{best}")
        return found.answer if self.tree.sandbox.profile == "sealed" else plain(found.answer)


def asked(question: Any) -> str:
    """Raises TypeError for what is no question."""
    if not isinstance(question, str):
        raise TypeError(f"a question is wanted, not a {type(question).__name__}: ask in a str")
    return question


def checked(text: Any) -> Text | str:
    """Raises TypeError for what is no text."""
    if not isinstance(text, Text | str):
        raise TypeError(f"a text is wanted, not a {type(text).__name__}: for several use ask_all or rlm_all")
    return text


def all_checked(texts: Any) -> Sequence[Text | str]:
    """Raises TypeError for what is no list of texts."""
    if not isinstance(texts, list | tuple):
        raise TypeError(f"a list of texts is wanted, not a {type(texts).__name__}: for one use ask or rlm")
    return [checked(text) for text in texts]


def plain(value: Any) -> Any:
    """The value with texts as strs."""
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value
