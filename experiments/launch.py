"""The local executor: one process a core, one thread a process, pending cells side by side."""

import contextlib
import fcntl
import multiprocessing
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from models.ladder import Shape
from models.orphans import end_with_parent
from sweeps import store
from sweeps.train_job import CellJob

POLL_SECONDS = 0.5
MAX_WIDTHS = 64
LOCK_ATTEMPTS, LOCK_PAUSE_SECONDS = 10, 0.05
# A bar for every checkpoint would drown the sweep's own.
QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS"), "1")


@dataclass(frozen=True)
class Failure:
    """A cell that raised; the traceback is in `log`, the rest of the sweep went on."""

    cell: str
    reason: str
    log: Path


def run_cells(
    jobs: list[CellJob],
    workers: int,
    compile_cache: Path,
    cost: Callable[[CellJob], float],
    on_tick: Callable[[], None],
) -> list[Failure]:
    """Trains the jobs, costliest first, and returns those that failed; their branches get a record that says so.

    A worker that dies takes its cell along and no other.
    """
    waiting = sorted(jobs, key=cost, reverse=True)
    running: dict[Future[None], tuple[CellJob, ProcessPoolExecutor]] = {}
    failures: list[Failure] = []
    begun: set[Shape] = set()
    with contextlib.ExitStack() as stack:
        # A pool a worker: one that dies breaks its own pool and no other.
        idle = [stack.enter_context(worker_pool(1, compile_cache)) for _ in range(min(workers, len(jobs)))]
        while waiting or running:
            while waiting and idle:
                busy = {job.cell.shape for job, _ in running.values()}
                job, pool = next_job(waiting, busy, begun), idle.pop()
                waiting.remove(job)
                begun.add(job.cell.shape)
                running[pool.submit(train_in_worker, job)] = (job, pool)
            finished, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            on_tick()
            for future in finished:
                (job, pool), error = running.pop(future), future.exception()
                if error is not None:
                    failures.append(_record_failure(job, error))
                if isinstance(error, BrokenProcessPool):
                    pool = stack.enter_context(worker_pool(1, compile_cache))
                idle.append(pool)
    return failures


def next_job(waiting: list[CellJob], running: set[Shape], begun: set[Shape]) -> CellJob:
    """The first job waiting of a shape that has not begun, else of one that is not running, else the first of all.

    The first job of a shape fills the compile cache for the others; two side by side would both compile.
    """
    return min(waiting, key=lambda job: (job.cell.shape in begun, job.cell.shape in running))


@contextlib.contextmanager
def worker_pool(workers: int, compile_cache: Path) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes with one thread each that share the compile cache and end with this process."""
    os.environ.update({**ONE_THREAD, **QUIET, "TORCHINDUCTOR_CACHE_DIR": str(compile_cache.resolve())})
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def train_in_worker(job: CellJob) -> None:
    """What a worker does with a job: one cell, one thread."""
    import torch

    from sweeps.train import train_cell

    torch.set_num_threads(1)
    # Dynamo keeps one compiled step a width and gives up at 8 in a process.
    torch._dynamo.config.recompile_limit = MAX_WIDTHS
    train_cell(job)


def _record_failure(job: CellJob, error: BaseException) -> Failure:
    """Leaves the traceback beside the cell and a failed record in every branch that did not get one.

    What a stale branch holds stays until the branch is trained again, its record as record.stale.json.
    """
    from sweeps.identity import branch_identity

    log = job.directory / "error.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(traceback.format_exception(error)))
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    for steps in job.pending_steps():
        outcome = {"status": "failed", "reason": reason, "loss": None, "loss_se": None, "bits_per_byte": None}
        where = {"revision": job.revision, "host": platform.node()}
        record = branch_identity(job.cell, job.recipe, steps) | outcome | where
        directory = store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens)
        before = store.read_record(directory)
        if before is not None and before["status"] != "failed":
            (directory / "record.json").replace(directory / "record.stale.json")
        store.write_json(directory / "record.json", record)
    return Failure(job.cell.name, reason, log)


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Raises ValueError where another process holds that lock."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        for _ in range(LOCK_ATTEMPTS):  # is_held takes the lock for a moment.
            if _take(file, fcntl.LOCK_EX):
                break
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            raise ValueError(f"another process works on {lock.stem}: wait for it or stop it")
        yield


def is_held(lock: Path) -> bool:
    """Whether a process holds that lock now."""
    if not lock.exists():
        return False
    with lock.open() as file:
        return not _take(file, fcntl.LOCK_SH)


def _take(file: TextIO, kind: int) -> bool:
    """Takes that kind of lock until the file is closed; False where another has it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
