"""`scalelab bench emergence`: how often the detector is right, on curves whose truth is known, and on public models."""

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from experiments.pools import worker_pool
from experiments.project import COMPILE_CACHE, git_revision

if TYPE_CHECKING:
    from experiments.bench.emergence_truth import Design

BATCH = 100  # curves of a task
WIDTHS = (2.0, 1.3, 1.0, 0.75, 0.5, 0.25, 0.0)
NULLS = ("flat", "linear", "power", "convex", "2")  # what must not be called emergent
BOUNDARY, STEP = "1", "0"
LENGTHS = (5, 20)
MOST_FALSE, MOST_AT_BOUNDARY, MOST_MIRAGES, LEAST_POWER = 0.02, 0.08, 0.01, 0.9
MOST_ONE_PEAK = 0.07
POWER = {"8x3x200 (0.1)": ("0.5", "0.25", STEP), "12x5x500 (0.1)": ("0.75", "0.5", "0.25", STEP)}
REFERENCE_DATA = "SCALELAB_REFERENCE_DATA"


@dataclass(frozen=True)
class EmergenceBench:
    """What is simulated: a quarter of an hour of one core. Other seeds served to choose the detector's constants."""

    curves: int = 300
    curves_at_boundary: int = 1000
    workers: int = 1  # CPU-seconds are measured
    seed: int = 1


@dataclass(frozen=True)
class Cell:
    """One kind of curve in one design: a shape, a width in decades, `mirage L`, `jump L`, or scores of seeds."""

    design: "Design"
    kind: str

    def num_curves(self, bench: EmergenceBench) -> int:
        """The error at the boundary, where it is greatest, is counted on more curves."""
        return bench.curves_at_boundary if self.kind == BOUNDARY else bench.curves


def describe(bench: EmergenceBench) -> str:
    """One paragraph: what would run."""
    return (
        f"{bench.curves} curves of every kind ({bench.curves_at_boundary} of width one decade), seven designs: "
        "flat, straight, power law, convex, and rises of 2 decades to a step; exact match of 5 and 20 tokens with and "
        "without a jump in log-likelihood; two groups of seeds against one; and the BIG-bench tasks of public models "
        f"where {REFERENCE_DATA} names their folder; on {bench.workers} process"
    )


def cells() -> list[Cell]:
    """Every cell of the table."""
    from experiments.bench.emergence_truth import CHANCE_ZERO, DESIGNS, MODES, PEAKS, SHAPES, of_seeds

    kinds = (*SHAPES, *(f"{width:g}" for width in WIDTHS))
    likelihood = [f"{what} {length}" for what in ("mirage", "jump") for length in LENGTHS]
    return [
        *(Cell(design, kind) for design in DESIGNS for kind in kinds),
        *(Cell(design, kind) for design in CHANCE_ZERO for kind in likelihood),
        *(Cell(of_seeds(num_seeds), kind) for num_seeds in (5, 8) for kind in (*MODES, *PEAKS)),
    ]


def run(bench: EmergenceBench, progress: Console) -> dict[str, Any]:
    """The table of `--json`; the same bench gives the same counts."""
    from experiments.bench.emergence_public import public_rows

    progress.print(describe(bench))
    began, rows, chosen = time.perf_counter(), [], cells()
    with worker_pool(bench.workers, COMPILE_CACHE) as pool:
        tasks = [
            [pool.submit(simulate_batch, bench, index, first) for first in range(0, cell.num_curves(bench), BATCH)]
            for index, cell in enumerate(chosen)
        ]
        for cell, batches in zip(chosen, tasks, strict=True):
            rows.append(row_of(cell, [found for task in batches for found in task.result()]))
            progress.print(f"{cell.design.name}, {cell.kind}: {time.perf_counter() - began:.0f} s")
    folder = os.environ.get(REFERENCE_DATA)
    missing = missed(rows)
    return {
        "schema_version": 1,
        "curves": bench.curves,
        "curves_at_boundary": bench.curves_at_boundary,
        "seed": bench.seed,
        "cells": rows,
        "cpu_seconds_a_test": median([row["cpu_seconds"] for row in rows if row["labels"]]),
        "public": public_rows(Path(folder)) if folder else None,
        "missed": missing,
        "status": "missed" if missing else "ok",
        "revision": git_revision(),
    }


