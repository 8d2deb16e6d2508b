"""One process at a time on what only one may write."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

LOCK_ATTEMPTS, LOCK_PAUSE_SECONDS = 10, 0.05


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
