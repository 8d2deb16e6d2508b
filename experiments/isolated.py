"""A call in a process of its own, with one thread: nothing warm when it begins, nothing left behind.

Processes are forked off a server that has imported torch and transformers and done nothing with them: what takes
seconds is taken once.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from experiments.pools import ONE_THREAD, QUIET
from experiments.project import COMPILE_CACHE
from models.orphans import end_with_parent

Work = TypeVar("Work")
Result = TypeVar("Result")
PRELOADED = ["evals.inference.process", "transformers.models.granite.modeling_granite"]


def isolated(work: Callable[..., Result], *arguments: Any) -> Result:
    """What `work(*arguments)` returns, or raises, in a new process; both are pickled."""
    os.environ.update({**ONE_THREAD, **QUIET, "TORCHINDUCTOR_CACHE_DIR": str(COMPILE_CACHE.resolve())})
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        return pool.submit(work, *arguments).result()


def side_by_side(
    work: Callable[[Work], Result], items: Sequence[Work], workers: int
) -> Iterator[tuple[Work, "Future[Result]"]]:
    """Each item and, as they come, the done future of `work` on it in a process of its own, `workers` at a time."""
    with ThreadPoolExecutor(workers) as threads:
        waiting = {threads.submit(isolated, work, item): item for item in items}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future
        finally:
            for future in waiting:
                future.cancel()
