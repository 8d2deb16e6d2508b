"""Processes of this machine, one a core, one thread each."""

import contextlib
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType

from experiments.executors import Work, WorkerLost
from experiments.pools import worker_pool
from sweeps.train_job import CellJob


class LocalExecutor:
    """`workers` processes that share a compile cache; one that dies takes its cell along and no other."""

    def __init__(self, workers: int, compile_cache: Path, work: Work) -> None:
        self.slots, self.compile_cache, self.work = workers, compile_cache, work
        self.stack = contextlib.ExitStack()
        self.idle: list[ProcessPoolExecutor] = []

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, trace)

    def submit(self, job: CellJob) -> Future[None]:
        """Gives the cell to a process that is free, or to a new one."""
        pool, begun = self._begin(job)
        outcome: Future[None] = Future()

        def hand_on(done: Future[None]) -> None:
            error = done.exception()
            if isinstance(error, BrokenProcessPool):
                outcome.set_exception(WorkerLost("its process was killed"))
                return
            self.idle.append(pool)
            if error is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(error)

        begun.add_done_callback(hand_on)
        return outcome

    def _begin(self, job: CellJob) -> tuple[ProcessPoolExecutor, Future[None]]:
        """The cell in a pool of one worker: one that dies breaks its own pool and no other."""
        while self.idle:
            pool = self.idle.pop()
            with contextlib.suppress(BrokenProcessPool):  # killed while it had no cell
                return pool, pool.submit(self.work, job)
        pool = self.stack.enter_context(worker_pool(1, self.compile_cache))
        return pool, pool.submit(self.work, job)
