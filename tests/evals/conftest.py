"""Items to measure on."""

from pathlib import Path
from random import Random

import pytest

from evals.abilities import write_items, write_text_items

NUM_ITEMS = 24
WORDS = ["the", "law", "says", "how", "loss", "falls", "with", "size", "and", "data"]


@pytest.fixture(scope="session")
def item_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 items of every ability and style, and of text."""
    folder = tmp_path_factory.mktemp("items")
    write_items(folder, NUM_ITEMS, seed=0)
    texts = [" ".join(Random(n).choices(WORDS, k=400)) for n in range(4)]
    write_text_items(folder, texts, NUM_ITEMS, seed=0)
    return folder
