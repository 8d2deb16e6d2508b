"""Lines of a context in the order of how well they match a query: by words (BM25), or by the model's own vectors."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rlm.lm import LanguageModel


class Index(Protocol):
    """Lines that can be searched."""

    def ranked(self, query: str) -> list[int]:
        """The places of all lines, the best first; of those that match alike the earlier first."""
        ...


class Embedding(LanguageModel, Protocol):
    """A model that gives vectors too."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 [texts, width]."""
        ...


def words(text: str) -> list[str]:
    """In lower case, digits too."""
    return re.findall(r"\w+", text.lower())


class WordIndex:
    """BM25 as Lucene has it (k1 1.5, b .75); a word that stands twice in the query counts twice."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.words = [words(line) for line in lines]
        self._known = {word for line in self.words for word in line}
        self._index = _word_index(self.words) if self._known else None

    def ranked(self, query: str) -> list[int]:
        """The places of all lines, the best first."""
        known = [word for word in words(query) if word in self._known]
        if self._index is None or not known:
            return list(range(len(self.words)))
        return np.argsort(-self._index.get_scores(known), kind="stable").tolist()


def _word_index(lines: list[list[str]]) -> Any:
    import bm25s

    index = bm25s.BM25(method="lucene")
    index.index(lines, show_progress=False)
    return index


class VectorIndex:
    """Exact search by inner product. A space stands before each line, as before words inside a text."""

    def __init__(self, lm: Embedding, lines: Sequence[str]) -> None:
        import faiss

        self._lm = lm
        vectors = lm.embed([f" {line}" for line in lines])
        self._index: Any = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(vectors)

    def ranked(self, query: str) -> list[int]:
        """The places of all lines, the best first."""
        (scores,), (places,) = self._index.search(self._lm.embed([f" {query}"]), self._index.ntotal)
        return places[np.lexsort((places, -scores))].tolist()
