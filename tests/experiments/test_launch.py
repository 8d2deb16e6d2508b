"""The sweep on this machine: which cell goes first, what a dying worker takes along, who waits for whom."""

import fcntl
import json
import threading
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from experiments.bench.executors import nothing
from experiments.executors.local import LocalExecutor
from experiments.executors.worker import train_in_worker
from experiments.launch import ATTEMPTS, next_job, run_cells
from experiments.locks import is_held, only_one
from experiments.sweep import relative_cost
from models.ladder import Shape
from sweeps import store
from sweeps.grid import Cell
from sweeps.train import train_cell
from sweeps.train_job import CellJob
from tests.killing import Killer

SHORT, LONG = 61_440, 163_840


def job_of(job: CellJob, width: int, seed: int = 0) -> CellJob:
    return replace(job, cell=Cell("law", "decoder", width, seed, job.cell.steps))


def test_one_job_of_every_width_goes_first(workplace) -> None:
    job = workplace.job()
    jobs = [job_of(job, width, seed) for width in (16, 32, 64) for seed in (0, 1)]
    waiting = sorted(jobs, key=relative_cost, reverse=True)
    assert [waiting_job.cell.width for waiting_job in waiting] == [64, 64, 32, 32, 16, 16]
    # Two workers, side by side: each takes another width, whose kernels the other does not compile.
    order: list[Shape] = []
    for _ in range(6):
        chosen = next_job(waiting, running=set(order[-1:]), begun=set(order))
        waiting.remove(chosen)
        order.append(chosen.cell.shape)
    assert [shape.width for shape in order] == [64, 32, 16, 64, 32, 16]


def test_one_process_a_suite(tmp_path: Path) -> None:
    lock = tmp_path / "cache" / "law.lock"
    with only_one(lock):
        with only_one(tmp_path / "cache" / "other.lock"):
            pass
        with pytest.raises(ValueError, match="another process works on law: wait for it"), only_one(lock):
            pass
    with only_one(lock):
        pass


def test_a_glance_at_the_lock_does_not_turn_a_sweep_away(tmp_path: Path) -> None:
    lock = tmp_path / "law.lock"
    lock.touch()
    with lock.open() as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)
        over = threading.Event()

        def release() -> None:
            over.set()
            fcntl.flock(glance, fcntl.LOCK_UN)

        threading.Timer(0.1, release).start()
        with only_one(lock):
            assert over.is_set()
            assert is_held(lock)
    assert not is_held(lock)


def test_a_cell_that_fails_at_once_keeps_what_its_stale_branches_hold(trained, workplace) -> None:
    workplace.copy_runs(trained)
    job = replace(workplace.job(learning_rate=0.02), data=workplace.path / "gone")
    cache = workplace.path / "cache"
    with LocalExecutor(1, cache, train_in_worker) as executor:
        failure, again = run_cells([job, job], executor, relative_cost, lambda: None)
    assert failure == again
    assert "holds no manifest.json" in failure.reason
    assert [job.state(steps) for steps in job.cell.steps] == ["failed", "failed"]
    for tokens in (SHORT, LONG):
        assert workplace.record(tokens)["reason"] == failure.reason
        assert workplace.weights(tokens) == trained.weights(tokens)
        assert store.read_metrics(workplace.branch(tokens)) == store.read_metrics(trained.branch(tokens))
        before = json.loads((workplace.branch(tokens) / "record.stale.json").read_text())
        assert before == trained.record(tokens)
    train_cell(replace(job, data=workplace.job().data))
    assert not job.pending_steps()
    assert not list(workplace.path.rglob("record.stale.json"))


def train_and_raise(job: CellJob) -> None:
    train_cell(job)
    raise RuntimeError("after the last branch")


def test_a_cell_that_lacks_nothing_is_no_failure_whatever_its_worker_raised(workplace) -> None:
    job = workplace.job()
    with LocalExecutor(1, workplace.path / "cache", train_and_raise) as executor:
        assert run_cells([job], executor, relative_cost, lambda: None) == []
    assert not job.pending_steps()


def test_a_worker_that_dies_takes_its_own_cell_along_which_goes_on_with_another(trained, workplace) -> None:
    workplace.set("executor.workers", 2)
    workplace.set("suites.law.grid", [{"sizes": [16, 32], "tokens": [SHORT, LONG]}])
    running = workplace.start("train")
    with Killer(workplace.path / "runs" / "law" / "w0016-s0") as killer:
        _, err = running.communicate(timeout=200)
    assert running.returncode == 0, err
    assert len(killer.killed) == 1
    assert "w0016-s0: lost its worker (its process was killed); it goes on with another" in err
    assert "w0032" not in err.replace("w0032-s0 ", "")  # but for the lines of progress
    for tokens in (SHORT, LONG):
        assert workplace.identity(tokens) == trained.identity(tokens)
        assert workplace.weights(tokens) == trained.weights(tokens)
        assert workplace.record(tokens, "w0032-s0")["status"] == "done"


def test_a_worker_that_dies_while_it_has_no_cell_is_replaced(workplace) -> None:
    job = workplace.job()
    with LocalExecutor(1, workplace.path / "cache", nothing) as executor:
        executor.submit(job).result()
        (worker,) = (child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline()))
        worker.kill()
        with pytest.raises(BrokenProcessPool):
            executor.idle[0].submit(nothing, job).result()
        executor.submit(job).result()


def test_a_cell_that_loses_every_worker_fails_and_the_rest_of_the_sweep_goes_on(trained, workplace) -> None:
    workplace.set("suites.law.grid", [{"sizes": [16, 32], "tokens": [SHORT, LONG]}])
    running = workplace.start("train")
    with Killer(workplace.path / "runs" / "law" / "w0032-s0", times=ATTEMPTS) as killer:
        _, err = running.communicate(timeout=200)
    assert running.returncode == 1, err
    assert len(killer.killed) == ATTEMPTS
    assert "failed: w0032-s0: WorkerLost: its process was killed" in err
    for tokens in (SHORT, LONG):
        assert workplace.record(tokens, "w0032-s0")["status"] == "failed"
        assert workplace.weights(tokens) == trained.weights(tokens)
