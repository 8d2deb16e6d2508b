"""Cells by way of a store at an fsspec URL (s3://, gs://, file://, ...), for workers that share no folder with us.

This machine puts what it has of a cell there before the cell begins, and its data once. A worker takes both, trains in
a folder of its own, and puts back whole branches and trunk states as they come, so that another worker goes on where a
dead one was. A record is written last there too.
"""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sweeps import store
from sweeps.train_job import CellJob

PUSH_EVERY_SECONDS = 2.0


class SharedStore:
    """The store at `url`; raises ValueError for a URL that no installed filesystem serves."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        try:
            self.files, self.root = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ValueError(f"executor.store is {url!r}: {error}") from None

    def offer(self, job: CellJob) -> None:
        """Puts the cell there as it is here, in the place of what was there, and its data if they are missing."""
        if not self.files.exists(f"{self._data(job)}/manifest.json"):
            self._put(job.data, self._data(job), {}, last="manifest.json")
        if self.files.exists(self._cell(job)):
            self.files.rm(self._cell(job), recursive=True)
        self._put(job.directory, self._cell(job), {})

    def take_back(self, job: CellJob) -> None:
        """Brings here what is there of the cell, branch by branch, each whole."""
        there = self._cell(job)
        for name in sorted({path.removeprefix(f"{there}/").partition("/")[0] for path in self._found(there)}):
            self._get_part(job, name)

    @contextlib.contextmanager
    def checked_out(self, job: CellJob) -> Iterator[CellJob]:
        """The job in a folder of this machine, whose files go to the store while the block runs and when it ends."""
        with tempfile.TemporaryDirectory(prefix="scalelab-cell-") as folder:
            here = replace(job, data=self._data_here(job), runs=Path(folder))
            self.take_back(here)
            over, sent = threading.Event(), {}

            def push() -> None:
                while not over.wait(PUSH_EVERY_SECONDS):
                    self._put(here.directory, self._cell(job), sent)

            with ThreadPoolExecutor(1) as threads:
                pushing = threads.submit(push)
                try:
                    yield here
                finally:
                    over.set()
                    pushing.result()
                    self._put(here.directory, self._cell(job), sent)

    def _data(self, job: CellJob) -> str:
        return f"{self.root}/data/{job.recipe.data_digest[:16]}-{job.recipe.validation_digest[:16]}"

    def _cell(self, job: CellJob) -> str:
        return f"{self.root}/{job.cell.suite}/{job.cell.name}"

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

    def _found(self, there: str) -> list[str]:
        return self.files.find(there) if self.files.exists(there) else []

    def _get_part(self, job: CellJob, name: str) -> None:
        """A branch, the trunk or a single file of the cell."""
        there, here = f"{self._cell(job)}/{name}", job.directory / name
        if self.files.isfile(there):
            here.parent.mkdir(parents=True, exist_ok=True)
            self.files.get_file(there, str(here))
            return
        part = here.with_name(f".{name}.part")
        shutil.rmtree(part, ignore_errors=True)
        self._get(there, part)
        store.put_in_place(part, here)

    def _get(self, there: str, here: Path) -> None:
        for path in self._found(there):
            to = here / path.removeprefix(f"{there}/")
            to.parent.mkdir(parents=True, exist_ok=True)
            self.files.get_file(path, str(to))

    def _put(self, here: Path, there: str, sent: dict[Path, tuple[int, int]], last: str = "record.json") -> None:
        """Sends what `sent` does not list or lists otherwise; nothing half written, and files named `last` last."""
        for path in sorted(here.rglob("*"), key=lambda path: (path.name == last, path)):
            unfinished = any(part.startswith(".") for part in path.relative_to(here).parts) or path.suffix == ".tmp"
            try:
                stat = path.stat()
            except FileNotFoundError:  # renamed or dropped by the worker in the meantime
                continue
            stamp = (stat.st_size, stat.st_mtime_ns)
            if unfinished or not path.is_file() or sent.get(path) == stamp:
                continue
            to = f"{there}/{path.relative_to(here)}"
            self.files.makedirs(to.rpartition("/")[0], exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.files.put_file(str(path), to)
                sent[path] = stamp
