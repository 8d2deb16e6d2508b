"""A SLURM queue, by submitit: each cell a job."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from experiments.executors import Work, WorkerLost
from experiments.locks import is_held, only_one
from experiments.pools import worker_environment
from sweeps.train_job import CellJob

if TYPE_CHECKING:
    import submitit

FORGOTTEN = "Invalid job id"  # squeue's words for a job that ended some time ago
TIMEOUTS = 100  # times that a job is queued again when it ran out of its minutes


class SlurmExecutor:
    """At most `workers` jobs at a time in the queue; their logs lie in `folder`, which all machines see, as the store.

    `options` are submitit's (`slurm_partition`, `timeout_min`, ...). A job that is preempted or runs out of its minutes
    is queued again by submitit, and goes on where its cell was. `cluster` is "local" for jobs that are processes of
    this machine. Within the block SIGTERM interrupts as Ctrl-C does, so that no job outlives the sweep; of a sweep that
    was killed, `folder` has the ids of its jobs, which the next one cancels before it begins.
    """

    def __init__(
        self,
        workers: int,
        folder: Path,
        work: Work,
        options: dict[str, Any],
        compile_cache: Path,
        cluster: str = "slurm",
    ) -> None:
        self.slots, self.folder, self.options, self.cluster = workers, folder, options, cluster
        self.cell = _Cell(work, worker_environment(compile_cache))
        self.jobs: list[submitit.Job[WorkerLost | None]] = []
        self.queueing, self.over = threading.Lock(), False

    def __enter__(self) -> "SlurmExecutor":
        import submitit

        try:
            self.queue = submitit.AutoExecutor(
                folder=self.folder.resolve(), cluster=self.cluster, slurm_max_num_timeout=TIMEOUTS
            )
        except RuntimeError as error:
            raise ValueError(
                f"executor.kind is 'slurm' and this machine submits no jobs: {error}: run it where sbatch is, or set "
                "kind to local or ray"
            ) from None
        self.queue.update_parameters(name="scalelab", **self.options)
        _cancel_left_jobs(self.folder)
        self.ids = self.folder / f"{uuid.uuid4().hex}.jobs"
        self.held = contextlib.ExitStack()
        self.held.enter_context(only_one(self.ids))
        self.held.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        self.threads = ThreadPoolExecutor(self.slots)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.queueing:
            self.over = True
        with self.held:
            try:
                for job in self.jobs:
                    if not job.done():
                        job.cancel(check=False)
            finally:
                self.threads.shutdown()
            self.ids.unlink()

    def submit(self, job: CellJob) -> Future[None]:
        """Queues the cell."""
        return self.threads.submit(self._run, replace(job, data=job.data.resolve(), runs=job.runs.resolve()))

    def _run(self, job: CellJob) -> None:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        with self.queueing:
            if self.over:
                raise WorkerLost("the sweep ended before it was queued")
            submitted = self.queue.submit(self.cell, job)
            self.jobs.append(submitted)
            with self.ids.open("a") as ids:
                ids.write(f"{submitted.job_id}\n")
        try:
            lost = submitted.result()
        except FailedJobError as error:
            raise _as_raised(str(error)) from None
        except UncompletedJobError as error:
            raise WorkerLost(f"job {submitted.job_id}: {' '.join(str(error).split())}") from None
        if lost is not None:
            raise lost


class _Cell:
    """A job's work, which returns its WorkerLost: of what a job raises, submitit brings the text alone.

    submitit calls `checkpoint` before SLURM ends the job early, and queues what that returns.
    """

    def __init__(self, work: Work, environment: dict[str, str]) -> None:
        self.work, self.environment = work, environment

    def __call__(self, job: CellJob) -> WorkerLost | None:
        os.environ.update(self.environment)  # torch, which reads it, is not loaded yet
        try:
            self.work(job)
        except WorkerLost as lost:
            return lost
        return None

    def checkpoint(self, job: CellJob) -> "submitit.helpers.DelayedSubmission":
        import submitit

        return submitit.helpers.DelayedSubmission(self, job)


def _cancel_left_jobs(folder: Path) -> None:
    """Cancels what a sweep queued that was killed, and waits until it is gone: no two jobs write one cell.

    Raises ValueError where SLURM does not say whether it is.
    """
    for left in folder.glob("*.jobs"):
        try:
            ids = [] if is_held(left) else left.read_text().split()
        except FileNotFoundError:  # its sweep has just ended
            continue
        if not ids:
            continue
        print(f"cancels what a killed sweep left in the queue: {', '.join(ids)}", file=sys.stderr, flush=True)
        subprocess.run(["scancel", *ids], capture_output=True)
        while _are_queued(ids):
            time.sleep(1)
        left.unlink()


def _are_queued(ids: list[str]) -> bool:
    asked = subprocess.run(["squeue", "--noheader", "--jobs", ",".join(ids)], capture_output=True, text=True)
    said = " ".join(asked.stderr.split())
    if said and FORGOTTEN not in said:
        raise ValueError(f"squeue does not say whether jobs {', '.join(ids)} of a killed sweep run: {said}: try again")
    return bool(asked.stdout.strip())


def _as_raised(trace: str) -> RuntimeError:
    """What the job raised, by the last line of its traceback, which goes along."""
    lines = [line for line in trace.partition("-" * 22)[2].partition("-" * 22)[0].splitlines() if line.strip()]
    failed = RuntimeError(lines[-1] if lines else trace)
    failed.add_note(trace)
    return failed