def median(values: list[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]


def simulate_batch(bench: EmergenceBench, index: int, first: int) -> list[dict[str, Any]]:
    """Up to BATCH curves of one cell: what the detector says of each, beside the truth."""
    import numpy as np

    from experiments.bench.emergence_truth import MODES, PEAKS

    cell = cells()[index]
    rng = np.random.default_rng([bench.seed, index, first])
    find = grouped if cell.kind in (*MODES, *PEAKS) else labelled
    find(cell, 0, np.random.default_rng(0))  # fills the caches, which a table's further tasks find full
    return [find(cell, number, rng) for number in range(first, min(first + BATCH, cell.num_curves(bench)))]


def labelled(cell: Cell, number: int, rng: Any) -> dict[str, Any]:
    """One curve through the detector."""
    from analysis.emergence import label_curve
    from experiments.bench.emergence_truth import draw, table_of

    truth = draw(cell.design, cell.kind, rng)
    rows, began = table_of(cell.design, truth), time.process_time()
    row = label_curve(rows, number)
    seconds = time.process_time() - began
    row["held"] = None
    if truth.width is not None and truth.midpoint is not None and row["threshold"] is not None:
        row["held"] = holds(row["width_ci95"], truth.width), holds(row["threshold_ci95"], 10**truth.midpoint)
    return row | {"cpu_seconds": seconds}


def holds(ends: list[float | None], truth: float) -> bool:
    """Whether an interval, open where an end is None, holds the truth."""
    low, high = ends
    return (low is None or low <= truth) and (high is None or truth <= high)


def grouped(cell: Cell, number: int, rng: Any) -> dict[str, Any]:
    """The p-value of one group for one scale's seeds."""
    import numpy as np

    from analysis.emergence.bimodality import bimodality_test
    from analysis.emergence.scores import Scores
    from experiments.bench.emergence_truth import seeds_of

    score_N = seeds_of(cell.design, cell.kind, rng)
    scores = Scores(np.full(len(score_N), 18.0), score_N, np.full(len(score_N), float(cell.design.num_items)))
    began = time.process_time()
    p_value = bimodality_test(scores, np.random.default_rng(number))
    return {"label": None, "bimodality_p": p_value, "cpu_seconds": time.process_time() - began}


def row_of(cell: Cell, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of one cell; coverage among the curves that rise."""
    held = [row["held"] for row in found if row.get("held") is not None]
    labels = Counter(row["label"] for row in found if row["label"] is not None)
    return {
        "design": cell.design.name,
        "kind": cell.kind,
        "curves": len(found),
        "labels": dict(sorted(labels.items())),
        "emergent": labels["emergent"] / len(found),
        "width_coverage": sum(width for width, _ in held) / len(held) if held else None,
        "threshold_coverage": sum(threshold for _, threshold in held) / len(held) if held else None,
        "width_median": median([row["width_decades"] for row in found if row["held"]]) if held else None,
        "bimodal": sum((row["bimodality_p"] or 1.0) <= 0.05 for row in found) / len(found),
        "cpu_seconds": median([row["cpu_seconds"] for row in found]),
    }


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """What the table promises and does not keep."""
    return [
        f"{row['design']}, {row['kind']}: {share:.1%} {what}"
        for row in rows
        for what, share, kept in promises(row)
        if not kept
    ]


def promises(row: dict[str, Any]) -> list[tuple[str, float, bool]]:
    """What is promised of a cell: the share, and whether it is kept."""
    from experiments.bench.emergence_truth import MODES, PEAKS

    kind, emergent, bimodal = row["kind"], row["emergent"], row["bimodal"]
    if kind in MODES:
        kept = bimodal >= LEAST_POWER or not row["design"].startswith("8")
        return [("bimodal", bimodal, kept)]
    if kind in PEAKS:
        return [("bimodal", bimodal, bimodal <= MOST_ONE_PEAK)]
    if kind in NULLS:
        return [("emergent", emergent, emergent <= MOST_FALSE)]
    if kind == BOUNDARY:
        return [("emergent", emergent, emergent <= MOST_AT_BOUNDARY)]
    if kind.startswith("mirage"):
        return [("emergent", emergent, emergent <= MOST_MIRAGES)]
    if kind in POWER.get(row["design"], ()):
        return [("emergent", emergent, emergent >= LEAST_POWER)]
    return []


def show(result: dict[str, Any], console: Console) -> None:
    """Share of emergent calls by design and kind, coverage of the intervals, groups of seeds, public models."""
    from experiments.bench.emergence_truth import MODES, PEAKS, SHAPES

    by_design: dict[str, dict[str, dict[str, Any]]] = {}
    for row in result["cells"]:
        by_design.setdefault(row["design"], {})[row["kind"]] = row
    widths = [f"{width:g}" for width in WIDTHS]
    likelihood = [f"{what} {length}" for what in ("mirage", "jump") for length in LENGTHS]
    parts = (
        ("called emergent", [*SHAPES, *widths], "emergent"),
        ("95% intervals of the width that hold it", widths, "width_coverage"),
        ("95% intervals of the threshold that hold it", widths, "threshold_coverage"),
        ("called emergent: exact match of L tokens", likelihood, "emergent"),
        ("seeds called two groups", [*MODES, *PEAKS], "bimodal"),
    )
    for title, kinds, field in parts:
        table = Table("design", *kinds, title=title)
        for design, rows in by_design.items():
            if all(kind in rows for kind in kinds):
                table.add_row(
                    design, *("-" if rows[kind][field] is None else f"{rows[kind][field]:.1%}" for kind in kinds)
                )
        console.print(table)
    console.print(f"CPU-seconds a test: {result['cpu_seconds_a_test']:.3f} (median)")
    for line in result["missed"]:
        console.print(f"missed: {line}")
    if result["public"] is not None:
        from experiments.emergence import print_labels

        print_labels(result["public"], console)
