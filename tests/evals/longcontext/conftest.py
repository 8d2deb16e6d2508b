"""One world for all tests, and items of it that are drawn once."""

from collections.abc import Callable
from functools import cache

import pytest

from evals.longcontext.item import Item
from evals.longcontext.lexicon import Lexicon, Side
from evals.longcontext.task import items
from evals.longcontext.tasks import TASKS

Drawn = Callable[..., list[Item]]


@pytest.fixture(scope="session")
def lexicon() -> Lexicon:
    return Lexicon()


@pytest.fixture(scope="session")
def drawn(lexicon: Lexicon) -> Drawn:
    """Items of a task, of a length in windows."""

    @cache
    def draw(task: str, windows: int, count: int = 8, seed: int = 0, side: Side = "any") -> list[Item]:
        return items(TASKS[task], lexicon, windows, count, seed, side)

    return draw


@pytest.fixture(scope="session")
def which_counts() -> dict[str, int]:
    """Of each phrase the place of the word that counts."""
    return WHICH_COUNTS


@pytest.fixture(scope="session")
def reader(lexicon: Lexicon) -> Callable[[str], str]:
    """The class of a line by a table of the phrases, written down apart from the world's templates."""

    def read(line: str) -> str:
        tokens = line.partition(" : ")[2].split()
        words = [token for token in tokens if token in lexicon.class_of]
        phrase = " ".join("_" if token in lexicon.class_of else token for token in tokens)
        return lexicon.class_of[words[WHICH_COUNTS[phrase]]]

    return read


# Of each phrase which of its words counts: written down here a second time, for readings that do not use the world's.
WHICH_COUNTS = {
    "_": 0,
    "only _": 0,
    "not _ but _": 1,
    "never _ , rather _": 1,
    "_ instead of _": 0,
    "less _ than _": 1,
    "more _ than _": 0,
    "not less _ than _": 0,
    "not more _ than _": 1,
    "_ and never _": 0,
    "far from _ , _": 1,
    "_ ? wrong , _": 1,
    "hardly _ , mostly _": 1,
    "not _ , not _ , but _": 2,
    "_ over _": 0,
    "_ , not _ , not _": 0,
}
