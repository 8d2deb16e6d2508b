"""SLURM's jobs, as submitit's local executor runs them: processes of this machine with the same files around them."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.executors.params import ExecutorParams, SlurmParams
from experiments.executors.slurm import SlurmExecutor
from experiments.executors.worker import train_in_worker
from experiments.launch import run_cells
from experiments.sweep import executor_of, relative_cost
from sweeps.grid import Cell
from sweeps.train_job import CellJob
from tests.killing import Killer

SHORT, LONG = 61_440, 163_840
ASKED = ExecutorParams(kind="slurm", workers=2, slurm=SlurmParams(minutes=30, memory_gb=2))


def queue_of(place: Path) -> SlurmExecutor:
    return SlurmExecutor(2, place / "slurm", train_in_worker, ASKED.submitit_options(), cluster="local")


def test_a_queue_trains_what_processes_train_though_a_job_is_killed(trained, workplace) -> None:
    job = workplace.job()
    other = replace(job, cell=Cell("law", "decoder", 8, 0, job.cell.steps))
    with Killer(job.directory) as killer, queue_of(workplace.path) as executor:
        failures = run_cells([job, other], executor, relative_cost, lambda: None)
    assert failures == []
    assert len(killer.killed) == 1
    assert not job.pending_steps()
    assert not other.pending_steps()
    for tokens in (SHORT, LONG):
        assert workplace.identity(tokens) == trained.identity(tokens)
        assert workplace.weights(tokens) == trained.weights(tokens)
    assert len(list((workplace.path / "slurm").glob("*_log.out"))) == 3


def test_what_a_cell_raised_is_told_and_is_no_lost_worker(workplace) -> None:
    job: CellJob = replace(workplace.job(), data=workplace.path / "gone")
    with queue_of(workplace.path) as executor:
        (failure,) = run_cells([job], executor, relative_cost, lambda: None)
    assert "holds no manifest.json" in failure.reason
    assert "in train_cell" in failure.log.read_text()
    assert len(list((workplace.path / "slurm").glob("*_log.out"))) == 1


def test_what_a_job_asks_for() -> None:
    asked = ExecutorParams(
        kind="slurm", device="cuda", devices_per_cell=4, slurm=SlurmParams(minutes=90, partition="a100", account="lab")
    )
    assert asked.submitit_options() == {
        "timeout_min": 90, "mem_gb": 8, "cpus_per_task": 4, "gpus_per_node": 4, "slurm_partition": "a100",
        "slurm_account": "lab",
    }  # fmt: skip


def test_a_machine_without_slurm_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="this machine submits no jobs"), executor_of(ASKED):
        pass
