"""Several processes of this machine that work as the ranks of one torch.distributed group (gloo).

Nothing hangs: the first rank that fails ends the others, and so does the time limit. Ranks are forked off a server that
has imported transformers: only the first launch of a process waits for that.
"""

import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from models.orphans import end_with_parent

Result = TypeVar("Result")
# Whatever cannot be imported there is left to the ranks.
PRELOADED = ["models.decoding.parallel.decode", "transformers.models.granite.modeling_granite"]


def launch(
    num_ranks: int, work: Callable[..., Result], arguments: tuple[Any, ...] = (), timeout_seconds: float = 300.0
) -> list[Result]:
    """What `work(*arguments)` returns on each rank, in their order; both are pickled, and a rank has one thread.

    Raises torch.multiprocessing.ProcessRaisedException, which carries the failing rank's traceback, or
    ProcessExitedException where a rank died of a signal; TimeoutError where one takes longer than the limit; ValueError
    for fewer than one rank.
    """
    if num_ranks < 1:
        raise ValueError(f"num_ranks {num_ranks}: give at least 1")
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        deadline = time.monotonic() + timeout_seconds
        started = start_processes(
            _rank,
            (num_ranks, Path(folder), timeout_seconds, work, arguments),
            nprocs=num_ranks,
            join=False,
            daemon=True,
            start_method="forkserver",
        )
        assert started is not None
        try:
            while not started.join(timeout=max(0.0, deadline - time.monotonic())):
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"{num_ranks} ranks were not done within {timeout_seconds:g} s: raise the limit")
        finally:
            for process in filter(None, started.processes):
                if process.is_alive():
                    process.kill()
                process.join()
        return [pickle.loads(_result(Path(folder), rank).read_bytes()) for rank in range(num_ranks)]


def _result(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.pickle"


def _rank(
    rank: int,
    num_ranks: int,
    folder: Path,
    timeout_seconds: float,
    work: Callable[..., object],
    arguments: tuple[Any, ...],
) -> None:
    """One rank's life. No rank leaves before the others are done: what it still has to send would be lost."""
    end_with_parent()
    torch.set_num_threads(1)
    rendezvous, limit = f"file://{folder}/rendezvous", timedelta(seconds=timeout_seconds)
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=num_ranks, timeout=limit)
    _result(folder, rank).write_bytes(pickle.dumps(work(*arguments)))
    dist.barrier()
    dist.destroy_process_group()
