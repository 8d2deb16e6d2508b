"""All of the context, chunk after chunk or side by side, without programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.reader import Asker, Reader, is_told
from evals.longcontext.cut import most
from evals.longcontext.item import Answer
from evals.longcontext.programs import CHUNK_BYTES
from evals.longcontext.scorers import read_number
from rlm.text import Text


@dataclass(frozen=True)
class Summary(Reader):
    """Reads chunk after chunk below a running note, which is its answer about all that came before.

    A note that leaves the chunk no room is cut at its end.
    """

    called: ClassVar[str] = "summary"

    chunk_bytes: int = CHUNK_BYTES

    async def read(self, asker: Asker, asked: Asked) -> str:
        """The last note; a call for each chunk."""
        note = ""
        for chunk in fitting_chunks(asker, asked, self.chunk_bytes):
            note = await asker.ask(asked.question, below(asker, asked.question, note, chunk))
        return note


def below(asker: Asker, question: str, note: str, chunk: str) -> str:
    """The chunk below as many words of the note as the window has room for."""
    said = note.split()

    def text(count: int) -> str:
        return f"so far : {' '.join(said[:count])}\n{chunk}" if count else chunk

    return text(most(len(said), lambda count: asker.fits(question, text(count))))


@dataclass(frozen=True)
class MapReduce(Reader):
    """Asks the question of every chunk, side by side, and combines by the kind of answer."""

    called: ClassVar[str] = "map-reduce"

    chunk_bytes: int = CHUNK_BYTES

    async def read(self, asker: Asker, asked: Asked) -> str:
        """A call for each chunk."""
        texts = list(fitting_chunks(asker, asked, self.chunk_bytes))
        return combined(asked.answer, await asker.ask_all(asked.question, texts))


def combined(kind: Answer, answers: Sequence[str]) -> str:
    """Numbers: their sum. Exact answers: the most frequent, of several the first. Pairs and sets: all that are given.

    Answers that tell nothing are left out, and numbers that are none.
    """
    told = [answer for answer in answers if is_told(answer)]
    if kind == "number":
        return f"{sum(read_number(answer) or 0 for answer in told):.12g}"
    if kind == "exact":
        return Counter(told).most_common(1)[0][0] if told else "none"
    parts = dict.fromkeys(part.strip() for answer in told for part in answer.split(","))
    return " , ".join(part for part in parts if is_told(part)) or "none"


def chunks(context: str, chunk_bytes: int) -> list[str]:
    """Parts of at most so many bytes, which end where a line does."""
    return [str(part) for part in Text.of(context).split(chunk_bytes)]


def fitting_chunks(asker: Asker, asked: Asked, chunk_bytes: int) -> Iterator[str]:
    """The same, but for parts of several lines that do not fit the window: they are halved until they do."""
    coming = chunks(asked.context, chunk_bytes)[::-1]
    while coming:
        part = coming.pop()
        if asker.fits(asked.question, part) or part.count("\n") < 2:
            yield part
        else:
            coming += chunks(part, max(4, len(part.encode()) // 2))[::-1]
