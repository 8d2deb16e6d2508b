"""What works on the project now: who holds its locks, which cells grow, what DVC is making."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.locks import is_held
from experiments.progress import last_loss
from experiments.project import CACHE
from sweeps import store
from sweeps.train_job import CellJob

# A line of metrics is due every 20 steps: what has written none for so long does not grow.
GROWS_WITHIN_SECONDS = 120.0
DVC_LOCK = Path(".dvc/tmp/rwlock")


@dataclass(frozen=True)
class Holder:
    """A process at work on `what`: a suite or a stage. The process is None where the system does not tell."""

    what: str
    pid: int | None
    command: str


def holders() -> list[Holder]:
    """Who holds the locks of .cache: training, evaluating and measuring take one each."""
    found = []
    for lock in sorted(CACHE.glob("*.lock")):
        if is_held(lock):
            pid = _holder(lock)
            found.append(Holder(lock.stem, pid, _command(pid)))
    return found


def _holder(lock: Path) -> int | None:
    """The process that Linux says holds the lock; None elsewhere."""
    try:
        lines, inode = Path("/proc/locks").read_text().splitlines(), lock.stat().st_ino
    except FileNotFoundError:
        return None
    for line in lines:
        # 12: FLOCK  ADVISORY  WRITE 12345 08:01:262163 0 EOF
        words = line.split()
        if words[1] == "FLOCK" and words[3] == "WRITE" and words[5].endswith(f":{inode}"):
            return int(words[4])
    return None


def _command(pid: int | None) -> str:
    if pid is None:
        return ""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # ended since, or another user's
        return ""
    return " ".join([Path(words[0]).name, *words[1:]]).strip()


def growing(jobs: list[CellJob]) -> dict[str, float | None]:
    """The pending cells whose trunk or branch has had a line of late, with the trunk's last loss."""
    return {job.cell.name: last_loss(job) for job in jobs if job.pending_steps() and _has_grown(job)}


def _has_grown(job: CellJob) -> bool:
    streams = [job.directory / store.TRUNK, *job.directory.glob(".t*.part")]
    now = time.time()
    for log in (stream / "metrics.jsonl" for stream in streams):
        try:
            age = now - log.stat().st_mtime
        except FileNotFoundError:
            continue
        if abs(age) < GROWS_WITHIN_SECONDS:
            return True
    return False


def made_by_dvc() -> list[str]:
    """The outputs that a living `dvc` process is making."""
    try:
        writers = json.loads(DVC_LOCK.read_text()).get("write", {})
    except (FileNotFoundError, ValueError):  # no DVC here, or it writes the file at this moment
        return []
    paths = [Path(path) for path, writer in writers.items() if _is_dvc(int(writer["pid"]))]
    return sorted(os.path.relpath(path) if path.is_absolute() else str(path) for path in paths)


def _is_dvc(pid: int) -> bool:
    """Whether that process lives; where the system tells its command, also whether it is dvc and not a later one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return "dvc" in (_command(pid) or "dvc")
