"""`scalelab bench executors`: what a cell costs that does nothing, on our executors and what they rest on, in turns."""

import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evals.inference.protocol import median_interval
from experiments.executors import Executor
from experiments.executors.local import LocalExecutor
from experiments.executors.ray import RayExecutor
from experiments.launch import run_cells
from experiments.measurements import processor
from experiments.pools import worker_pool
from experiments.progress import sweep_progress
from experiments.project import git_revision
from experiments.sweep import relative_cost
from sweeps import store
from sweeps.grid import Cell, Training
from sweeps.train_job import CellJob

MOST_SECONDS_A_CELL = 0.020
WIDTHS = (32, 48, 64, 80, 96)
STEPS = (1000, 2000, 4000)


@dataclass(frozen=True)
class ExecutorsBench:
    """`rounds` turns of `cells` cells on `workers` processes and on Ray with as many cores."""

    cells: int = 1000
    rounds: int = 5
    workers: int = 2


def describe(bench: ExecutorsBench) -> str:
    """One paragraph: what would run."""
    return (
        f"{bench.rounds} rounds of {bench.cells:,} cells that do nothing: by `local` on {bench.workers} processes "
        "beside a bare ProcessPoolExecutor, by `ray` beside bare Ray tasks; ours with the sweep's order, retries and "
        "progress, each from its start to its end"
    )


def nothing(job: CellJob) -> None:
    """The work of a cell here."""


def cells_in(place: Path, num_cells: int) -> list[CellJob]:
    """Of the law's shape: five widths, as many seeds as it takes, three branches."""
    recipe = store.Recipe(Training(), 260, "data" * 16, "validation" * 6, "cpu", "code")
    cells = [Cell("law", "decoder", WIDTHS[n % len(WIDTHS)], n // len(WIDTHS), STEPS) for n in range(num_cells)]
    return [CellJob(cell, recipe, place / "data", place / "runs", "") for cell in cells]


def run(bench: ExecutorsBench, progress: Console) -> dict[str, Any]:
    """The table of `--json`."""
    progress.print(describe(bench))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        jobs = cells_in(place, bench.cells)
        cache = place / "cache"
        sides: dict[str, Callable[[], None]] = {
            "local": lambda: _ours(LocalExecutor(bench.workers, cache, nothing), jobs),
            "processes": lambda: _pool(worker_pool(bench.workers, cache), jobs),
            "ray": lambda: _ours(RayExecutor(None, nothing, 1, 0, cache, ships_code=False), jobs),
            "ray tasks": lambda: _ray_tasks(jobs),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for index in range(bench.rounds):
            for name in list(sides)[:: -1 if index % 2 else 1]:
                began = time.perf_counter()
                sides[name]()
                seconds[name].append(time.perf_counter() - began)
            progress.print(
                f"round {index + 1}: " + ", ".join(f"{name} {own[-1]:.1f} s" for name, own in seconds.items())
            )
    executors = [
        executor_row("local", "processes", seconds, bench.cells),
        executor_row("ray", "ray tasks", seconds, bench.cells),
    ]
    return {
        "schema_version": 1,
        "cells": bench.cells,
        "executors": executors,
        "status": "ok" if all(row["status"] == "ok" for row in executors) else "missed",
        "machine": {"processor": processor(), "python": platform.python_version()},
        "revision": git_revision(),
    }


def executor_row(name: str, bare: str, seconds: dict[str, list[float]], num_cells: int) -> dict[str, Any]:
    """Seconds a cell of an executor and of what it rests on, and their ratio round by round."""
    ours, theirs = (np.array(seconds[side]) / num_cells for side in (name, bare))
    own, interval = median_interval(ours)
    ratio, ratio_interval = median_interval(ours / theirs)
    return {
        "executor": name,
        "bare": bare,
        "seconds": seconds[name],
        "bare_seconds": seconds[bare],
        "seconds_a_cell": own,
        "ci95": interval,
        "bare_seconds_a_cell": float(np.median(theirs)),
        "ratio": ratio,
        "ratio_ci95": ratio_interval,
        "most_seconds_a_cell": MOST_SECONDS_A_CELL,
        "status": "ok" if own <= MOST_SECONDS_A_CELL else "missed",
    }


def _ours(executor: Executor, jobs: list[CellJob]) -> None:
    with executor, sweep_progress(jobs) as progress:
        assert run_cells(jobs, executor, relative_cost, progress.tick) == []


def _pool(pool: AbstractContextManager[ProcessPoolExecutor], jobs: list[CellJob]) -> None:
    with pool as processes:
        list(processes.map(nothing, jobs))


def _ray_tasks(jobs: list[CellJob]) -> None:
    import ray

    ray.init(log_to_driver=False, logging_level="ERROR")  # pyright: ignore[reportArgumentType]
    try:
        task = ray.remote(nothing)
        ray.get([task.remote(job) for job in jobs])
    finally:
        ray.shutdown()


def show(result: dict[str, Any], console: Console) -> None:
    """A row an executor."""
    table = Table("executor", "ms a cell", "95%", "at most", "on its own", "ms a cell", "ratio", "")
    for row in result["executors"]:
        low, high = row["ci95"]
        table.add_row(
            row["executor"], f"{row['seconds_a_cell'] * 1e3:.1f}", f"{low * 1e3:.1f} to {high * 1e3:.1f}",
            f"{row['most_seconds_a_cell'] * 1e3:.0f}", row["bare"], f"{row['bare_seconds_a_cell'] * 1e3:.1f}",
            f"{row['ratio']:.2f} [{row['ratio_ci95'][0]:.2f}, {row['ratio_ci95'][1]:.2f}]", row["status"],
        )  # fmt: skip
    console.print(table)
