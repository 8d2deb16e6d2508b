"""SLURM's jobs, as submitit's local executor runs them: processes of this machine with the same files around them."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from submitit.core import core

from experiments.executors import Work, WorkerLost
from experiments.executors.params import ExecutorParams, SlurmParams
from experiments.executors.slurm import SlurmExecutor
from experiments.executors.stores import SharedStore
from experiments.executors.worker import train_in_worker
from experiments.launch import run_cells
from experiments.pools import worker_environment
from experiments.sweep import executor_of, relative_cost
from sweeps.grid import Cell
from sweeps.train_job import CellJob
from tests.checkout import heed_interrupts
from tests.killing import Killer, saving_often, steps_trained, worker_of_a_store

SHORT, LONG = 61_440, 163_840
ASKED = ExecutorParams(kind="slurm", workers=2, slurm=SlurmParams(minutes=30, memory_gb=2))


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """submitit gives the files of a job that ended 15 seconds to show on a network's disk; here they are at once."""
    monkeypatch.setattr(core.Job, "_results_timeout_s", 1)


def queue_of(place: Path, work: Work = train_in_worker) -> SlurmExecutor:
    return SlurmExecutor(2, place / "slurm", work, ASKED.submitit_options(), place / "cache", cluster="local")


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


def test_a_preempted_job_is_queued_again_and_goes_on_from_what_the_store_has(trained, workplace) -> None:
    """Preempted by the signal that SLURM sends, when a state of the trunk is in the store."""
    job, place = workplace.job(), workplace.path / "store"
    job = replace(job, cell=replace(job.cell, steps=job.cell.steps[1:]))
    shared, preempted = SharedStore(f"file://{place}"), threading.Event()

    def preempt() -> None:
        while not list(place.glob("law/w0016-s0/*/trunk/*.pt")):
            time.sleep(0.02)
        worker_of_a_store().send_signal(signal.SIGUSR2)
        preempted.set()

    shared.offer([job])
    threading.Thread(target=preempt, daemon=True).start()
    with queue_of(workplace.path, partial(saving_often, store_url=f"file://{place}")) as executor:
        assert run_cells([job], executor, relative_cost, lambda: None, shared.bring_back) == []
    assert preempted.is_set()
    assert not job.pending_steps()
    (log,) = (workplace.path / "slurm").glob("*_log.out")
    assert "Requeued job" in log.read_text()
    assert steps_trained(workplace.record(LONG), 512) < job.cell.steps[0]
    assert workplace.identity(LONG) == trained.identity(LONG)
    assert workplace.weights(LONG) == trained.weights(LONG)


def lose(job: CellJob) -> None:
    raise WorkerLost("the store was away")


def test_a_job_that_says_that_it_is_lost_is_a_lost_worker(workplace) -> None:
    with queue_of(workplace.path, lose) as executor:
        lost = executor.submit(workplace.job()).exception()
    assert isinstance(lost, WorkerLost)
    assert str(lost) == "the store was away"


def run_queue(place: Path, job: CellJob) -> None:
    heed_interrupts()
    core.Job._results_timeout_s = 1
    with queue_of(place) as executor:
        run_cells([job], executor, relative_cost, lambda: None)


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


SQUEUE = """#!/bin/sh
ps -o stat= -p "$3" | grep -v Z
"""


def test_jobs_do_not_outlive_a_sweep_that_is_ended_nor_the_next_where_it_is_killed(
    workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """SLURM's own commands stand on this machine's processes, as submitit's local jobs do."""
    for name, script in (("scancel", '#!/bin/sh\nkill -INT "$1"\n'), ("squeue", SQUEUE)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    job = workplace.job()
    job = replace(job, cell=replace(job.cell, steps=(100_000,)))

    def ended_by(signal: int) -> int:
        """The job of a sweep that trained and got that signal."""
        sweep = multiprocessing.get_context("spawn").Process(target=run_queue, args=(workplace.path, job))
        sweep.start()
        while not list(job.directory.glob("trunk/metrics.jsonl")):
            time.sleep(0.05)
        shutil.rmtree(job.directory)
        (queued,) = (int(path.read_text()) for path in (workplace.path / "slurm").glob("*.jobs"))
        os.kill(sweep.pid, signal)
        sweep.join()
        return queued

    assert not is_alive(ended_by(signal.SIGTERM))
    left = ended_by(signal.SIGKILL)
    assert is_alive(left)
    with queue_of(workplace.path):
        assert not is_alive(left)
        assert capsys.readouterr().err == f"cancels what a killed sweep left in the queue: {left}\n"
    assert not list((workplace.path / "slurm").glob("*.jobs"))


def write_environment(job: CellJob) -> None:
    (job.data / "environment.json").write_text(json.dumps(dict(os.environ)))


def test_a_job_has_the_environment_of_every_worker(workplace) -> None:
    job = replace(workplace.job(), data=workplace.path)
    with queue_of(workplace.path, write_environment) as executor:
        executor.submit(job).result()
    environment = json.loads((workplace.path / "environment.json").read_text())
    assert worker_environment(workplace.path / "cache").items() <= environment.items()


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
    with pytest.raises(ValueError, match=r"submits no jobs: .*: run it where sbatch is"), executor_of(ASKED):
        pass


@pytest.mark.parametrize(
    ("said", "is_refused"),
    [("slurm_load_jobs error: Invalid job id specified", False), ("Unable to contact slurm controller", True)],
)
def test_a_queue_that_does_not_answer_is_no_empty_queue(
    workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, is_refused: bool
) -> None:
    for name, script in (("scancel", "#!/bin/sh\nexit 1\n"), ("squeue", f"#!/bin/sh\necho {said} >&2\nexit 1\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    left = workplace.path / "slurm" / "killed.jobs"
    left.parent.mkdir()
    left.write_text("17\n18\n")
    refused = pytest.raises(ValueError, match=r"^squeue does not say whether jobs 17, 18 of a killed sweep run: Unable")
    with refused if is_refused else contextlib.nullcontext(), queue_of(workplace.path):
        pass
    assert left.exists() == is_refused
