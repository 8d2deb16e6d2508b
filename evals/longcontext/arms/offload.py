"""The context in a file, and a search of it, but no sub-calls."""

import re
from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.reader import Asker, Reader, fitting
from evals.longcontext.cut import joined
from rlm.text import MOST_PARTS, Text


@dataclass(frozen=True)
class Offload(Reader):
    """Reads once what a search of the file for the question's words brings, the lines with the rarest word first.

    As many as fit the window, in the file's order; where none of the words is there, the head of the file.
    """

    called: ClassVar[str] = "offload"

    async def read(self, asker: Asker, asked: Asked) -> str:
        """One call."""
        file = Text.of(asked.context)
        ranked = searched(file, asked.question, asker.window) or list(enumerate(file))
        return await asker.ask(asked.question, joined(fitting(asker, asked.question, ranked).values()))


def searched(file: Text, question: str, count: int) -> list[tuple[int, str]]:
    """Lines that a word of the question stands in, each after its place in bytes: those with the rarest word first.

    All of a word's lines, and no more words once there are `count` lines. A word that has more lines than a search can
    give is not searched for.
    """
    times = {word: file.count(word) for word in dict.fromkeys(re.findall(r"\w+", question))}
    found: dict[int, str] = {}
    for word in sorted(times, key=lambda word: times[word]):
        if 0 < times[word] <= MOST_PARTS and len(found) < count:
            for line in file.grep(word):
                found.setdefault(line.start, str(line).removesuffix("\n"))
    return list(found.items())
