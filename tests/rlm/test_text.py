"""Texts that stay in their file read as the str would, wherever blocks and characters cut each other."""

import random
from pathlib import Path

import pytest

from rlm import text as text_module
from rlm.text import Text, gather

ALPHABET = "ab\n\n\u00e9\u6f22\U0001f600 "  # characters of one to four bytes


@pytest.mark.parametrize("seed", range(20))
def test_a_text_reads_as_its_str(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 bytes, so that every kind of character lies across their ends."""
    monkeypatch.setattr(text_module, "BLOCK", 16)
    draw = random.Random(seed)
    for _ in range(40):
        whole = "".join(draw.choices(ALPHABET, k=draw.randrange(90)))
        first, last = sorted(draw.choices(range(len(whole) + 1), k=2))
        text, expected = Text.of(whole).part(first, last), whole[first:last]
        lines = expected.split("\n")[: None if expected[-1:] not in ("\n", "") else -1]
        assert (str(text), len(text), list(text), text.num_lines) == (expected, len(expected), lines, len(lines))
        above, below = sorted(draw.choices(range(len(lines) + 3), k=2))
        assert list(text.lines(above, below)) == lines[above:below]
        start, end = draw.randrange(-95, 95), draw.randrange(-95, 95)
        assert (text[start:end], text[::-2]) == (expected[start:end], expected[::-2])
        for literal in ("a", "\u00e9", "b\n", "\u6f22", "zz"):
            start = draw.randrange(len(expected) + 1)
            assert text.find(literal, start) == expected.find(literal, start)
            assert (text.count(literal), literal in text) == (expected.count(literal), literal in expected)
            found = [str(line).removesuffix("\n") for line in text.grep(literal.strip())]
            assert found == [line for line in lines if literal.strip() in line]
        start, end = draw.randrange(-5, 95), draw.randrange(-5, 95)
        assert str(text.part(start, end)) == expected[max(0, start) : max(0, end)]
        assert text.find("a", -start) == expected.find("a", -start)
        parts = text.split(draw.randrange(4, 20))
        assert "".join(map(str, parts)) == expected


def test_parts_end_where_lines_do() -> None:
    parts = Text.of("one\ntwo\nthree\na longer line than that\n").split(10)
    assert list(map(str, parts)) == ["one\ntwo\n", "three\n", "a longer l", "ine than t", "hat\n"]
    with pytest.raises(ValueError, match="parts of 3 bytes, of a text of 1: give at least 4 bytes"):
        Text.of("a").split(3)


def test_what_stands_everywhere_and_too_many_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Text.of("a\n" * 100)
    for look in (text.count, text.grep):
        with pytest.raises(ValueError, match="an empty literal stands everywhere"):
            look("")
    monkeypatch.setattr(text_module, "MOST_PARTS", 20)
    with pytest.raises(ValueError, match="parts of 4 bytes, of a text of 200: give at least 10 bytes"):
        text.split(4)
    with pytest.raises(ValueError, match="more than 20 lines have 'a': look in a part"):
        text.grep("a")


def test_a_character_out_of_reach_is_refused() -> None:
    text = Text.of("ab")
    assert (text[0], text[-1]) == ("a", "b")
    with pytest.raises(IndexError, match="character 2 of 2"):
        text[2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a\0b", "a NUL after byte 0"),
        (b"caf\xe9 au lait", "no UTF-8 text after byte 0"),
        (b"caf\xc3", "character is cut"),
    ],
    ids=["binary", "latin-1", "cut"],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "it"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"context {path}: .*{told}"):
        gather(path)


def test_a_folder_is_its_text_files_each_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c.txt").write_text("first\n")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\0")
    assert str(gather(tmp_path)) == "=== a/c.txt ===\nfirst\n=== b.txt ===\nsecond\n"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no text files"):
        gather(tmp_path / "empty")
    with pytest.raises(ValueError, match="does not exist"):
        gather(tmp_path / "nowhere")
