"""`scalelab bench rates`: does one learning rate serve every width?"""

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from experiments.executors.local import LocalExecutor
from experiments.executors.worker import train_in_worker
from experiments.launch import run_cells
from experiments.pools import worker_pool
from experiments.project import COMPILE_CACHE, DATA, Project, git_revision
from experiments.sweep import check_device, relative_cost, sweep_progress
from sweeps import store
from sweeps.grid import Cell
from sweeps.tokens import load_tokens
from sweeps.train_job import CellJob

SUITE = "law"
# The quadratic is fitted to this many rates around the best one.
FIT_POINTS = 5
CONCLUSIONS = {
    "ok": "best rates lie within a factor of {:.2f}",
    "edge": "a best rate at the edge may lie beyond the grid, the factor of {:.2f} shows nothing: move learning_rate",
    "diverged": "every rate of a width diverged: lower learning_rate",
}


@dataclass(frozen=True)
class RatesBench:
    """What is measured; under ten minutes on two cores. Rates are the suite's own times powers of `rate_step`."""

    widths: tuple[int, ...] = (32, 64, 128)
    seeds: tuple[int, ...] = (0, 1)
    tokens: int = 524_288
    rate_step: float = math.sqrt(2)
    rates_each_side: int = 4
    coordinate_widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    coordinate_steps: int = 10

    def rates(self, centre: float) -> list[float]:
        """Rates around the centre, ascending."""
        return [centre * self.rate_step**power for power in range(-self.rates_each_side, self.rates_each_side + 1)]


def describe(bench: RatesBench, project: Project) -> str:
    """One paragraph: what would run."""
    rates = bench.rates(project.suite(SUITE).training.learning_rate)
    runs = len(rates) * len(bench.widths) * len(bench.seeds)
    return (
        f"{runs} runs of {bench.tokens:,} tokens at the {SUITE} suite's settings: widths "
        f"{', '.join(map(str, bench.widths))}, seeds {', '.join(map(str, bench.seeds))}, rates {rates[0]:.2g} to "
        f"{rates[-1]:.2g} in steps of {bench.rate_step:.3g}; then activations over {bench.coordinate_steps} steps at "
        f"widths {', '.join(map(str, bench.coordinate_widths))}, muP and standard parametrisation"
    )


def run(bench: RatesBench, project: Project, progress: Console) -> dict[str, Any]:
    """The table of `--json`; `status` says whether the grid holds the best rate of every width.

    Raises ValueError, before anything runs, for a device that is not there and for settings that leave too few steps or
    tokens.
    """
    recipe = project.recipe(SUITE)
    check_device(recipe.device)
    check_steps(bench, recipe)
    rates = bench.rates(recipe.training.learning_rate)
    progress.print(describe(bench, project))
    losses = measure_losses(bench, rates, recipe, project.params.executor.workers)
    rows = [width_row(width, rates, {seed: losses[width, seed] for seed in bench.seeds}) for width in bench.widths]
    progress.print("coordinate check")
    return {
        "schema_version": 1,
        "rates": rates,
        "tokens": bench.tokens,
        "widths": rows,
        "status": status_of(rows),
        "within_factor": spread([row["best_rate"] for row in rows]),
        "grid_within_factor": spread([row["grid_best"] for row in rows]),
        "coordinates": measure_coordinates(bench, recipe, project.params.executor.workers),
        "revision": git_revision(),
    }


def check_steps(bench: RatesBench, recipe: store.Recipe) -> None:
    """Raises ValueError where a run is too short for its warm-up or the corpus too small for a run."""
    training = recipe.training
    steps, shortest = bench.tokens // training.batch_tokens, 2 * training.warmup_steps
    if steps < shortest:
        raise ValueError(
            f"bench rates trains {bench.tokens} tokens, {steps} steps of batch_tokens "
            f"{training.batch_tokens}: {shortest} are needed, so lower batch_tokens or warmup_steps"
        )
    batches = load_tokens(DATA).windows(training.sequence_length, training.batch_rows, 0)
    needed = max(steps, bench.coordinate_steps + 1) * training.batch_tokens
    if needed > batches.tokens_available:
        raise ValueError(
            f"bench rates trains {needed} tokens, the corpus has {batches.tokens_available}: raise corpus.max_bytes"
        )


def measure_losses(
    bench: RatesBench, rates: list[float], recipe: store.Recipe, workers: int
) -> dict[tuple[int, int], list[float | None]]:
    """Validation loss by (width, seed), one a rate; None where the run diverged."""
    steps = bench.tokens // recipe.training.batch_tokens
    with tempfile.TemporaryDirectory() as scratch:
        jobs = [
            CellJob(
                Cell(f"rate{index}", "decoder", width, seed, (steps,)),
                replace(recipe, training=replace(recipe.training, learning_rate=rate)),
                DATA.resolve(),
                Path(scratch),
                git_revision(),
            )
            for index, rate in enumerate(rates)
            for width in bench.widths
            for seed in bench.seeds
        ]
        with sweep_progress(jobs) as progress, LocalExecutor(workers, COMPILE_CACHE, train_in_worker) as executor:
            failures = run_cells(jobs, executor, relative_cost, progress.tick)
        if failures:
            raise RuntimeError(f"{failures[0].cell} failed: {failures[0].reason}")
        found: dict[tuple[int, int], list[float | None]] = {}
        for job in jobs:
            record = store.read_record(store.branch_dir(job.runs, job.cell, steps * recipe.training.batch_tokens))
            assert record is not None
            found.setdefault((job.cell.width, job.cell.seed), []).append(record["loss"])
        return found


