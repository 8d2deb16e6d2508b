"""In-context learning on plain text: one span scored after a little and after much of its own context.

What the longer context is worth, log-likelihood late minus early, is the in-context-learning score (Olsson et al. 2022,
who compare tokens early and late in a row; here both contexts stand before the same characters and differ in nothing
else).
"""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from evals.abilities.ability import MAX_DOCUMENT_CHARACTERS, check_dial
from evals.abilities.write import write_lines

# A target begins with the space between two words: there tokenizers end a token, so that the tokens of the prompt are
# the first of the whole.
WORD_START = re.compile(r"(?<=\S) (?=\S)")
TARGET_CHARACTERS = 15
LARGEST = 100_000


def write_text_items(
    directory: Path,
    texts: Sequence[str],
    count: int,
    seed: int,
    target_characters: int = TARGET_CHARACTERS,
    early_characters: int = 4,
    late_characters: int = MAX_DOCUMENT_CHARACTERS - TARGET_CHARACTERS,
) -> tuple[Path, Path]:
    """Cuts `count` spans at random places of the texts into text-early.jsonl and text-late.jsonl; returns both files.

    Line by line the two have the same target, after so many characters of what stands before it. All of it is ASCII, a
    byte a character, and no two targets overlap. Raises ValueError for lengths out of range and where the texts hold
    fewer such spans.
    """
    check_dial("count", count, 1, LARGEST)
    check_dial("target_characters", target_characters, 2, LARGEST)
    check_dial("late_characters", late_characters, 2, LARGEST)
    check_dial("early_characters", early_characters, 1, late_characters - 1)
    rng = random.Random(f"text {seed}")
    places = list(islice(_places(texts, late_characters, target_characters, rng), count))
    if len(places) < count:
        raise ValueError(
            f"count is {count}: the texts hold {len(places)} such spans: ask for no more, or give more text"
        )
    files = directory / "text-early.jsonl", directory / "text-late.jsonl"
    for file, style, length in zip(files, ("early", "late"), (early_characters, late_characters), strict=True):
        rows = []
        for index, start in places:
            prompt, target = texts[index][start - length : start], texts[index][start : start + target_characters]
            key = f"{index}:{start}"
            row = {"ability": "text", "style": style, "prompt": prompt, "target": target, "key": key, "chance": 0.0}
            rows.append(row)
        write_lines(file, rows)
    return files


def _places(texts: Sequence[str], before: int, length: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Texts and places in them where a target can begin, in random order; no two targets overlap."""
    starts = [
        (index, match.start())
        for index, text in enumerate(texts)
        for match in WORD_START.finditer(text, before)
        if match.start() + length <= len(text)
    ]
    rng.shuffle(starts)
    taken: dict[int, list[int]] = {}
    for index, start in starts:
        others = taken.setdefault(index, [])
        is_free = all(abs(start - other) >= length for other in others)
        if is_free and texts[index][start - before : start + length].isascii():
            others.append(start)
            yield index, start
