"""`scalelab bench train`: our loop against the Hugging Face Trainer, interleaved on one thread."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.bench.grid import NUM_SIZES, measure_grid, shrink
from experiments.bench.pairs import Launch, Side, paired_ratio, take_turns
from experiments.pools import worker_pool
from experiments.project import COMPILE_CACHE, DATA, Project, git_revision
from models.ladder import Shape
from sweeps import store
from sweeps.grid import Cell

SUITE = "law"
# Ours as configured, the Trainer at its defaults, the Trainer with our settings, ours once more as a control.
OURS, DEFAULTS, SAME_SETTINGS, CONTROL = "ours", "trainer", "trainer_same_settings", "control"
LOSS_TOLERANCE = 1e-3


@dataclass(frozen=True)
class TrainBench:
    """What is measured; about twenty minutes on two cores."""

    widths: tuple[int, ...] = (32, 64, 128)
    launches: int = 4
    rounds: int = 4
    round_seconds: float = 0.8
    grid_flops: float = 4e13


def describe(bench: TrainBench, project: Project) -> str:
    """One paragraph: what would run."""
    training = project.suite(SUITE).training
    return (
        f"widths {', '.join(map(str, bench.widths))} at the {SUITE} suite's settings ({training.batch_tokens} tokens a "
        f"step, {training.precision}, compile {training.compile}): our loop, the Trainer at its defaults, the Trainer "
        f"with our settings and our loop again, {bench.launches} launches of {bench.rounds} interleaved rounds; then "
        f"{NUM_SIZES} sizes of the suite, scaled to {bench.grid_flops:.2g} FLOPs, with trunks and with independent "
        f"Trainer runs on {project.params.executor.workers} processes"
    )


def run(bench: TrainBench, project: Project, progress: Console) -> dict[str, Any]:
    """The table of `--json`. Raises ValueError on an accelerator: the sides are timed on one thread of a CPU."""
    recipe = project.recipe(SUITE)
    if recipe.device != "cpu":
        raise ValueError(f"executor.device is {recipe.device!r}: bench train times CPU threads, set it to cpu")
    peak = machine_peak()
    rows = []
    for width in bench.widths:
        progress.print(f"width {width}: {bench.launches} launches of four processes, {bench.rounds} rounds each")
        rows.append(measure_width(bench, Cell(SUITE, "decoder", width, 0, ()), recipe))
    grid = shrink(project.cells(SUITE), recipe, bench.grid_flops)
    progress.print(
        f"grid: {len(grid.points)} points in {len(grid.cells)} cells, {grid.share:.0%} of the suite's tokens"
    )
    return {
        "schema_version": 1,
        "widths": rows,
        "grid": measure_grid(project, grid),
        "utilisation": [utilisation(row, recipe, peak) for row in rows],
        "peak_gflops": peak,
        "machine": {"processor": processor_name(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("torch", "transformers", "accelerate")},
        "revision": git_revision(),
    }


def measure_width(bench: TrainBench, cell: Cell, recipe: store.Recipe) -> dict[str, Any]:
    """Tokens a second of every side, ratios within rounds, and whether all sides compute the same losses."""
    from experiments.bench.sides import train_ours, train_theirs

    data = DATA.resolve()
    sides = [
        Side(OURS, train_ours, (cell, recipe, data)),
        Side(DEFAULTS, train_theirs, (cell, recipe, data, False)),
        Side(SAME_SETTINGS, train_theirs, (cell, recipe, data, True)),
        Side(CONTROL, train_ours, (cell, recipe, data)),
    ]
    launches = [take_turns(sides, bench.rounds, bench.round_seconds) for _ in range(bench.launches)]
    return width_row(cell.width, launches, recipe.training.batch_tokens)


def width_row(width: int, launches: list[Launch], batch_tokens: int) -> dict[str, Any]:
    """The row of `widths`: rates in tokens a second (medians), raw samples by launch beside them.

    `status` judges the first losses of every launch; `first_losses` are those of the first launch.
    """
    import numpy as np

    names = list(launches[0].seconds)
    rates = {name: [[one.steps * batch_tokens / s for s in one.seconds[name]] for one in launches] for name in names}
    median = {name: float(np.median(np.concatenate(samples))) for name, samples in rates.items()}
    losses = [{name: one.reports[name]["losses"] for name in names} for one in launches]
    differences = [abs(a - b) for of in losses for name in names for a, b in zip(of[name], of[OURS], strict=True)]

    def against(name: str) -> dict[str, Any]:
        ratio, interval = paired_ratio(launches, name, OURS)
        return {"trainer": median[name], "ratio": ratio, "ci95": interval}

    control, control_interval = paired_ratio(launches, CONTROL, OURS)
    return {
        "width": width,
        "ours": median[OURS],
        **against(DEFAULTS),
        "same_settings": against(SAME_SETTINGS),
        "control": {"ours": median[CONTROL], "ratio": control, "ci95": control_interval},
        "status": "ok" if all(difference < LOSS_TOLERANCE for difference in differences) else "incorrect",
        "max_loss_difference": max(differences),
        "first_losses": losses[0],
        "warmup_seconds": {name: [one.reports[name]["warmup_seconds"] for one in launches] for name in names},
        "steps_a_round": [one.steps for one in launches],
        "tokens_per_second": rates,
    }


def utilisation(row: dict[str, Any], recipe: store.Recipe, peak: dict[str, float]) -> dict[str, Any]:
    """Model FLOPs a second over the best that a matrix product reaches here, one thread each."""
    per_token = Shape(row["width"]).flops_per_token(recipe.vocab_size, recipe.training.sequence_length)
    gflops = per_token * row["ours"] / 1e9
    return {"width": row["width"], "model_gflops": gflops, "utilisation": gflops / max(peak.values())}


def machine_peak() -> dict[str, float]:
    """GFLOP/s of one thread multiplying large matrices, in a process of its own."""
    from experiments.bench.sides import matmul_gflops

    with worker_pool(1, COMPILE_CACHE) as pool:
        return pool.submit(matmul_gflops).result()


def processor_name() -> str:
    """The processor as the operating system names it."""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (FileNotFoundError, StopIteration):
        return platform.processor() or platform.machine()


def show(result: dict[str, Any], console: Console) -> None:
    """The result as two tables and a line."""
    table = Table(
        "width", "ours, tokens/s", "Trainer", "ratio", "same settings", "ratio", "control", "of peak", "losses"
    )
    for row, used in zip(result["widths"], result["utilisation"], strict=True):
        same, control = row["same_settings"], row["control"]
        table.add_row(
            str(row["width"]),
            f"{row['ours']:,.0f}",
            f"{row['trainer']:,.0f}",
            with_interval(row),
            f"{same['trainer']:,.0f}",
            with_interval(same),
            with_interval(control),
            f"{used['utilisation']:.0%}",
            row["status"],
        )
    console.print(table)
    grid = result["grid"]
    difference = grid["max_loss_difference"]
    largest = "a run diverged" if difference is None else f"they differ by at most {difference:.2%}"
    console.print(
        f"grid of {len(grid['points'])} points on {grid['workers']} processes: {grid['ours_seconds']:.0f} s with "
        f"trunks (cold compile cache), {grid['trainer_seconds']:.0f} s as independent Trainer runs, ratio "
        f"{grid['ratio']:.2f}; losses {grid['status']}, {largest}"
    )


def with_interval(row: dict[str, Any]) -> str:
    """A ratio and its 95% interval."""
    return f"{row['ratio']:.2f} [{row['ci95'][0]:.2f}, {row['ci95'][1]:.2f}]"
