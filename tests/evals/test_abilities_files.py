"""What is written: JSON lines, whole or not at all, in the shares asked for; and what importing costs."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evals.abilities import ABILITIES, documents, items, write_documents, write_items
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


def test_items_are_a_file_an_ability_and_style(tmp_path: Path) -> None:
    written = write_items(tmp_path / "items", 20, seed=3)
    assert sorted(written) == sorted((tmp_path / "items").iterdir())
    assert len(written) == 15 + 6
    for path in written:
        name, _, style = path.stem.rpartition("-")
        expected = items(ABILITIES[name], "steps" if style == "steps" else "direct", 20, seed=3)
        assert read(path) == [{**vars(item), "choices": list(item.choices)} for item in expected]


def test_items_of_other_dials_and_with_shots(tmp_path: Path) -> None:
    abilities = {"parity": Parity(num_bits=8), "seen_pairs": Compose(seen_pairs=True)}
    written = write_items(tmp_path, 10, seed=3, shots=2, abilities=abilities)
    assert [path.name for path in written] == ["parity-direct.jsonl", "parity-steps.jsonl", "seen_pairs-direct.jsonl"]
    assert all(row["prompt"].count("\n") == 2 for path in written for row in read(path))


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
