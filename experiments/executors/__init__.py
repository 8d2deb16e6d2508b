"""Where cells run: processes of this machine, a Ray cluster, a SLURM queue."""

from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol

from sweeps.train_job import CellJob

Work = Callable[[CellJob], None]


class WorkerLost(RuntimeError):
    """The process or machine that had the cell is gone; what the cell's store holds is whole, and it may go on."""


class Executor(Protocol):
    """Takes cells one by one inside its `with` block, whose end leaves nothing running."""

    slots: int

    def __enter__(self) -> "Executor": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def submit(self, job: CellJob) -> Future[None]:
        """Begins the cell, at most `slots` at a time; the future raises WorkerLost, or what the cell itself raised."""
        ...
