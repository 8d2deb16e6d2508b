"""Kills what trains a cell in the middle of it, as a machine that goes down does."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from experiments.executors.worker import train_in_worker
from sweeps.train_job import CellJob


class Killer(threading.Thread):
    """Kills processes that have a file of `cell` open, `times` of them; `killed` lists whom."""

    def __init__(self, cell: Path, times: int = 1) -> None:
        super().__init__(daemon=True)
        self.cell, self.times = str(cell.resolve()), times
        self.killed: list[int] = []
        self.over = threading.Event()

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        while not self.over.is_set() and len(self.killed) < self.times:
            for process in psutil.process_iter():
                if process.pid != os.getpid() and process.pid not in self.killed and self._is_at_it(process):
                    os.kill(process.pid, signal.SIGKILL)
                    self.killed.append(process.pid)
                    break
            time.sleep(0.02)

    def _is_at_it(self, process: psutil.Process) -> bool:
        """Whether it writes the cell's metrics: others only read them."""
        try:
            return any(file.path.startswith(self.cell) and "a" in file.mode for file in process.open_files())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def worker_of_a_store() -> psutil.Process:
    """The descendant of this process that has a file open in the folder that it has for a cell of a store."""
    while True:
        for process in filter(_is_in_a_copy, psutil.Process().children(recursive=True)):
            return process
        time.sleep(0.02)


def _is_in_a_copy(process: psutil.Process) -> bool:
    try:
        return any("scalelab-cell-" in file.path for file in process.open_files())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def saving_often(job: CellJob, store_url: str | None = None, num_devices: int = 1) -> None:
    """A worker that saves its trunk at every line of metrics and sends it at once."""
    from experiments.executors import stores
    from sweeps import train

    train.SAVE_EVERY_SECONDS = 0.0
    stores.PUSH_EVERY_SECONDS = 0.05
    train_in_worker(job, num_devices, store_url)


def steps_trained(record: dict[str, Any], batch_tokens: int) -> int:
    """Optimiser steps that the worker took which wrote the record, for this branch."""
    return round(record["seconds"] * record["tokens_per_second"] / batch_tokens)
