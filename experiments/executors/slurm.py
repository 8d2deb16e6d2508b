"""A SLURM queue, by submitit: each cell a job."""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from experiments.executors import Work, WorkerLost
from experiments.pools import worker_environment
from sweeps.train_job import CellJob

if TYPE_CHECKING:
    import submitit


class SlurmExecutor:
    """At most `workers` jobs at a time in the queue; their logs lie in `folder`, which all machines see, as the store.

    `options` are submitit's (`slurm_partition`, `timeout_min`, ...). A job that is preempted or runs out of its minutes
    is queued again by submitit, and goes on where its cell was. `cluster` is "local" for jobs that are processes of
    this machine.
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
        self.jobs: list[submitit.Job[None]] = []
        self.queueing, self.over = threading.Lock(), False

    def __enter__(self) -> "SlurmExecutor":
        import submitit

        try:
            self.queue = submitit.AutoExecutor(folder=self.folder.resolve(), cluster=self.cluster)
        except RuntimeError as error:
            raise ValueError(
                f"executor.kind is 'slurm' and this machine submits no jobs: {error}: run it where sbatch is, or set "
                "kind to local or ray"
            ) from None
        self.queue.update_parameters(name="scalelab", **self.options)
        self.threads = ThreadPoolExecutor(self.slots)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.queueing:
            self.over = True
        for job in self.jobs:
            if not job.done():
                job.cancel()
        self.threads.shutdown()

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
        try:
            submitted.result()
        except FailedJobError as error:
            raise _as_raised(str(error)) from None
        except UncompletedJobError as error:
            raise WorkerLost(f"job {submitted.job_id}: {' '.join(str(error).split())}") from None


class _Cell:
    """A job's work; submitit calls `checkpoint` before SLURM ends it early, and queues what that returns."""

    def __init__(self, work: Work, environment: dict[str, str]) -> None:
        self.work, self.environment = work, environment

    def __call__(self, job: CellJob) -> None:
        os.environ.update(self.environment)  # torch, which reads it, is not loaded yet
        self.work(job)

    def checkpoint(self, job: CellJob) -> "submitit.helpers.DelayedSubmission":
        import submitit

        return submitit.helpers.DelayedSubmission(self, job)


def _as_raised(trace: str) -> RuntimeError:
    """What the job raised, by the last line of its traceback, which goes along."""
    lines = [line for line in trace.partition("-" * 22)[2].partition("-" * 22)[0].splitlines() if line.strip()]
    failed = RuntimeError(lines[-1] if lines else trace)
    failed.add_note(trace)
    return failed
