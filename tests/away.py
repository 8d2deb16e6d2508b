"""A filesystem that fails as a cloud's does while its service is away: away://FOLDER, while FOLDER.away exists."""

import os
from pathlib import Path
from typing import Any

from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem

from experiments.executors import stores
from experiments.executors.worker import train_in_worker
from sweeps.train_job import CellJob


class ServiceError(Exception):
    """As botocore's: no OSError."""


class AwayFileSystem(LocalFileSystem):
    """Files of this machine; raises ServiceError while a file `X.away` lies beside a folder X above them."""

    protocol = "away"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(os.fspath(path).removeprefix("away://"))

    def _ask(self, path: str) -> None:
        if any(Path(f"{folder}.away").exists() for folder in Path(self._strip_protocol(path)).parents):
            raise ServiceError("503 slow down")

    def ls(self, path: str, detail: bool = False, **kwargs: Any) -> Any:
        self._ask(path)
        return super().ls(path, detail, **kwargs)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._ask(path)
        super().makedirs(path, exist_ok)

    def put_file(self, path1: str, path2: str, *args: Any, **kwargs: Any) -> None:
        self._ask(path2)
        super().put_file(path1, path2, *args, **kwargs)

    def get_file(self, path1: str, path2: str, *args: Any, **kwargs: Any) -> None:
        self._ask(path1)
        super().get_file(path1, path2, *args, **kwargs)

    def rm_file(self, path: str) -> None:
        self._ask(path)
        super().rm_file(path)


register_implementation("away", AwayFileSystem, clobber=True)


def train_impatiently(job: CellJob, store_url: str) -> None:
    """A worker that gives an away store no time."""
    stores.PUSH_EVERY_SECONDS, stores.PATIENCE_SECONDS = 0.05, 0.1
    train_in_worker(job, store_url=store_url)
