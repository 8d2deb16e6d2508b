"""Agentic retrieval: several searches, each with what the last brought, until two ways of searching agree."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.indexes import Embedding, VectorIndex, WordIndex, words
from evals.longcontext.arms.reader import Asker, Reader, fitting, is_told
from evals.longcontext.cut import joined


@dataclass(frozen=True)
class Agentic(Reader):
    """Searches by words and by vectors in turn, by words first; each step reads what fits the window.

    A step looks among the lines that no step has read. Where it finds an answer, the next checks it: it looks among all
    lines, by the other source, with a query that feedback has expanded. An answer that both sources gave counts; if
    none does within `max_steps`, the one that was given most often, of several the first, and `none` without any.
    Without an answer the query stays.

    Raises ValueError for fewer steps than one.
    """

    called: ClassVar[str] = "agentic"

    lm: Embedding
    max_steps: int = 4

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise ValueError(f"max_steps {self.max_steps}: give 1 or more")

    async def read(self, asker: Asker, asked: Asked) -> str:
        """A call for each step; fewer where all lines are read before."""
        lines = asked.context.splitlines()
        sources = (WordIndex(lines), VectorIndex(self.lm, lines))
        query, unread, is_check = asked.question, set(range(len(lines))), False
        given: list[tuple[str, int]] = []  # answers, each with the source that brought it
        for step in range(self.max_steps):
            source = step % 2
            wanted = [place for place in sources[source].ranked(query) if is_check or place in unread]
            if not wanted:
                break
            found = fitting(asker, asked.question, [(place, lines[place]) for place in wanted])
            unread -= found.keys()
            answer = await asker.ask(asked.question, joined(found.values()))
            if (answer, 1 - source) in given:
                return answer
            is_check = is_told(answer) and not is_check
            if is_told(answer):
                given.append((answer, source))
                query = expanded(asked.question, sources[0].words, found)
        return Counter(answer for answer, _ in given).most_common(1)[0][0] if given else "none"


def expanded(question: str, lines: Sequence[Sequence[str]], places: Iterable[int]) -> str:
    """The question and as many words more, by pseudo-relevance feedback in the manner of RM3.

    A relevance model (Lavrenko and Croft 2001) is estimated from the lines that were read, all alike, and mixed half
    and half with the question (Abdul-Jaleel et al. 2004). Instead of smoothing, a word's probability is weighed by its
    inverse document frequency, so that words that stand in every line do not crowd out the others.
    """
    asked = words(question)
    frequency = Counter(word for line in lines for word in set(line))
    weights: defaultdict[str, float] = defaultdict(float)
    for place in places:
        for word in lines[place]:
            weights[word] += math.log(len(lines) / frequency[word]) / len(lines[place])
    best = sorted(weights, key=lambda word: (-weights[word], word))
    return " ".join([question, *best[: len(asked)]])
