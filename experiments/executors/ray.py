"""A Ray cluster: each cell a task, a core each, and the part of a GPU that it asks for."""

import logging
import os
import socket
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from experiments.executors import Work, WorkerLost
from experiments.pools import worker_environment
from experiments.project import CODE_ROOT
from sweeps.train_job import CellJob

ROOMS = ("models", "sweeps", "evals", "analysis", "rlm", "experiments")
KNOCK_SECONDS = 10.0
MANY = 1_000_000  # cells at a time: the cluster itself queues what it has no room for


class RayExecutor:
    """Submits to the cluster at `address` (RAY_ADDRESS where that is None), or to one begun on this machine.

    Raises ValueError where there is no cluster at the address. Machines find code and store under the paths of this
    one; where `ships_code`, the code travels with the cells instead.
    """

    slots = MANY

    def __init__(
        self, address: str | None, work: Work, cores: int, gpus: float, compile_cache: Path, ships_code: bool
    ) -> None:
        self.address, self.work, self.cores, self.gpus = address, work, cores, gpus
        self.compile_cache, self.ships_code = compile_cache, ships_code

    def __enter__(self) -> "RayExecutor":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        address = self.address or os.environ.get("RAY_ADDRESS")
        try:
            _knock(address)
            ray.init(
                address=address, runtime_env=self._environment(), log_to_driver=False, logging_level=logging.WARNING
            )
        except (OSError, ValueError) as error:
            named = "executor.address" if self.address else "RAY_ADDRESS"
            raise ValueError(
                f"{named} is {address!r} and no Ray cluster answers there: {error}: begin one there "
                "(`ray start --head`), or leave the address out for one on this machine"
            ) from None
        if self.gpus > ray.cluster_resources().get("GPU", 0):
            print(f"the Ray cluster has no {self.gpus:g} GPUs now: cells wait for them", file=sys.stderr, flush=True)
        self.task = ray.remote(_do).options(num_cpus=self.cores, num_gpus=self.gpus, max_retries=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        ray.shutdown()

    def submit(self, job: CellJob) -> Future[None]:
        """Queues the cell; Ray begins it where there is room."""
        whole = replace(job, data=job.data.resolve(), runs=job.runs.resolve())
        outcome: Future[None] = Future()
        self.task.remote(self.work, whole).future().add_done_callback(lambda done: _hand_on(done, outcome))
        return outcome

    def _environment(self) -> dict[str, Any]:
        variables = worker_environment(self.compile_cache)
        if self.ships_code:
            variables.pop("TORCHINDUCTOR_CACHE_DIR")
            return {"env_vars": variables, "py_modules": [str(CODE_ROOT / room) for room in ROOMS]}
        return {"env_vars": {**variables, "PYTHONPATH": str(CODE_ROOT)}}


def _knock(address: str | None) -> None:
    """Raises OSError where nothing listens at host:port; Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()


def _do(work: Work, job: CellJob) -> None:
    work(job)


def _hand_on(done: "Future[None]", outcome: "Future[None]") -> None:
    """Ray's word for what happened as the executors' own."""
    from ray.exceptions import RayError, RayTaskError

    error = done.exception()
    if error is None:
        outcome.set_result(None)
    elif isinstance(error, RayTaskError):
        cause = error.cause
        cause.add_note(str(error))  # the traceback on that machine
        outcome.set_exception(cause)
    elif isinstance(error, RayError):
        outcome.set_exception(WorkerLost(f"{type(error).__name__}: {' '.join(str(error).split())}"))
    else:
        outcome.set_exception(error)
