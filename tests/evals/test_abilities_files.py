"""What is written: JSON lines, whole or not at all, in the shares asked for; and what importing costs."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evals.abilities import ABILITIES, documents, items, shots, write_documents, write_items, write_text_items
from evals.abilities.ability import Example
from evals.abilities.copying import Recall
from evals.abilities.instructions import Compose
from evals.abilities.symbols import Parity

SHARES = {"parity": 1.0, "recall": 2.0, "compose": 0.5, "logic": 0.0}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_documents_are_lines_with_the_target_as_their_span(tmp_path: Path) -> None:
    counts = write_documents(tmp_path / "made" / "train.jsonl", SHARES, 1000, seed=4)
    assert counts == {"recall": 571, "compose": 143, "parity": 286}
    rows = read(tmp_path / "made" / "train.jsonl")
    assert len(rows) == 1000
    by_text = {document.text: document for name in counts for document in documents(ABILITIES[name], counts[name], 4)}
    assert Counter(by_text[row["text"]].ability for row in rows) == counts
    for row in rows:
        assert set(row) == {"text", "loss_spans"}
        ((start, end),) = row["loss_spans"]
        assert row["text"][start:end] == by_text[row["text"]].target
        assert row["text"][:start].endswith(">")
        assert end == len(row["text"])
    first, second = rows[:500], rows[500:]
    assert abs(sum("rec:" in r["text"] for r in first) - sum("rec:" in r["text"] for r in second)) < 100


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_documents(tmp_path / name, SHARES, 200, seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("shares", "count", "message"),
    [
        ({"recal": 1.0}, 10, "shares names recal, which is not an ability: use induction, recall, labels"),
        ({"recall": -1.0}, 10, "shares.recall is -1.0: give 0 or more"),
        ({"recall": float("nan")}, 10, "shares.recall is nan: give 0 or more"),
        ({"recall": 0.0}, 10, "shares has nothing above 0: give an ability a share"),
        ({}, 10, "shares has nothing above 0: give an ability a share"),
        ({"recall": 1.0}, 0, "count is 0: ask for 1 document or more"),
    ],
)
def test_shares_that_make_no_sense_are_refused(
    tmp_path: Path, shares: dict[str, float], count: int, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        write_documents(tmp_path / "train.jsonl", shares, count, seed=0)
    assert not list(tmp_path.iterdir())


@dataclass(frozen=True)
class Stubborn(Recall):
    """Gives one content, which is not of the training side."""

    key: str = ""

    def draw(self, rng: Random, held_out: bool) -> Example:
        return replace(super().draw(rng, held_out), key=self.key)


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = Stubborn(key=items(Recall(), "direct", 1, seed=0)[0].key)
    monkeypatch.setattr("evals.abilities.generate.MAX_DRAWS", 100)
    path = tmp_path / "train.jsonl"
    write_documents(path, {"parity": 1.0}, 5, seed=0)
    before = path.read_bytes()
    abilities = {"parity": Parity(), "recall": stubborn}
    with pytest.raises(ValueError, match=r"^recall: found only 0 training contents"):
        write_documents(path, {"parity": 1.0, "recall": 0.01}, 1000, seed=0, abilities=abilities)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_items_are_a_file_an_ability_and_style_with_shots_beside(tmp_path: Path) -> None:
    written = write_items(tmp_path / "items", 20, seed=3)
    assert sorted(written) == sorted((tmp_path / "items").iterdir())
    assert len(written) == 2 * (15 + 6)
    for path in written:
        name, _, style = path.name.removesuffix(".jsonl").removesuffix(".shots").rpartition("-")
        make, count = (shots, 16) if ".shots" in path.name else (items, 20)
        expected = make(ABILITIES[name], "steps" if style == "steps" else "direct", count, seed=3)
        assert read(path) == [{**vars(item), "choices": list(item.choices)} for item in expected]


def test_items_of_other_dials(tmp_path: Path) -> None:
    abilities = {"parity": Parity(num_bits=8), "seen_pairs": Compose(seen_pairs=True), "recall": Recall(num_pairs=4)}
    written = write_items(tmp_path, 10, seed=3, abilities=abilities)
    names = ["parity-direct", "parity-steps", "seen_pairs-direct", "recall-direct"]
    assert [path.name for path in written] == [f"{name}{part}.jsonl" for name in names for part in ("", ".shots")]
    assert {row["chance"] for row in read(tmp_path / "recall-direct.jsonl")} == {0.25}


def test_text_items_are_one_span_after_a_little_and_after_much(tmp_path: Path) -> None:
    texts = [" ".join(f"w{index}x{n}" for n in range(500)) for index in range(3)] + ["caf\u00e9 " * 99]
    early, late = write_text_items(tmp_path, texts, 100, seed=1)
    assert [early.name, late.name] == ["text-early.jsonl", "text-late.jsonl"]
    places = []
    for before, after in zip(read(early), read(late), strict=True):
        assert after["target"] == before["target"]
        assert (len(before["prompt"]), len(after["prompt"]), len(after["target"])) == (4, 48, 15)
        assert after["prompt"].endswith(before["prompt"])
        assert re.match(r" \S", after["target"])
        assert not after["prompt"][-1].isspace()
        index, start = map(int, after["key"].split(":"))
        assert texts[index][start - 48 : start + 15] == after["prompt"] + after["target"]
        places.append(1_000_000 * index + start)
    assert len(places) == 100
    assert min(b - a for a, b in pairwise(sorted(places))) >= 15
    assert {place // 1_000_000 for place in places} == {0, 1, 2}


def test_texts_without_enough_spans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^count is 9: the texts hold \d such spans: ask for no more, or give more"):
        write_text_items(tmp_path, ["word " * 30], 9, seed=0)
    with pytest.raises(ValueError, match=r"^early_characters is 20: give a whole number from 1 to 19"):
        write_text_items(tmp_path, ["word " * 30], 1, seed=0, early_characters=20, late_characters=20)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_where_one_ability_lacks_items(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^parity: found only"):
        write_items(tmp_path / "items", 10, seed=0, abilities={"recall": Recall(), "parity": Parity(num_bits=5)})
    assert not list(tmp_path.iterdir())


def test_importing_loads_the_standard_library_only(root: Path) -> None:
    code = "import sys, evals.abilities; print(','.join(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.strip().split(",")}
    assert not loaded & {"numpy", "torch", "transformers", "models", "rlm", "lm_eval"}
