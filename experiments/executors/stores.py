"""Cells by way of a store at an fsspec URL (s3://, gs://, file://, ...), for workers that share no folder with us.

This machine takes back what an earlier run left there of a cell, then puts there what it has of it, and the data once.
A worker takes both, trains in a folder of its own, and puts back whole branches and trunk states as they come, so that
another worker goes on where a dead one was. A record is written last there too. A cell's place there bears its trunk's
fingerprint: states of two recipes never lie in one folder.
"""

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sweeps import store
from sweeps.train_job import CellJob
from sweeps.whole import state_is_whole

PUSH_EVERY_SECONDS = 2.0
LAST_TRIES = 3

Stamps = dict[Path, tuple[int, int]]


class SharedStore:
    """The store at `url`; raises ValueError for a URL that no installed filesystem serves."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = url
        try:
            self.files, self.root = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"executor.store is {url!r}: {error}: give a URL of file://, or of a filesystem that is installed "
                "(s3:// needs s3fs, gs:// gcsfs)"
            ) from None

    def recover(self, jobs: Iterable[CellJob]) -> None:
        """Takes back what an earlier run left there; raises ValueError where the store does not answer."""
        with self._answering():
            for job in jobs:
                self.take_back(job)

    def offer(self, jobs: Iterable[CellJob]) -> None:
        """Puts the cells there as they are here under their recipe, in the place of what was there, and their data.

        Raises ValueError where the store does not take them.
        """
        with self._answering():
            for job in jobs:
                if not self.files.exists(f"{self._data(job)}/manifest.json"):
                    self._put(_files(job.data), job.data, self._data(job), {})
                if self.files.exists(self._cells(job)):
                    self.files.rm(self._cells(job), recursive=True)
                self._put(_current_files(job), job.directory, self._cell(job), {})

    def take_back(self, job: CellJob) -> None:
        """Brings here what is there under the job's recipe: branches that are not settled here, a trunk as long or
        longer; each whole.
        """
        for steps in job.pending_steps():
            branch = store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens)
            with self._fetched(job, branch.name) as part:
                record = store.read_record(part)
                if record is not None and record["fingerprint"] == store.fingerprint(job.cell, job.recipe, steps):
                    store.put_in_place(part, branch)
        here = store.trunk_steps(job.runs, job.cell, job.recipe)
        with self._fetched(job, store.TRUNK) as part:
            there = [int(path.stem) for path in part.glob("*.pt") if state_is_whole(path)]
            if (part / "fingerprint").exists() and max(there, default=0) >= max(here, default=0):
                store.put_in_place(part, job.directory / store.TRUNK)

    def bring_back(self, job: CellJob) -> None:
        """Takes back a cell that ended; raises OSError where a branch of it is not there."""
        self.take_back(job)
        missing = [store.branch_name(steps * job.recipe.training.batch_tokens) for steps in job.pending_steps()]
        if missing:
            raise OSError(f"{self.url} has no whole {', '.join(missing)} of {job.cell.name}")

    @contextlib.contextmanager
    def checked_out(self, job: CellJob) -> Iterator[CellJob]:
        """The job in a folder of this machine, whose files go to the store while the block runs and when it ends."""
        with contextlib.ExitStack() as ending:
            folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="scalelab-cell-"))
            here = replace(job, data=self._data_here(job), runs=Path(folder))
            self.take_back(here)
            over, sent = threading.Event(), _stamps(_files(here.directory))

            def push() -> None:
                while not over.wait(PUSH_EVERY_SECONDS):
                    with contextlib.suppress(OSError):  # the next round tries again
                        self._send(here, sent)

            ending.callback(self._send_last, here, sent)
            threads = ending.enter_context(ThreadPoolExecutor(1))
            ending.callback(over.set)
            threads.submit(push)
            yield here

    def _send_last(self, here: CellJob, sent: Stamps) -> None:
        """What would be lost with the folder is worth some tries."""
        for _ in range(LAST_TRIES - 1):
            try:
                return self._send(here, sent)
            except OSError:
                time.sleep(PUSH_EVERY_SECONDS)
        self._send(here, sent)

    def _send(self, here: CellJob, sent: Stamps) -> None:
        """Puts there what is new here, then removes what was sent and is no longer here."""
        files = _files(here.directory)
        self._put(files, here.directory, self._cell(here), sent)
        for path in sent.keys() - set(files):
            if not path.exists():
                with contextlib.suppress(FileNotFoundError):
                    self.files.rm_file(f"{self._cell(here)}/{path.relative_to(here.directory)}")
                del sent[path]

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValueError(
                f"executor.store is {self.url!r} and cells do not travel: {error}: see that it is there and may be "
                "written"
            ) from None

    def _data(self, job: CellJob) -> str:
        return f"{self.root}/data/{job.recipe.data_digest[:16]}-{job.recipe.validation_digest[:16]}"

    def _cells(self, job: CellJob) -> str:
        return f"{self.root}/{job.cell.suite}/{job.cell.name}"

    def _cell(self, job: CellJob) -> str:
        return f"{self._cells(job)}/{store.fingerprint(job.cell, job.recipe, None)}"

    def _data_here(self, job: CellJob) -> Path:
        """The job's data on this machine, taken once for all its cells."""
        place = Path(tempfile.gettempdir()) / f"scalelab-data-{Path(self._data(job)).name}"
        if not place.exists():
            with tempfile.TemporaryDirectory(prefix="scalelab-data-") as folder:
                whole = Path(folder) / "data"
                self._get(self._data(job), whole)
                with contextlib.suppress(OSError):  # another worker of this machine was first
                    whole.rename(place)
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
        self.files.invalidate_cache()  # other machines write there
        for path in self.files.find(there) if self.files.exists(there) else ():
            to = here / path.removeprefix(f"{there}/")
            to.parent.mkdir(parents=True, exist_ok=True)
            self.files.get_file(path, str(to))

    def _put(self, files: list[Path], here: Path, there: str, sent: Stamps) -> None:
        """Sends what `sent` does not list or lists otherwise, in order."""
        for path, stamp in _stamps(files).items():
            if sent.get(path) == stamp:
                continue
            to = f"{there}/{path.relative_to(here)}"
            self.files.makedirs(to.rpartition("/")[0], exist_ok=True)
            try:
                self.files.put_file(str(path), to)
            except FileNotFoundError:
                if path.exists():
                    raise
                continue  # renamed or dropped by the worker in the meantime
            sent[path] = stamp


def _files(here: Path) -> list[Path]:
    """What is written whole, in the order to send it: lines of metrics before states, records last."""

    def is_whole(path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(here).parts)
        return not hidden and path.suffix != ".tmp" and path.is_file()

    def place(path: Path) -> tuple[bool, bool, Path]:
        return path.name in ("record.json", "manifest.json"), path.suffix == ".pt", path

    return sorted(filter(is_whole, here.rglob("*")), key=place)


def _current_files(job: CellJob) -> list[Path]:
    """Those of settled branches and of the trunk, if it is of the job's recipe."""
    pending = job.pending_steps()
    kept = {store.branch_name(s * job.recipe.training.batch_tokens) for s in job.cell.steps if s not in pending}
    if store.trunk_is_current(job.runs, job.cell, job.recipe):
        kept.add(store.TRUNK)
    return [path for path in _files(job.directory) if path.relative_to(job.directory).parts[0] in kept]


def _stamps(files: list[Path]) -> Stamps:
    """Size and time of change of the files that are still there."""
    stamps = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            stamps[path] = (stat.st_size, stat.st_mtime_ns)
    return stamps
