"""Pending cells on an executor, costliest first; what a lost worker had goes on elsewhere."""

import platform
import queue
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from experiments.executors import Executor, WorkerLost
from models.ladder import Shape
from sweeps import store
from sweeps.train_job import CellJob

POLL_SECONDS = 0.5
ATTEMPTS = 3


@dataclass(frozen=True)
class Failure:
    """A cell that raised; the traceback is in `log`, the rest of the sweep went on."""

    cell: str
    reason: str
    log: Path


def run_cells(
    jobs: list[CellJob],
    executor: Executor,
    cost: Callable[[CellJob], float],
    on_tick: Callable[[], None],
    on_end: Callable[[CellJob], None] = lambda job: None,
) -> list[Failure]:
    """Trains the jobs and returns those that failed; their branches get a record that says so.

    A cell whose worker is lost is given to another, ATTEMPTS times in all, and goes on from its last state on disk.
    `on_end` is called whenever a cell ended or lost its worker, and may raise WorkerLost itself. A cell that lacks
    nothing then is done, whatever its worker raised.
    """
    sweep = _Sweep(executor, sorted(jobs, key=cost, reverse=True))
    failures: list[Failure] = []
    while sweep.waiting or sweep.running:
        sweep.fill()
        ended = sweep.next_ended()
        on_tick()
        if ended is None:
            continue
        job, error = ended
        error = _end(job, error, on_end)
        if isinstance(error, WorkerLost) and sweep.attempts[job] < ATTEMPTS:
            print(f"{job.cell.name}: lost its worker ({error}); it goes on with another", file=sys.stderr, flush=True)
            sweep.begin(job)
        elif error is not None:
            failures.append(_record_failure(job, error))
    return failures


class _Sweep:
    """Which cells wait, in order, and which run."""

    def __init__(self, executor: Executor, waiting: list[CellJob]) -> None:
        self.executor, self.waiting = executor, waiting
        self.running: dict[Future[None], CellJob] = {}
        self.ended: queue.SimpleQueue[Future[None]] = queue.SimpleQueue()
        self.begun: set[Shape] = set()
        self.attempts: Counter[CellJob] = Counter()

    def fill(self) -> None:
        """Begins cells as long as there is room."""
        while self.waiting and len(self.running) < self.executor.slots:
            job = next_job(self.waiting, {other.cell.shape for other in self.running.values()}, self.begun)
            self.waiting.remove(job)
            self.begin(job)

    def begin(self, job: CellJob) -> None:
        """Gives the cell to a worker, once more where one lost it."""
        self.begun.add(job.cell.shape)
        self.attempts[job] += 1
        future = self.executor.submit(job)
        self.running[future] = job
        future.add_done_callback(self.ended.put)

    def next_ended(self) -> tuple[CellJob, BaseException | None] | None:
        """A cell that ended and what it raised; None where none does for POLL_SECONDS."""
        try:
            future = self.ended.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return None
        return self.running.pop(future), future.exception()


def _end(job: CellJob, error: BaseException | None, on_end: Callable[[CellJob], None]) -> BaseException | None:
    """What keeps the cell from being done: what it raised, else what kept its files from coming here."""
    try:
        on_end(job)
    except WorkerLost as lost:
        return error or lost
    return error if error is not None and job.pending_steps() else None


def next_job(waiting: list[CellJob], running: set[Shape], begun: set[Shape]) -> CellJob:
    """The first job waiting of a shape that has not begun, else of one that is not running, else the first of all.

    The first job of a shape fills the compile cache for the others; two side by side would both compile.
    """
    return min(waiting, key=lambda job: (job.cell.shape in begun, job.cell.shape in running))


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
