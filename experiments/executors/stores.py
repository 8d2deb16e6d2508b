"""Cells by way of a store at an fsspec URL (s3://, gs://, file://, ...), for workers that share no folder with us.

This machine takes back what an earlier run left there of a cell, then puts there what the store lacks of it and of the
data. A worker takes both, trains in a folder of its own, and puts back whole branches and trunk states as they come, so
that another worker goes on where a dead one was. A record is written last there too. A cell's place there bears the
fingerprint of its recipe: what two recipes made never lies in one folder, and nobody removes what another wrote.
"""

import contextlib
import errno
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from experiments.executors import WorkerLost
from experiments.executors.remote import RemoteFiles, StoreAway
from sweeps import store
from sweeps.train_job import CellJob
from sweeps.whole import checkpoint_is_whole, state_is_whole

PUSH_EVERY_SECONDS = 2.0
PATIENCE_SECONDS = 300.0

Stamps = dict[Path, tuple[int, int]]
Result = TypeVar("Result")


class SharedStore:
    """The store at `url`; raises ValueError for a URL that no installed filesystem serves."""

    def __init__(self, url: str) -> None:
        self.url, self.remote = url, RemoteFiles(url)

    def recover(self, jobs: Iterable[CellJob]) -> None:
        """Takes back what an earlier run left there; raises ValueError where the store does not answer."""
        with self._answering():
            for job in jobs:
                self.take_back(job)

    def offer(self, jobs: Iterable[CellJob]) -> None:
        """Puts there what it lacks of the cells as they are here under their recipe, and of their data.

        Raises ValueError where the store does not take them.
        """
        with self._answering():
            for job in jobs:
                self._put_missing(_files(job.data), job.data, self._data(job))
                for part in _current_parts(job):
                    self._put_missing(_files(part), part, f"{self._cell(job)}/{part.name}")

    def take_back(self, job: CellJob) -> None:
        """Brings here what is there under the job's recipe: branches that are not settled here, a longer trunk; each
        whole.
        """
        for steps in job.pending_steps():
            branch = store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens)
            with self._fetched(job, branch.name) as part:
                if _is_whole_branch(part, store.fingerprint(job.cell, job.recipe, steps)):
                    store.put_in_place(part, branch)
        here = store.trunk_steps(job.runs, job.cell, job.recipe)
        with self._fetched(job, store.TRUNK) as part:
            there = [int(path.stem) for path in part.glob("*.pt") if state_is_whole(path)]
            if (part / "fingerprint").exists() and max(there, default=0) > max(here, default=0):
                store.put_in_place(part, job.directory / store.TRUNK)

    def bring_back(self, job: CellJob) -> None:
        """Takes back a cell that ended; raises WorkerLost where a branch of it is not there."""
        try:
            _patiently(lambda: self.take_back(job))
        except StoreAway as away:
            raise WorkerLost(f"its files did not come back: {away}") from None
        missing = [store.branch_name(steps * job.recipe.training.batch_tokens) for steps in job.pending_steps()]
        if missing:
            raise WorkerLost(
                f"its files did not come back: {self.url} has no whole {', '.join(missing)} of {job.cell.name}"
            )

    @contextlib.contextmanager
    def checked_out(self, job: CellJob) -> Iterator[CellJob]:
        """The job in a folder of this machine, whose files go to the store while the block runs and when it ends.

        Raises StoreAway where the store is away too long; what the block raised goes before.
        """
        with contextlib.ExitStack() as ending:
            folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="scalelab-cell-"))
            here = replace(job, data=_patiently(lambda: self._data_here(job)), runs=Path(folder))
            _patiently(lambda: self.take_back(here))
            over, sent = threading.Event(), _stamps(_files(here.directory))

            def push() -> None:
                while not over.wait(PUSH_EVERY_SECONDS):
                    # The next round tries again; a folder may be renamed while it is listed.
                    with contextlib.suppress(StoreAway, FileNotFoundError):
                        self._send(here, sent)

            def send_last(
                kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
            ) -> None:
                try:
                    _patiently(lambda: self._send(here, sent))
                except StoreAway as away:
                    if error is None:
                        raise
                    error.add_note(f"what it had trained did not reach the store: {away}")

            ending.push(send_last)
            threads = ending.enter_context(ThreadPoolExecutor(1))
            ending.callback(over.set)
            threads.submit(push)
            yield here

    def _send(self, here: CellJob, sent: Stamps) -> None:
        """Puts there what is new here, then removes what was sent and is no longer here."""
        files = _files(here.directory)
        self._put(files, here.directory, self._cell(here), sent)
        for path in sent.keys() - set(files):
            if not path.exists():
                self.remote.remove(f"{self._cell(here)}/{path.relative_to(here.directory)}")
                del sent[path]

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except StoreAway as error:
            raise ValueError(
                f"executor.store is {self.url!r} and cells do not travel: {error}: see that it is there and may be "
                "written"
            ) from None

    def _data(self, job: CellJob) -> str:
        return f"{self.remote.root}/data/{job.recipe.data_digest[:16]}-{job.recipe.validation_digest[:16]}"

    def _cell(self, job: CellJob) -> str:
        """Where the cell lies there: apart from those of other recipes, also of another cooldown."""
        return f"{self.remote.root}/{job.cell.suite}/{job.cell.name}/{store.fingerprint(job.cell, job.recipe, 0)}"

    def _data_here(self, job: CellJob) -> Path:
        """The job's data on this machine, taken once for all its cells, and anew where files of them are gone."""
        place = Path(tempfile.gettempdir()) / f"scalelab-data-{Path(self._data(job)).name}"
        if not self._has(self._data(job), place):
            with tempfile.TemporaryDirectory(prefix="scalelab-data-") as folder:
                whole = Path(folder) / "data"
                self._get(self._data(job), whole)
                with contextlib.suppress(FileNotFoundError):
                    place.rename(Path(folder) / "damaged")
                try:
                    whole.rename(place)
                except OSError as error:
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another worker of this machine was first
                        raise
        return place

    @contextlib.contextmanager
    def _fetched(self, job: CellJob, name: str) -> Iterator[Path]:
        """A branch or the trunk as it is there, beside its place here; nothing where there is none."""
        part = job.directory / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            self._get(f"{self._cell(job)}/{name}", part)
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _get(self, there: str, here: Path) -> None:
        for path in self.remote.sizes(there):
            with contextlib.suppress(FileNotFoundError):  # dropped by its worker in the meantime
                self.remote.get(path, here / path.removeprefix(f"{there}/"))

    def _has(self, there: str, here: Path) -> bool:
        """Whether the folder here has every file of that there, in its size."""
        stamps = _stamps([path for path in here.rglob("*") if path.is_file()])
        sizes = {str(path.relative_to(here)): size for path, (size, _) in stamps.items()}
        return self._relative_sizes(there).items() <= sizes.items()

    def _relative_sizes(self, there: str) -> dict[str, int]:
        return {path.removeprefix(f"{there}/"): size for path, size in self.remote.sizes(there).items()}

    def _put_missing(self, files: list[Path], here: Path, there: str) -> None:
        """Sends all files of a folder where the one there has not each of them in its size."""
        sizes = {str(path.relative_to(here)): size for path, (size, _) in _stamps(files).items()}
        if not sizes.items() <= self._relative_sizes(there).items():
            self._put(files, here, there, {})

    def _put(self, files: list[Path], here: Path, there: str, sent: Stamps) -> None:
        """Sends what `sent` does not list or lists otherwise, in order."""
        for path, stamp in _stamps(files).items():
            if sent.get(path) != stamp and self.remote.put(path, f"{there}/{path.relative_to(here)}"):
                sent[path] = stamp


