"""Retrieval: the lines that match the question best, in one prompt."""

from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.indexes import Embedding, Index, VectorIndex, WordIndex
from evals.longcontext.arms.reader import Asker, Reader, fitting
from evals.longcontext.cut import joined


@dataclass(frozen=True)
class BM25(Reader):
    """Reads the lines that match the question's words best, as many as fit the window, in the context's order."""

    called: ClassVar[str] = "bm25"

    async def read(self, asker: Asker, asked: Asked) -> str:
        """One call."""
        lines = asked.context.splitlines()
        return await asker.ask(asked.question, matching(asker, asked.question, lines, WordIndex(lines)))


@dataclass(frozen=True)
class Dense(Reader):
    """The same by vectors of the model that reads."""

    called: ClassVar[str] = "dense"

    lm: Embedding

    async def read(self, asker: Asker, asked: Asked) -> str:
        """One call."""
        lines = asked.context.splitlines()
        return await asker.ask(asked.question, matching(asker, asked.question, lines, VectorIndex(self.lm, lines)))


def matching(asker: Asker, question: str, lines: list[str], index: Index) -> str:
    """The best lines that fit the window, as they stand in the context."""
    ranked = [(place, lines[place]) for place in index.ranked(question)]
    return joined(fitting(asker, question, ranked).values())
