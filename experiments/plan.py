"""`scalelab plan`: every branch with its price and its state, and the wall seconds of the train stage."""

import hashlib
import json
import os
import platform
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from analysis.wording import si
from experiments.executors.params import ExecutorParams
from experiments.launch import next_job
from experiments.pools import worker_pool
from experiments.project import CACHE, COMPILE_CACHE, Project
from experiments.sweep import check_device, check_rows, has_device, relative_cost
from models.ladder import Shape
from sweeps import cost, store
from sweeps.train_job import CellJob

PROBES = CACHE / "probes.json"


@dataclass(frozen=True)
class Plan:
    """The content of `plan --json`."""

    cells: list[dict[str, Any]]
    totals: dict[str, Any]


def make_plan(project: Project, suite: str, console: Console) -> Plan:
    """Prices the suite's grid; probes each pending size once a machine, set of params and code.

    Seconds are None where no size can be probed; wall seconds and workers also where a cluster has the cells.
    """
    jobs, executor = project.jobs(suite), project.params.executor
    check_rows(jobs, executor)
    pending = [job for job in jobs if job.pending_steps()]
    why_not = untimed(executor) if pending else None
    probes = probe_sizes(project, suite, pending, console) if pending and not why_not else {}
    rows = []
    for job in jobs:
        added = cost.steps_to_train(job) if job.pending_steps() else {}
        for steps in job.cell.steps:
            probe = probes[job.cell.shape][1] if probes and steps in added else None
            rows.append(branch_row(job, steps, added.get(steps, 0), probe))
    workers = executor.workers if executor.kind == "local" else None
    wall, wall_cold = (
        wall_seconds(pending, probes, workers, cold=cold) if workers and not why_not else None for cold in (False, True)
    )
    states = [row["state"] for row in rows]
    totals = {
        "cells": len(jobs),
        "branches": len(rows),
        **{state: states.count(state) for state in ("done", "diverged", "stale", "failed", "pending")},
        "flops": sum(row["flops_to_train"] for row in rows),
        "bytes": sum(row["bytes"] for row in rows),
        "workers": workers,
        "core_seconds": core_seconds(pending, probes, workers or len(pending)) if not why_not else None,
        "wall_seconds": wall,
        "wall_seconds_cold_cache": wall_cold,
        "seconds_unknown": why_not,
    }
    return Plan(rows, totals)


def branch_row(job: CellJob, steps: int, steps_added: int, probe: cost.Probe | None) -> dict[str, Any]:
    """One branch of the plan; seconds are what it adds to the branches before it, 0 where it is settled.

    They are None where it is not and there is no probe.
    """
    cell, recipe = job.cell, job.recipe
    tokens = steps * recipe.training.batch_tokens
    first = steps_added and steps == job.pending_steps()[0]
    seconds = None if steps_added else 0.0
    if probe:
        seconds = probe.step * steps_added + probe.branch_end
        if first:
            seconds += probe.build + probe.first_step
    return {
        "cell": cell.name,
        "branch": store.branch_name(tokens),
        "size": cell.width,
        "seed": cell.seed,
        "params": cell.shape.params_non_embedding,
        "tokens": tokens,
        "flops": cost.branch_flops(cell, recipe, steps),
        "flops_to_train": cost.branch_flops(cell, recipe, steps_added),
        "predicted_seconds": seconds,
        "bytes": cost.branch_bytes(cell, recipe),
        "state": job.state(steps),
    }


def untimed(executor: ExecutorParams) -> str | None:
    """Why no step of the sweep can be timed here, or None; raises ValueError where it can't run here and is to."""
    if executor.kind == "local":
        check_device(executor.device)
    if executor.devices_per_cell > 1:
        return f"a step is timed on one device, and a cell has {executor.devices_per_cell}"
    if not has_device(executor.device):
        return "this machine has no GPU to time a step on"
    return None


