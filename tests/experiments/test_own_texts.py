"""What a preset becomes on one's own texts: the files that are meant, what is held out, and what is refused."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.own_texts import OwnTexts, fit_to_texts, held_out, patterns_of
from experiments.params import load
from experiments.presets import PRESETS
from sweeps.corpus.params import CorpusParams, ValidationParams
from sweeps.corpus.sources import matched_files, read_documents

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def prose(seed: int, num_bytes: int) -> str:
    """Lines of made-up words, no two texts alike."""
    draw, lines, length = random.Random(seed), [], 0
    while length < num_bytes:
        lines.append(" ".join(draw.choices(WORDS, k=12)))
        length += len(lines[-1]) + 1
    return "\n".join(lines)[:num_bytes]


def fitted(preset: str, *texts: Path | str, text_field: str = "text") -> OwnTexts:
    return fit_to_texts(load(PRESETS / f"{preset}.yaml"), [str(text) for text in texts], text_field, lambda line: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two kinds of text, one deeper than the other, an image, and a name that globs would take for a pattern."""
    (tmp_path / "texts" / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "deep/c.md", "[d].TXT"):
        (tmp_path / "texts" / name).write_text(name)
    (tmp_path / "texts" / "image.png").write_bytes(b"\x89PNG")
    return tmp_path / "texts"


def names(patterns: list[str]) -> list[str]:
    return [path.name for path in matched_files(CorpusParams(source="files", paths=tuple(patterns)))]


def test_a_folder_is_the_files_in_it_that_can_be_read(folder: Path) -> None:
    patterns, skipped = patterns_of([str(folder)])
    assert sorted(names(patterns)) == ["[d].TXT", "a.txt", "b.txt", "c.md"]
    assert skipped == {".png": 1}


def test_what_a_shell_made_of_a_glob_is_a_glob_again(folder: Path) -> None:
    assert patterns_of([str(folder / "a.txt"), str(folder / "b.txt")]) == ([f"{folder}/*.txt"], {})
    assert patterns_of([f"{folder}/*.txt"])[0] == [f"{folder}/*.txt"]
    single, _ = patterns_of([str(folder / "a.txt"), str(folder / "[d].TXT")])
    assert sorted(names(single)) == ["[d].TXT", "a.txt"]


def test_home_is_where_a_tilde_leads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert names(patterns_of(["~/texts/deep"])[0]) == ["c.md"]


def test_many_documents_are_held_out_whole(tmp_path: Path) -> None:
    for seed in range(400):
        (tmp_path / f"{seed}.txt").write_text(prose(seed, 2000))
    own = fitted("smoke", tmp_path)
    assert own.corpus.passage_bytes is None
    assert own.corpus.validation_share == 0.1
    assert own.validation.documents == 32
    assert {grid.how for grid in own.grids.values()} == {"whole"}
    assert own.told[0] == "texts: 400 documents, 800 kB, in 400 files (400 .txt)"
    assert own.told[1].startswith("held out: 40 whole documents, 80 kB (10%); loss is measured on 32 excerpts")


def test_one_long_document_is_cut_and_what_that_means_is_said(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(prose(0, 700_000))
    own = fitted("laptop", tmp_path / "book.txt")
    assert own.corpus.passage_bytes is not None
    assert own.validation.documents >= 32
    assert "the loss says how well these are learnt, and less of new ones" in own.told[1]
    lengths = [len(document.text.encode()) for document in read_documents(own.corpus)]
    assert sum(lengths) == 700_000
    assert max(lengths) <= own.corpus.passage_bytes


def test_the_law_is_told_to_be_of_shorter_runs(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(prose(1, 700_000))
    own = fitted("laptop", tmp_path)
    assert own.grids["law"].how == "shorter"
    (line,) = (line for line in own.told if line.startswith("law: "))
    assert "wider intervals" in line


def test_what_a_refusal_asks_for_is_enough(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(prose(1, 200_000))
    with pytest.raises(ValueError, match="and the law needs ") as caught:
        fitted("laptop", tmp_path)
    (asked,) = re.findall(r"give about (\d+) kB of text that is not there twice", str(caught.value))
    (tmp_path / "book.txt").write_text(prose(1, 1000 * int(asked)))
    assert fitted("laptop", tmp_path).grids["law"].how == "shorter"


def test_a_document_as_long_as_half_of_what_is_held_out_is_cut() -> None:
    corpus, validation = CorpusParams(source="files", paths=("x",)), ValidationParams(128, 1024)
    even, _ = held_out(corpus, validation, [10_000] * 1000)
    assert (even.validation_share, even.passage_bytes) == (0.05, None)
    long, _ = held_out(corpus, validation, [10_000] * 1000 + [20_000_000])
    assert long.passage_bytes == 8192


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "short.txt",
            b"a few words\n" * 1700,
            r"^texts: 20.4 kB in 1 files leave .* and the law needs 409,728: give about 520 kB",
        ),
        ("latin.txt", "caf\u00e9 ".encode("latin-1") * 9, r"^texts matches .*latin.txt, which is not UTF-8 at byte 3"),
        ("rows.jsonl", b'{"body": "x"}\n', r"^--text-field 'text' is not in .*rows.jsonl line 1, which has body"),
        ("empty.txt", b"", r"^texts: the 1 files hold no text"),
    ],
)
def test_texts_that_do_not_do_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=told) as caught:
        fitted("laptop", tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^texts '.*/nowhere/\*.txt' matches no file"):
        fitted("laptop", tmp_path / "nowhere/*.txt")
    with pytest.raises(
        ValueError, match=r"^texts: in .* there is no .txt, .md, .rst, .py, .pyi, .jsonl, .parquet file"
    ):
        fitted("laptop", tmp_path)


def test_the_column_that_holds_the_text_is_named(tmp_path: Path) -> None:
    rows = [json.dumps({"body": prose(seed, 3000)}) for seed in range(120)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    own = fitted("smoke", tmp_path, text_field="body")
    assert own.told[0].startswith("texts: 120 documents, 360 kB, in 1 files (1 .jsonl)")


def test_no_more_is_read_than_the_preset_keeps(tmp_path: Path) -> None:
    for seed in range(9):
        (tmp_path / f"{seed}.txt").write_text(prose(seed, 100_000))
    params = load(PRESETS / "smoke.yaml")
    params = replace(params, corpus=replace(params.corpus, max_bytes=200_000))
    own = fit_to_texts(params, [str(tmp_path)], "text", lambda line: None)
    assert own.told[0] == (
        "texts: 5 documents, 421 kB, in 9 files (9 .txt); of 900 kB on disk the rest is more than the preset reads"
    )
