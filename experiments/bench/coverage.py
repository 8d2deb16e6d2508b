"""`scalelab bench coverage`: how often the engine's 95% intervals hold the truth, on sweeps whose truth is known."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from experiments.pools import worker_pool
from experiments.project import COMPILE_CACHE, git_revision

if TYPE_CHECKING:
    from experiments.bench.designs import Design, TrueNoise
    from experiments.bench.simulate import Outcome

BATCH = 50  # sweeps of a task
TARGET = (0.92, 0.98)


@dataclass(frozen=True)
class CoverageBench:
    """What is simulated; about twenty CPU-minutes. `levels` are standard deviations of ln(loss): cell, branch.

    Independent runs have the first of the two. At every level the noise is once the same throughout and once falls with
    compute. Seed 0 served to choose the engine's priors of the noise, so the table is of another.
    """

    sweeps: int = 1000
    draws: int = 200
    levels: tuple[tuple[float, float], ...] = ((0.004, 0.002), (0.01, 0.005))
    workers: int = 2
    seed: int = 1


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    design: "Design"
    noise: "TrueNoise"


def describe(bench: CoverageBench) -> str:
    """One paragraph: what would run."""
    return (
        f"{bench.sweeps:,} simulated sweeps with {bench.draws} draws each in every setting: 240 independent runs, the "
        f"laptop grid with its trunks and a rectangle of 6 sizes by 5 token counts; {len(bench.levels)} noise levels, "
        "the same throughout and falling with compute; 95% intervals of alpha, beta, E and a, and of one further run "
        f"at ten times the compute, on {bench.workers} processes"
    )


def settings(bench: CoverageBench) -> list[Setting]:
    """Every design at every noise."""
    from experiments.bench.designs import TrueNoise, designs

    return [
        Setting(design, TrueNoise(cell, 0.0 if design.independent else branch, falling))
        for design in designs()
        for cell, branch in bench.levels
        for falling in (False, True)
    ]


def run(bench: CoverageBench, progress: Console) -> dict[str, Any]:
    """The table of `--json`; the same bench gives the same counts."""
    progress.print(describe(bench))
    began, rows, cpu_seconds = time.perf_counter(), [], 0.0
    chosen = settings(bench)
    with worker_pool(bench.workers, COMPILE_CACHE) as pool:
        tasks = [
            [pool.submit(simulate_batch, bench, index, first) for first in range(0, bench.sweeps, BATCH)]
            for index in range(len(chosen))
        ]
        for setting, batches in zip(chosen, tasks, strict=True):
            done = [task.result() for task in batches]
            cpu_seconds += sum(seconds for _, seconds in done)
            rows.append(row_of(setting, [outcome for outcomes, _ in done for outcome in outcomes]))
            progress.print(f"{setting.design.name}: {time.perf_counter() - began:.0f} s")
    return {
        "schema_version": 1,
        "sweeps": bench.sweeps,
        "draws": bench.draws,
        "seed": bench.seed,
        "target": list(TARGET),
        "settings": rows,
        "status": "ok" if not missed(rows) else "missed",
        "cpu_seconds": cpu_seconds,
        "revision": git_revision(),
    }


def simulate_batch(bench: CoverageBench, index: int, first: int) -> "tuple[list[Outcome], float]":
    """Up to BATCH sweeps of one setting, and the CPU-seconds they took."""
    from experiments.bench.simulate import simulate

    began, setting = time.process_time(), settings(bench)[index]
    sweeps = min(BATCH, bench.sweeps - first)
    outcomes = simulate(setting.design, setting.noise, sweeps, bench.draws, [bench.seed, index, first])
    return outcomes, time.process_time() - began


def row_of(setting: Setting, outcomes: "list[Outcome]") -> dict[str, Any]:
    """Counts of one setting by target: all sweeps, and those in which the engine did not call it unidentified."""
    import numpy as np

    from experiments.bench.simulate import TARGETS

    points, targets = setting.design.points, {}
    for k, name in enumerate(TARGETS):
        inside = np.array([outcome.inside[k] for outcome in outcomes])
        warned = np.array([outcome.warned[k] for outcome in outcomes])
        rest = int((~warned).sum())
        targets[name] = {
            "inside": int(inside.sum()),
            "coverage": float(inside.mean()),
            "warned": int(warned.sum()),
            "inside_not_warned": int((inside & ~warned).sum()),
            "coverage_not_warned": float((inside & ~warned).sum() / rest) if rest else None,
            "median_width": float(np.median([outcome.width[k] for outcome in outcomes])),
        }
    return {
        "design": setting.design.name,
        "num_runs": len(points),
        "num_cells": points["cell"].nunique(),
        "truth": setting.design.truth.params,
        "noise": {"cell": setting.noise.cell, "branch": setting.noise.branch, "falling": setting.noise.falling},
        "sweeps": len(outcomes),
        "targets": targets,
    }


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """What is outside TARGET over all sweeps of a setting."""
    return [
        f"{row['design']}, noise {noise_words(row['noise'])}: {name} {found['coverage']:.1%}"
        for row in rows
        for name, found in row["targets"].items()
        if not TARGET[0] <= found["coverage"] <= TARGET[1]
    ]


def noise_words(noise: dict[str, Any]) -> str:
    """The noise of a setting in a few words."""
    return f"{noise['cell']:g}" + f" + {noise['branch']:g}" * bool(noise["branch"]) + ", falling" * noise["falling"]


def show(result: dict[str, Any], console: Console) -> None:
    """Coverage over all sweeps; in brackets without those where the engine called the parameter unidentified."""
    names = list(result["settings"][0]["targets"])
    table = Table("design", "noise", *names, title=f"coverage of 95% intervals, {result['sweeps']:,} sweeps each")
    for row in result["settings"]:
        cells = []
        for found in row["targets"].values():
            rest = found["coverage_not_warned"]
            among = "-" if rest is None else f"{rest:.1%}"
            share = found["warned"] / row["sweeps"]
            cells.append(f"{found['coverage']:.1%}" + f" ({among} without {share:.0%})" * bool(found["warned"]))
        table.add_row(row["design"], noise_words(row["noise"]), *cells)
    console.print(table)
    outside = missed(result["settings"])
    low, high = TARGET
    console.print(f"{len(outside)} of {len(names) * len(result['settings'])} outside {low:.0%} to {high:.0%}")
    for line in outside:
        console.print(f"  {line}")
