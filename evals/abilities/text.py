"""In-context learning on plain text: one span scored after a little and after much of its own context.

What the longer context is worth, log-likelihood late minus early, is the in-context-learning score (Olsson et al. 2022,
who compare tokens early and late in a row; here both contexts stand before the same characters and differ in nothing
else).
"""

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.abilities.ability import MAX_DOCUMENT_CHARACTERS, check_dial
from evals.abilities.write import write_lines

# A target begins with the space between two words: there tokenizers end a token, so that the tokens of the prompt are
# the first of the whole.
WORD_START = re.compile(r"(?<=\S) (?=\S)")
TARGET_CHARACTERS = 15
MAX_CHARACTERS = 100_000


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
    check_dial("count", count, 1, MAX_CHARACTERS)
    check_dial("target_characters", target_characters, 2, MAX_CHARACTERS)
    check_dial("late_characters", late_characters, 2, MAX_CHARACTERS)
    check_dial("early_characters", early_characters, 1, late_characters - 1)
    starts = [(index, start) for index, text in enumerate(texts) for start in _starts(text, late_characters)]
    random.Random(f"text {seed}").shuffle(starts)
    taken: dict[int, list[int]] = {}
    early, late = [], []
    for index, start in starts:
        text, end = texts[index], start + target_characters
        window = text[start - late_characters : end]
        others = taken.setdefault(index, [])
        if end > len(text) or not window.isascii() or any(abs(start - other) < target_characters for other in others):
            continue
        others.append(start)
        for rows, style, length in ((early, "early", early_characters), (late, "late", late_characters)):
            prompt, target = text[start - length : start], text[start:end]
            key = f"{index}:{start}"
            rows.append({"ability": "text", "style": style, "prompt": prompt, "target": target, "key": key})
        if len(late) == count:
            break
    else:
        raise ValueError(f"count is {count}: the texts hold {len(late)} such spans: ask for no more, or give more text")
    files = directory / "text-early.jsonl", directory / "text-late.jsonl"
    for file, rows in zip(files, (early, late), strict=True):
        write_lines(file, rows)
    return files


def _starts(text: str, min_start: int) -> Iterator[int]:
    return (match.start() for match in WORD_START.finditer(text, min_start) if match.start() >= min_start)