def _patiently(act: Callable[[], Result]) -> Result:
    """What `act` returns, tried again with growing pauses while the store is away, for PATIENCE_SECONDS at most."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, PUSH_EVERY_SECONDS
    while True:
        try:
            return act()
        except StoreAway:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause *= 2


def _is_whole_branch(directory: Path, fingerprint: str) -> bool:
    """Whether a settled branch of that fingerprint lies there, with its checkpoint if it has one."""
    record = store.read_record(directory)
    if record is None or record["fingerprint"] != fingerprint:
        return False
    checkpoint = directory / "checkpoint"
    return record["status"] != "done" or (checkpoint.exists() and checkpoint_is_whole(checkpoint))


def _files(here: Path) -> list[Path]:
    """What is written whole, in the order to send it: lines of metrics before states, records last."""

    def is_whole(path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(here).parts)
        return not hidden and path.suffix != ".tmp" and path.is_file()

    def place(path: Path) -> tuple[bool, bool, Path]:
        return path.name in ("record.json", "manifest.json"), path.suffix == ".pt", path

    return sorted(filter(is_whole, here.rglob("*")), key=place)


def _current_parts(job: CellJob) -> list[Path]:
    """Where the settled branches lie, and the trunk, if it is of the job's recipe."""
    pending, batch_tokens = job.pending_steps(), job.recipe.training.batch_tokens
    settled = [steps for steps in job.cell.steps if steps not in pending]
    parts = [store.branch_dir(job.runs, job.cell, steps * batch_tokens) for steps in settled]
    trunk = [job.directory / store.TRUNK] if store.trunk_is_current(job.runs, job.cell, job.recipe) else []
    return parts + trunk


def _stamps(files: list[Path]) -> Stamps:
    """Size and time of change of the files that are still there."""
    stamps = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            stamps[path] = (stat.st_size, stat.st_mtime_ns)
    return stamps
