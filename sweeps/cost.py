"""What a grid costs before anything runs: FLOPs and bytes in closed form, seconds from a short probe a size."""

import contextlib
import json
import tempfile
import time
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.ladder import Shape
from sweeps import store
from sweeps.grid import Cell
from sweeps.schedule import fork
from sweeps.train_job import CellJob

if TYPE_CHECKING:
    from sweeps.tokens import WindowBatches

# AdamW keeps two moments beside each fp32 weight; a trunk state has all three, a checkpoint the weights.
BYTES_PER_STATE_PARAM, BYTES_PER_CHECKPOINT_PARAM = 12, 4
PROBE_STEPS = 60


@dataclass(frozen=True)
class Probe:
    """Seconds measured at one size: `first_step` of a fresh model includes compiling.

    `cold` marks the first of two probes: only it can have met a cold compile cache, and only if there was one.
    """

    build: float
    first_step: float
    step: float
    branch_end: float
    cold: bool


def branch_flops(cell: Cell, recipe: store.Recipe, steps: int) -> int:
    """Training FLOPs of a run of that many steps on its own, attention and head included."""
    per_token = cell.shape.flops_per_token(recipe.vocab_size, recipe.training.sequence_length)
    return steps * recipe.training.batch_tokens * per_token


def branch_bytes(cell: Cell, recipe: store.Recipe) -> int:
    """Bytes a branch leaves on disk: its checkpoint and the trunk state at its fork."""
    params = cell.shape.params_total(recipe.vocab_size)
    return params * (BYTES_PER_STATE_PARAM + BYTES_PER_CHECKPOINT_PARAM)


def steps_to_train(job: CellJob) -> dict[int, int]:
    """Optimiser steps that each pending branch adds: its piece of the trunk and its cooldown.

    The trunk is counted from the last state on disk from which the first pending branch can still leave.
    """
    training = job.recipe.training
    forks = {steps: fork(steps, training.cooldown_share, training.warmup_steps).start for steps in job.cell.steps}
    pending = job.pending_steps()
    saved = store.trunk_steps(job.runs, job.cell, job.recipe)
    reached = max((step for step in saved if step <= forks[pending[0]]), default=0)
    added = {}
    for steps in pending:
        added[steps] = forks[steps] - reached + steps - forks[steps]
        reached = forks[steps]
    return added


def job_seconds(job: CellJob, probe: Probe) -> float:
    """Predicted seconds of a cell in a worker that is up, with a warm compile cache."""
    added = steps_to_train(job)
    return probe.build + probe.first_step + probe.step * sum(added.values()) + probe.branch_end * len(added)


def measure(job: CellJob) -> tuple[Probe, Probe]:
    """Trains a few steps of the job's size, twice over: the second finds the compile cache warm.

    Runs in a worker, writes a branch into a temporary store and throws it away. A model that these steps make diverge
    is timed like any other, but for its checkpoint.
    """
    import torch

    torch._dynamo.reset()
    first = _measure_once(job, cold=True)
    torch._dynamo.reset()
    return first, _measure_once(job, cold=False)


def _measure_once(job: CellJob, cold: bool) -> Probe:
    with tempfile.TemporaryDirectory(prefix="scalelab-probe-") as scratch:
        return _measure_in(replace(job, runs=Path(scratch)), cold)


def _measure_in(job: CellJob, cold: bool) -> Probe:
    from sweeps.train import CellRun, Diverged, Loop

    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    run = CellRun(job)
    loop = Loop(job.cell, job.recipe, run.data)
    build = lap()
    loop.advance(None)
    first_step = lap()
    seconds = []
    for _ in range(_probe_steps(loop.batches)):
        loop.advance(None)[0].item()
        seconds.append(lap())
    with contextlib.suppress(Diverged):
        run.finish_branch(loop, loop.step)
    branch_end = lap()
    return Probe(build, first_step, sum(seconds) / len(seconds), branch_end, cold)


def _probe_steps(batches: "WindowBatches") -> int:
    """Steps to time after the first: as many as the corpus holds, at most PROBE_STEPS."""
    if batches.cycles:
        return PROBE_STEPS
    return min(PROBE_STEPS, batches.num_windows // batches.windows_per_batch - 1)


# (cold, warm) by shape.
Probes = dict[Shape, tuple[Probe, Probe]]


def read_probes(path: Path, identity: str) -> Probes:
    """Probes kept from an earlier plan of the same identity."""
    try:
        kept = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    if not isinstance(kept, dict) or kept.get("identity") != identity:
        return {}
    return {Shape(*shape): (Probe(**cold), Probe(**warm)) for shape, cold, warm in kept["probes"]}


def write_probes(path: Path, identity: str, probes: Probes) -> None:
    """Keeps probes for the next plan."""
    kept = [[astuple(shape), asdict(cold), asdict(warm)] for shape, (cold, warm) in probes.items()]
    store.write_json(path, {"identity": identity, "probes": kept})
