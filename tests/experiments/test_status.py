"""`scalelab status`: which failures are still news."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.status import read_status
from sweeps import store
from sweeps.identity import branch_identity
from sweeps.train_job import CellJob

SHORT, LONG = 61_440, 163_840


def write_failed(job: CellJob, steps: int, reason: str) -> Path:
    directory = store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens)
    record = branch_identity(job.cell, job.recipe, steps) | {"status": "failed", "reason": reason}
    store.write_json(directory / "record.json", record)
    return directory


def test_failures_are_those_of_the_grid_as_it_is_asked_for(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace.path)
    job = workplace.job()
    short, long = job.cell.steps
    write_failed(job, 2 * long, "of a token count no longer asked for")
    write_failed(replace(job, cell=replace(job.cell, width=32)), short, "of a size no longer asked for")
    write_failed(workplace.job(learning_rate=0.02), short, "of another learning rate")
    status = read_status()
    assert status["suites"] == {"law": {"stale": 1, "pending": 1}}
    assert status["failures"] == {}
    write_failed(job, long, "of now")
    status = read_status()
    assert status["suites"] == {"law": {"stale": 1, "failed": 1}}
    assert status["failures"] == {"law/w0016-s0": "of now"}
