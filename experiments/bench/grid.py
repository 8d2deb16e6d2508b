"""A small grid both ways: trunks with cooldown branches, and one independent Trainer run a point."""

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.executors.local import LocalExecutor
from experiments.executors.worker import train_in_worker
from experiments.launch import run_cells
from experiments.pools import worker_pool
from experiments.project import DATA, Project, git_revision
from experiments.sweep import relative_cost
from sweeps import store
from sweeps.cost import branch_flops
from sweeps.grid import Cell
from sweeps.schedule import fork
from sweeps.train_job import CellJob

NUM_SIZES = 3
# Relative. Two ways to sum drift apart over a whole run, by up to .018 in the committed tables.
LOSS_TOLERANCE = 0.05


@dataclass(frozen=True)
class SmallGrid:
    """A suite made smaller: a few of its sizes with all their seeds, all token counts and the warm-up times `share`."""

    cells: list[Cell]
    recipe: store.Recipe
    share: float

    @property
    def points(self) -> list[tuple[Cell, int]]:
        """Every (cell, steps), dearest first."""
        found = [(cell, steps) for cell in self.cells for steps in cell.steps]
        return sorted(found, key=lambda point: -self.flops(*point))

    def flops(self, cell: Cell, steps: int) -> int:
        """Training FLOPs of one point on its own."""
        return branch_flops(cell, self.recipe, steps)


def shrink(cells: list[Cell], recipe: store.Recipe, flops: float) -> SmallGrid:
    """The smallest, the middle and the largest size, scaled down until independent runs cost at most `flops`."""
    sizes = sorted({cell.width for cell in cells})
    kept = {sizes[round(place * (len(sizes) - 1) / (NUM_SIZES - 1))] for place in range(NUM_SIZES)}
    whole = SmallGrid([cell for cell in cells if cell.width in kept], recipe, 1.0)
    share = min(1.0, flops / sum(whole.flops(*point) for point in whole.points))
    training = replace(recipe.training, warmup_steps=max(1, round(share * recipe.training.warmup_steps)))
    shortest = 2 * training.warmup_steps
    scaled = [
        replace(cell, steps=tuple(sorted({max(shortest, round(share * steps)) for steps in cell.steps})))
        for cell in whole.cells
    ]
    return SmallGrid(scaled, replace(recipe, training=training), share)


def measure_grid(project: Project, grid: SmallGrid) -> dict[str, Any]:
    """Wall seconds of both sides, processes and imports included; ours compiles with a cold cache, within its time.

    Every point is evaluated and written as a checkpoint on both sides, and the losses compared. Raises RuntimeError
    where a cell fails.
    """
    workers, batch_tokens = project.params.executor.workers, grid.recipe.training.batch_tokens
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        jobs = [CellJob(cell, grid.recipe, DATA.resolve(), Path(scratch), git_revision()) for cell in grid.cells]
        with LocalExecutor(workers, Path(scratch) / "cache", train_in_worker) as executor:
            failures = run_cells(jobs, executor, relative_cost, lambda: None)
        ours_seconds = time.perf_counter() - began
        if failures:
            raise RuntimeError(f"{failures[0].cell} of the grid failed: {failures[0].reason}")
        ours = [_loss(store.branch_dir(Path(scratch), cell, steps * batch_tokens)) for cell, steps in grid.points]
        began = time.perf_counter()
        with worker_pool(workers, Path(scratch) / "cache") as pool:
            out = Path(scratch) / "trainer"
            tasks = [
                pool.submit(train_point, cell, steps, grid.recipe, DATA.resolve(), out) for cell, steps in grid.points
            ]
            theirs = [task.result() for task in tasks]
        trainer_seconds = time.perf_counter() - began
    return {
        "ours_seconds": ours_seconds,
        "trainer_seconds": trainer_seconds,
        "ratio": trainer_seconds / ours_seconds,
        "workers": workers,
        "share": grid.share,
        **compare_losses(ours, theirs),
        "points": [
            {"cell": cell.name, "steps": steps, "ours_loss": a, "trainer_loss": b}
            for (cell, steps), a, b in zip(grid.points, ours, theirs, strict=True)
        ],
        "note": "ours compiles with a cold cache within its time; the Trainer runs at its defaults, uncompiled",
    }


def compare_losses(ours: list[float | None], theirs: list[float | None]) -> dict[str, Any]:
    """`max_loss_difference`, the largest relative difference between the validation losses of a point, and `status`.

    ok where it is below LOSS_TOLERANCE, else incorrect; diverged, without a difference, where a loss is None.
    """
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    if len(pairs) < len(ours):
        return {"status": "diverged", "max_loss_difference": None}
    difference = max(abs(a - b) / b for a, b in pairs)
    return {"status": "ok" if difference < LOSS_TOLERANCE else "incorrect", "max_loss_difference": difference}


def _loss(branch: Path) -> float | None:
    record = store.read_record(branch)
    assert record is not None
    return record["loss"]


def train_point(cell: Cell, steps: int, recipe: store.Recipe, data: Path, out: Path) -> float | None:
    """One independent run with its own schedule, evaluated and saved; its validation loss, None where it diverged."""
    import torch
    from transformers import PreTrainedModel

    from experiments.bench.sides import hugging_face_trainer
    from models import checkpoint
    from sweeps.tokens import load_tokens
    from sweeps.validation import validation_loss
    from sweeps.windows import rolling_windows

    torch.set_num_threads(1)
    tokens, training = load_tokens(data), recipe.training
    run = fork(steps, training.cooldown_share, training.warmup_steps)
    trainer = hugging_face_trainer(cell, recipe, tokens, run, False, [], out)
    trainer.train()
    model = trainer.model
    assert isinstance(model, PreTrainedModel)
    model.eval()
    windows = rolling_windows(tokens.validation, training.sequence_length)
    measured = validation_loss(model, windows, tokens.manifest["validation"]["bytes"], torch.device("cpu"))
    checkpoint.save(model, tokens.tokenizer_path, out / f"{cell.name}-{steps}")
    return measured.loss if math.isfinite(measured.loss) else None
