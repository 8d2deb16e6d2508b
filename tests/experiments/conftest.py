"""Run directories as training leaves them, written without training; and a newcomer with a table of runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.laws import HOFFMANN, Fitted
from experiments.__main__ import main
from experiments.snapshot import Sweep
from sweeps import store
from sweeps.grid import Cell, Training

BATCH = 1024
LINES_EVERY = 20
BEGAN = 1_760_000_000_000  # Unix milliseconds


class RunsWriter:
    """Writes a sweep's cells under `runs` in the form that the cell store documents."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.recipe = store.Recipe(
            Training(batch_tokens=BATCH), 260, "data" * 16, "validation" * 6, "cpu", code_digest="c0de" * 16
        )

    def sweep(
        self, num_cells: int, *, steps: tuple[int, ...] = (100, 200), recipe: store.Recipe | None = None
    ) -> Sweep:
        cells = [Cell("law", "decoder", 32, seed, steps) for seed in range(num_cells)]
        return Sweep("law", cells, recipe or self.recipe)

    def write_trunk(self, sweep: Sweep, cell: Cell, upto: int) -> None:
        directory = store.cell_dir(self.runs, cell) / store.TRUNK
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "fingerprint").write_text(store.fingerprint(cell, sweep.recipe, None))
        self._write_lines(directory, 0, upto)

    def write_branch(
        self, sweep: Sweep, cell: Cell, steps: int, *, status: str = "done", revision: str = "abc"
    ) -> None:
        directory = store.branch_dir(self.runs, cell, steps * BATCH)
        directory.mkdir(parents=True, exist_ok=True)
        done = status == "done"
        self._write_lines(directory, steps * 4 // 5, steps)
        record = {
            "schema_version": store.SCHEMA_VERSION,
            "fingerprint": store.fingerprint(cell, sweep.recipe, steps),
            "suite": cell.suite,
            "family": cell.family,
            "size": cell.width,
            "cell": cell.name,
            "branch": directory.name,
            "seed": cell.seed,
            "tokens": steps * BATCH,
            "steps": steps,
            "loss": 2.0 + 10 / steps if done else None,
            "loss_se": 0.01 if done else None,
            "bits_per_byte": 3.0 if done else None,
            "revision": revision,
            "status": status,
            "reason": "" if done else f"training loss nan at step {steps}",
            "host": "machine",
        }
        store.write_json(directory / "record.json", record)

    def write(self, sweep: Sweep) -> None:
        """The whole sweep, trained."""
        for cell in sweep.cells:
            self.write_trunk(sweep, cell, max(cell.steps) * 4 // 5)
            for steps in cell.steps:
                self.write_branch(sweep, cell, steps)

    def _write_lines(self, directory: Path, after: int, upto: int) -> None:
        lines = [
            {
                "step": step,
                "tokens": step * BATCH,
                "loss": 5.0 - step / 1000,
                "learning_rate": 0.01,
                "gradient_norm": 1.0,
                "time": BEGAN + step,
            }
            for step in range(after + LINES_EVERY, upto + 1, LINES_EVERY)
        ]
        (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunsWriter:
    """A writer of runs/ in an empty folder, which is the working directory: MLflow puts its artifacts there."""
    monkeypatch.chdir(tmp_path)
    return RunsWriter(tmp_path / "runs")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables with nothing in them: making them takes seconds, copying the file does not."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracking_uri(tmp_path: Path, empty_database: Path) -> str:
    path = shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{path}"


# A newcomer: a table of runs in a directory that holds nothing else, and the command line.

NEWCOMERS_LAW = Fitted.of(HOFFMANN, {"A": 480.0, "B": 2100.0, "E": 1.8, "alpha": 0.35, "beta": 0.37})


def shell(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python -m experiments` in that directory."""
    root = Path(__file__).resolve().parent.parent.parent
    return subprocess.run(
        [sys.executable, "-m", "experiments", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )


class Newcomer:
    """The command line in an empty directory, without the second that starting an interpreter takes."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self.monkeypatch, self.capsys = path, monkeypatch, capsys
        monkeypatch.chdir(path)

    def scalelab(self, *arguments: str) -> tuple[int | str | None, str, str]:
        """Exit code, standard output and standard error."""
        self.monkeypatch.setattr(sys, "argv", ["scalelab", *arguments])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *self.capsys.readouterr())

    def shell(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The same in a process of its own."""
        return shell(self.path, *arguments)

    def result(self, *arguments: str) -> dict[str, Any]:
        """What the verb writes with `--json -`."""
        code, out, err = self.scalelab(*arguments, "--json", "-")
        assert (code, err) == (0, "")
        return json.loads(out)

    def refusal(self, *arguments: str) -> str:
        """The one line on bad input, after which everything is as it was."""
        before = self._stamps()
        code, out, err = self.scalelab(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("scalelab: ")
        assert err.count("\n") == 1, err
        assert err.endswith("\n")
        assert self._stamps() == before
        return err.strip()

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in self.path.rglob("*")}


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Newcomer:
    return Newcomer(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="session")
def newcomers_law() -> Fitted:
    """The law that made the newcomer's table."""
    return NEWCOMERS_LAW


@pytest.fixture
def table() -> pd.DataFrame:
    """24 runs of 6 sizes, a run a row."""
    return newcomers_table()


def newcomers_table() -> pd.DataFrame:
    params, tokens = (a.ravel() for a in np.meshgrid(np.geomspace(2e7, 2e9, 6), np.geomspace(1e9, 1e11, 4)))
    loss = NEWCOMERS_LAW.loss(params, tokens) * np.exp(0.004 * np.random.default_rng(0).standard_normal(len(params)))
    return pd.DataFrame({"params": params.round(), "tokens": tokens.round(), "loss": loss})


@pytest.fixture(scope="session")
def law_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The law of the newcomer's table beside it, as a shell wrote it. Read only."""
    directory = tmp_path_factory.mktemp("newcomer")
    newcomers_table().to_csv(directory / "runs.csv", index=False)
    done = shell(directory, "fit", "runs.csv", "--bootstrap", "100", "--json", "law.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("L = E + A/N^alpha + B/D^beta over 24 runs of 6 sizes (huber)\n")
    assert {path.name for path in directory.iterdir()} == {"runs.csv", "law.json"}
    return directory / "law.json"


@pytest.fixture(scope="session")
def law(law_path: Path) -> dict[str, Any]:
    return json.loads(law_path.read_text())
