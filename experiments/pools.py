"""Processes of one thread each, one a core: two threads in each of several processes destroy throughput."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from models.orphans import end_with_parent

# A bar for every checkpoint would drown the sweep's own.
QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS"), "1")


def worker_environment(compile_cache: Path) -> dict[str, str]:
    """What a worker's environment says, wherever the worker runs."""
    return {**ONE_THREAD, **QUIET, "TORCHINDUCTOR_CACHE_DIR": str(compile_cache.resolve())}


@contextlib.contextmanager
def worker_pool(workers: int, compile_cache: Path) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes with one thread each that share the compile cache and end with this process."""
    os.environ.update(worker_environment(compile_cache))
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
