"""Run directories as training leaves them, written without training."""

import json
import shutil
from pathlib import Path

import pytest

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
            Training(batch_tokens=BATCH), None, 260, "data" * 16, "validation" * 6, "cpu", code_digest="c0de" * 16
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