def width_row(width: int, rates: list[float], losses: dict[int, list[float | None]]) -> dict[str, Any]:
    """The best rate of a width: of the mean over seeds, of each seed, and of the grid as it is.

    `at_edge`: it is an end of the grid, so the true one may lie beyond.
    """
    mean = [None if None in column else sum(column) / len(column) for column in zip(*losses.values(), strict=True)]
    best, of_grid = best_rate(rates, mean), grid_best(rates, mean)
    return {
        "width": width,
        "best_rate": best,
        "grid_best": of_grid,
        "at_edge": any(found is not None and is_end(rates, found) for found in (best, of_grid)),
        "best_rate_by_seed": {str(seed): best_rate(rates, of_seed) for seed, of_seed in losses.items()},
        "losses": {str(seed): of_seed for seed, of_seed in losses.items()},
        "mean_losses": mean,
    }


def is_end(rates: list[float], rate: float) -> bool:
    """Whether the rate is the first or the last of the grid, but for rounding."""
    return any(math.isclose(rate, end) for end in (rates[0], rates[-1]))


def status_of(rows: list[dict[str, Any]]) -> Literal["ok", "edge", "diverged"]:
    """ok where the grid holds the best rate of every width, diverged where a width has none, else edge."""
    if any(row["grid_best"] is None for row in rows):
        return "diverged"
    return "edge" if any(row["at_edge"] for row in rows) else "ok"


def grid_best(rates: list[float], losses: list[float | None]) -> float | None:
    """The rate of the lowest loss; None where every run diverged."""
    kept = [(loss, rate) for rate, loss in zip(rates, losses, strict=True) if loss is not None]
    return min(kept)[1] if kept else None


def best_rate(rates: list[float], losses: list[float | None]) -> float | None:
    """Where a parabola in log(rate) through the points around the best has its minimum, held within those points.

    None where every run diverged.
    """
    import numpy as np

    of_grid = grid_best(rates, losses)
    if of_grid is None:
        return None
    kept = [(math.log(rate), loss) for rate, loss in zip(rates, losses, strict=True) if loss is not None]
    centre = [x for x, _ in kept].index(math.log(of_grid))
    first = max(0, min(centre - FIT_POINTS // 2, len(kept) - FIT_POINTS))
    x, y = (np.array(axis) for axis in zip(*kept[first : first + FIT_POINTS], strict=True))
    if len(x) < 3:
        return of_grid
    curvature, slope, _ = np.polyfit(x - x.mean(), y, 2)
    if curvature <= 0:
        return of_grid
    return math.exp(float(np.clip(x.mean() - slope / (2 * curvature), x.min(), x.max())))


def spread(rates: list[float | None]) -> float | None:
    """The largest over the smallest; None where one is not known."""
    known = [rate for rate in rates if rate is not None]
    return max(known) / min(known) if len(known) == len(rates) else None


def measure_coordinates(bench: RatesBench, recipe: store.Recipe, workers: int) -> dict[str, Any]:
    """Activations by parametrisation, site and width, one a step, and their slopes over widths at the last step."""
    from experiments.bench.coordinates import PARAMETRISATIONS, activations, slopes

    widths = sorted(bench.coordinate_widths)
    with worker_pool(workers, COMPILE_CACHE) as pool:
        tasks = {
            (kind, width): pool.submit(activations, kind, width, recipe, DATA.resolve(), bench.coordinate_steps)
            for width in reversed(widths)
            for kind in PARAMETRISATIONS
        }
        found = {key: task.result() for key, task in tasks.items()}
    result: dict[str, Any] = {"widths": widths, "steps": bench.coordinate_steps}
    for kind in PARAMETRISATIONS:
        by_width = [found[kind, width] for width in widths]
        sites = {site: [[float(f"{a:.5g}") for a in one[site]] for one in by_width] for site in by_width[0]}
        result[kind] = {"activations": sites, "slopes": slopes(widths, by_width)}
    return result


def digits(value: float | None, spec: str = ".3g") -> str:
    """The number in that format; a dash where every run diverged."""
    return "-" if value is None else format(value, spec)


def show(result: dict[str, Any], console: Console) -> None:
    """The result as two tables and a line."""
    table = Table("width", "best rate", "of the grid", "by seed", "lowest loss")
    for row in result["widths"]:
        by_seed = ", ".join(digits(rate) for rate in row["best_rate_by_seed"].values())
        lowest = min((loss for loss in row["mean_losses"] if loss is not None), default=None)
        of_grid = digits(row["grid_best"]) + " (edge)" * row["at_edge"]
        table.add_row(str(row["width"]), digits(row["best_rate"]), of_grid, by_seed, digits(lowest, ".3f"))
    console.print(table)
    console.print(CONCLUSIONS[result["status"]].format(result["within_factor"]))
    coordinates = result["coordinates"]
    sites = Table("site", "muP", "standard", title="slope of log(activation) against log(width)")
    for site, slope in coordinates["mup"]["slopes"].items():
        sites.add_row(site, f"{slope:+.2f}", f"{coordinates['standard']['slopes'][site]:+.2f}")
    console.print(sites)