def probe_sizes(project: Project, suite: str, pending: list[CellJob], console: Console) -> cost.Probes:
    """(cold, warm) probes of every pending size, measured side by side as the sweep will run here."""
    executor = project.params.executor
    workers = executor.workers
    if executor.kind != "local":  # A step is timed on a device of its own.
        workers = 1 if executor.device == "cuda" else min(workers, os.cpu_count() or 1)
    what = [platform.node(), platform.processor(), workers, asdict(pending[0].recipe)]
    identity = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    probes = cost.read_probes(PROBES, identity)
    missing = {job.cell.shape: job for job in pending if job.cell.shape not in probes}
    if missing:
        console.print(f"probing {len(missing)} sizes of {suite}, once on this machine")
        with worker_pool(workers, COMPILE_CACHE) as pool:
            largest_first = [
                missing[shape] for shape in sorted(missing, key=lambda shape: shape.params_non_embedding, reverse=True)
            ]
            for job, measured in zip(largest_first, pool.map(cost.measure, largest_first), strict=True):
                probes[job.cell.shape] = measured
        cost.write_probes(PROBES, identity, probes)
    return probes


def core_seconds(pending: list[CellJob], probes: cost.Probes, workers: int) -> float:
    """Seconds of all workers together where the compile cache is warm and each loads every shape."""
    jobs = Counter(job.cell.shape for job in pending)
    saved = sum(max(0, count - workers) * probes[shape][1].first_step for shape, count in jobs.items())
    return sum(cost.job_seconds(job, probes[job.cell.shape][1]) for job in pending) - saved


def wall_seconds(pending: list[CellJob], probes: cost.Probes, workers: int, cold: bool) -> float:
    """Wall seconds of the sweep, dealt to workers as the executor deals them."""
    if not pending:
        return 0.0
    waiting = sorted(pending, key=relative_cost, reverse=True)
    begun: set[Shape] = set()
    running: dict[int, tuple[float, CellJob]] = {}
    loaded: set[tuple[int, Shape]] = set()  # A worker loads the compiled step of a shape once.
    now = end = 0.0
    while waiting:
        while len(running) == workers:
            free = min(running, key=lambda worker: running[worker][0])
            now = running.pop(free)[0]
        job = next_job(waiting, {busy.cell.shape for _, busy in running.values()}, begun)
        waiting.remove(job)
        before, warm = probes[job.cell.shape]
        seconds = cost.job_seconds(job, warm)
        if cold and job.cell.shape not in begun:
            seconds += max(0.0, before.first_step - warm.first_step)
        begun.add(job.cell.shape)
        worker = next(w for w in range(workers) if w not in running)
        if (worker, job.cell.shape) in loaded:
            seconds -= warm.first_step
        loaded.add((worker, job.cell.shape))
        running[worker] = (now + seconds, job)
        end = max(end, now + seconds)
    return end


def show(plan: Plan, console: Console) -> None:
    """The plan as a table: a row a cell, then the totals."""
    table = Table("cell", "parameters", "tokens", "FLOPs", "seconds", "state")
    by_cell: dict[str, list[dict[str, Any]]] = {}
    for row in plan.cells:
        by_cell.setdefault(row["cell"], []).append(row)
    for name, rows in by_cell.items():
        states, seconds = [row["state"] for row in rows], [row["predicted_seconds"] for row in rows]
        table.add_row(
            name,
            f"{rows[0]['params']:,}",
            ", ".join(si(row["tokens"]) for row in rows),
            si(sum(row["flops_to_train"] for row in rows)),
            "unknown" if None in seconds else f"{sum(seconds):.0f}",
            ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        )
    console.print(table)
    totals = plan.totals
    console.print(
        f"{totals['branches']} points in {totals['cells']} cells; to train: {si(totals['flops'])} FLOPs, "
        f"{seconds_text(totals)}; {totals['bytes'] / 1e6:.0f} MB on disk"
    )


def seconds_text(totals: dict[str, Any]) -> str:
    """What of the seconds can be told here."""
    if totals["seconds_unknown"]:
        return f"seconds unknown: {totals['seconds_unknown']}"
    seconds = f"{totals['core_seconds']:.0f} core-seconds"
    if totals["wall_seconds"] is None:
        return f"{seconds} of cores like this machine's (how many cells run at a time is the cluster's to say)"
    return (
        f"{seconds}, {totals['wall_seconds']:.0f} s on {totals['workers']} workers "
        f"({totals['wall_seconds_cold_cache']:.0f} s with a cold compile cache)"
    )
