"""Near-duplicate texts: MinHash LSH proposes pairs (Broder 1997), and their word 5-grams decide.

A signature is an estimate, so a proposed pair counts as a duplicate only if the Jaccard index of its sets of word
5-grams, computed in full, reaches the threshold. Hashes are computed with numpy over whole texts, never with Python's
`hash`, whose values change from process to process.
"""

from functools import lru_cache
from typing import cast

import numpy as np

JACCARD_THRESHOLD = 0.7
WORDS_A_SHINGLE = 5
NUM_PERMUTATIONS = 64
BANDS, ROWS = 16, 4  # Proposes 99 % of the pairs at 0.7 and 12 % of those at 0.3.
ESTIMATE_MARGIN = 0.2  # 3.5 standard errors of an estimate from 64 permutations at 0.7.
FIRST_SEED, SECOND_SEED = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
POSITIONS_WEIGHED = 256
SPACE = 32


class NearDuplicates:
    """Remembers texts; `add` tells whether a text is nearly one of those it has kept."""

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH

        self._index = MinHashLSH(num_perm=NUM_PERMUTATIONS, params=(BANDS, ROWS))
        self._empty = MinHash(num_perm=NUM_PERMUTATIONS, seed=1, hashfunc=int)
        self._signatures: list[MinHash] = []
        self._texts: list[str] = []
        self._kept_shingles = lru_cache(maxsize=1024)(lambda number: np.unique(shingles(self._texts[number])))

    def add(self, text: str) -> int | None:
        """Keeps the text and returns None, or returns the place, in the order kept, of its first near duplicate."""
        hashes = shingles(text)
        signature = self._empty.copy()
        signature.update_batch(hashes.tolist())
        proposed = sorted(cast(list[int], self._index.query(signature)))
        likely = [n for n in proposed if self._signatures[n].jaccard(signature) >= JACCARD_THRESHOLD - ESTIMATE_MARGIN]
        if likely:
            hashes = np.unique(hashes)
            for number in likely:
                if jaccard(self._kept_shingles(number), hashes) >= JACCARD_THRESHOLD:
                    return number
        self._index.insert(len(self._texts), signature, check_duplication=False)
        self._signatures.append(signature)
        self._texts.append(text)
        return None


def shingles(text: str) -> np.ndarray:
    """A 32-bit hash of every run of five words, repeats included; a text of fewer words gives one hash of them all."""
    words = _word_hashes(np.frombuffer(text.encode(), np.uint8))
    width = min(WORDS_A_SHINGLE, len(words))
    if width == 0:
        return np.zeros(1, np.uint32)
    hashes = np.zeros(len(words) - width + 1, np.uint64)
    for place in range(width):
        hashes = hashes * SECOND_SEED + words[place : len(words) - width + 1 + place]
    return (_mix(hashes) >> np.uint64(32)).astype(np.uint32)


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two arrays of distinct values."""
    shared = np.intersect1d(first, second, assume_unique=True).size
    return shared / (first.size + second.size - shared)


def _word_hashes(content: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each run of bytes above the space; control characters and spaces separate words."""
    in_word = content > SPACE
    starts = np.flatnonzero(in_word & ~np.concatenate(([False], in_word[:-1])))
    if starts.size == 0:
        return np.zeros(0, np.uint64)
    content, in_word = content[starts[0] :], in_word[starts[0] :]
    starts = starts - starts[0]
    lengths = np.diff(starts, append=content.size)
    positions = np.arange(content.size) - np.repeat(starts, lengths)
    weighed = np.where(in_word, content, 0) * _weights()[positions % POSITIONS_WEIGHED]
    return _mix(np.add.reduceat(weighed, starts))


@lru_cache(maxsize=1)
def _weights() -> np.ndarray:
    """The odd powers by which a word's bytes are weighed, modulo 2 to the 64."""
    return np.cumprod(np.full(POSITIONS_WEIGHED, FIRST_SEED))


def _mix(hashes: np.ndarray) -> np.ndarray:
    """Spreads every bit over the whole word: the first two rounds of a splitmix finaliser (Steele et al. 2014)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * FIRST_SEED
    return (hashes ^ (hashes >> np.uint64(27))) * SECOND_SEED
