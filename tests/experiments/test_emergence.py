"""`scalelab emergence`: what it writes, says and refuses; and the bench that says how often it is right."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analysis.points import file_digest
from experiments.bench.emergence import Cell, EmergenceBench, cells, missed, promises, row_of, show, simulate_batch
from experiments.bench.emergence_truth import DESIGNS, draw, table_of

ROW_KEYS = {
    *("task", "metric", "label", "threshold", "threshold_ci95", "width_decades", "width_ci95", "p_flat", "p_sharp"),
    *("amplitude", "bimodality_p", "axes", "num_scales", "num_runs", "L", "B", "diagnostics", "curve"),
}


@pytest.fixture
def scalelab(tmp_path: Path, root: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """The real command line in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "160"}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "experiments", "emergence", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def simulated(kind: str, seed: int = 0) -> pd.DataFrame:
    return table_of(DESIGNS[4], draw(DESIGNS[4], kind, np.random.default_rng(seed)))


def test_a_table_becomes_labels(scalelab, tmp_path: Path) -> None:
    table = pd.concat([simulated("0.25").assign(task="jump [b]"), simulated("linear").assign(task="line")])
    table.to_csv(tmp_path / "scores.csv", index=False)
    done = scalelab("scores.csv", "--json", "labels.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "labels.json").read_text())
    assert found["alpha"] == 0.05
    assert found["inputs"] == {"scores.csv": file_digest(tmp_path / "scores.csv")}
    assert {row["task"]: row["label"] for row in found["rows"]} == {"jump [b]": "emergent", "line": "smooth"}
    for row in found["rows"]:
        assert set(row) >= ROW_KEYS
    for words in ("jump [b]", "emergent", "line", "smooth", "whether the metric makes the jump was not checked"):
        assert words in done.stdout
    table.to_parquet(tmp_path / "scores.parquet")
    alone = scalelab("scores.parquet", "--json", "-")
    assert json.loads(alone.stdout)["rows"] == found["rows"]


def test_the_table_of_our_own_sweep_is_read(scalelab, tmp_path: Path) -> None:
    table = simulated("0.25").assign(task="scalelab_parity_steps", ability="parity", style="steps", kind="reasoning")
    nats = table.assign(metric="logprob", value=-2.5, chance=None)
    pd.concat([nats, table]).to_csv(tmp_path / "emergence_scores.csv", index=False)
    done = scalelab("emergence_scores.csv", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    assert f"left out, without a chance in [0, 1) to compare with: logprob ({len(table)} rows)" in done.stdout
    assert "parity steps" in (tmp_path / "page.html").read_text()


def test_one_line_and_exit_code_2(scalelab, tmp_path: Path) -> None:
    simulated("0.5").assign(chance=1.5).to_csv(tmp_path / "chance.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    for name, said in (("chance.csv", "chance is 1.5 in line 2"), ("empty.csv", "is not a table")):
        done = scalelab(name)
        assert done.returncode == 2
        assert done.stderr.startswith("scalelab: scores: ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr


def test_the_bench_is_the_same_at_the_same_seed() -> None:
    index = cells().index(Cell(DESIGNS[5], "0.25"))
    first, second = (simulate_batch(EmergenceBench(curves=3), index, 0) for _ in range(2))
    assert len(first) == 3
    for one, other in zip(first, second, strict=True):
        assert one | {"cpu_seconds": 0} == other | {"cpu_seconds": 0}
    row = row_of(cells()[index], first)
    assert row["curves"] == sum(row["labels"].values()) == 3
    assert row["emergent"] == row["labels"].get("emergent", 0) / 3


def test_the_committed_table_is_shown(root: Path) -> None:
    table = json.loads((root / "experiments/archive/bench/emergence.json").read_text())
    console = Console(record=True, width=200)
    show(table, console)
    said = console.export_text()
    assert "word_unscrambling" in said
    assert "8x3x200 (0.1)" in said


def test_the_bench_keeps_its_promises_apart() -> None:
    row = {"design": "8x3x200 (0.1)", "kind": "linear", "emergent": 0.03, "bimodal": 0.0}
    assert missed([row]) == ["8x3x200 (0.1), linear: 3.0% emergent"]
    kept = [{"kind": "linear", "emergent": 0.02}, {"kind": "1", "emergent": 0.08}, {"kind": "0.5", "emergent": 0.9}]
    assert missed([row | other for other in kept]) == []
    lost = [{"kind": "1", "emergent": 0.09}, {"kind": "0.5", "emergent": 0.89}, {"kind": "mirage 5", "emergent": 0.02}]
    assert len(missed([row | other for other in lost])) == 3
    assert missed([row | {"design": "8 seeds x 200", "kind": "uniform", "bimodal": 0.08}])
    assert missed([row | {"design": "8 seeds x 200", "kind": "modes .1/.5", "bimodal": 0.8}])
    assert promises(row | {"kind": "0.75"}) == []


@pytest.mark.parametrize(("kind", "width"), [("2", 2.0), ("0.25", 0.25), ("0", 0.0)])
def test_simulated_curves_are_what_they_say(kind: str, width: float) -> None:
    truth = draw(DESIGNS[4], kind, np.random.default_rng(1))
    assert truth.width == width
    assert truth.midpoint is not None
    assert 19.0 <= truth.midpoint <= 21.0
    far = np.abs(truth.x_N - truth.midpoint) > 0.5 + width / 2
    above = truth.x_N > truth.midpoint
    assert truth.score_N[far & above].min() > 0.7
    assert truth.score_N[far & ~above].max() < 0.3
