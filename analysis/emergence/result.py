"""emergence.json: a row for every task and metric of a table."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from analysis.emergence.bigbench import linearity_and_breakthroughness
from analysis.emergence.bimodality import bimodality_test
from analysis.emergence.estimate import Estimate, Place, along, powers
from analysis.emergence.evidence import ALPHA, MIN_SCALES, Evidence, examine
from analysis.emergence.label import label_of
from analysis.emergence.rise import Rise
from analysis.emergence.scores import Scores
from analysis.emergence.shapes import Array
from analysis.emergence.table import AXES, NAMES, left_out, scores_of
from analysis.emergence.training import last_checkpoints, training_time

SCHEMA_VERSION = 1
FIGURE_SEEDS = 199  # that the mean of a figure's curve is taken over


def label_table(table: pd.DataFrame, inputs: Mapping[str, str] | None = None, seed: int = 0) -> dict[str, Any]:
    """The content of emergence.json for a table as `table.py` describes: plain numbers, strings, lists and dicts only.

    A label depends on its own rows and the seed, not on what else the table holds; metrics without a chance have none
    and are counted in `left_out`. Raises ValueError naming the field,
    the value and the remedy for a table that cannot be used.
    """
    scores = scores_of(table)
    groups = list(scores.groupby(list(NAMES), sort=False))
    return {
        "schema_version": SCHEMA_VERSION,
        "alpha": ALPHA,
        "rows": [label_curve(rows, seed) for _, rows in groups],
        "training_time": [found for _, rows in groups for found in training_time(rows, seed)],
        "left_out": left_out(table),
        "inputs": dict(inputs or {}),
    }


def label_curve(rows: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """One row of emergence.json, from the checked rows of one task and metric.

    Thresholds are in the axis's own unit, widths in decades of it: one run's, and pooled that of the mean over seeds.
    None: not tested, or an interval without that end.
    """
    task, metric, chance = str(rows["task"].iloc[0]), str(rows["metric"].iloc[0]), float(rows["chance"].iloc[0])
    rng = np.random.default_rng([seed, zlib.crc32(f"{task}\n{metric}".encode())])
    num_checkpoints = len(rows)
    rows = last_checkpoints(rows)
    scores = scores_from(rows)
    linearity, breakthroughness = linearity_and_breakthroughness(scores.mean_S)
    named = {"task": task, "metric": metric, "chance": chance}
    counted = {
        "num_scales": scores.num_scales,
        "num_runs": len(rows),
        "L": linearity,
        "B": breakthroughness,
        "bimodality_p": bimodality_test(scores, rng),
    }
    if scores.num_scales < MIN_SCALES:
        reason = f"{scores.num_scales} scales cannot show the shape of a rise: give {MIN_SCALES} or more"
        return named | {"label": "undetermined"} | NOT_TESTED | counted | {"diagnostics": [reason]}
    evidence = examine(scores, _counterpart(rows), chance, rng)
    label, diagnostics = label_of(evidence, "continuous" in rows and bool(rows["continuous"].notna().any()))
    if num_checkpoints > len(rows):
        diagnostics.append(f"{num_checkpoints - len(rows)} earlier checkpoints are left out: only a run's last counts")
    return (
        named
        | {"label": label}
        | _tested(evidence)
        | {"axes": _axes(rows) if evidence.rises else {}}
        | counted
        | {"diagnostics": diagnostics}
    )


def scores_from(rows: pd.DataFrame, axis: str = "compute") -> Scores:
    """The scores of checked rows against an axis."""
    columns = (rows[name].to_numpy(dtype=float) for name in (axis, "value", "num_items"))
    x_N, value_N, num_items_N = columns
    return Scores(np.log10(x_N), value_N, num_items_N)


def _counterpart(rows: pd.DataFrame) -> Scores | None:
    """The continuous metric where rows have it; None where fewer than two scales do."""
    if "continuous" not in rows:
        return None
    rows = rows[rows["continuous"].notna()]
    scores = Scores(np.log10(rows["compute"].to_numpy(dtype=float)), rows["continuous"].to_numpy(dtype=float), None)
    return scores if len(rows) and scores.num_scales > 1 else None


PLACED = (
    *("threshold", "threshold_ci95", "width_decades", "width_ci95"),
    *("pooled_width_decades", "pooled_width_ci95"),
)
NOT_TESTED: dict[str, Any] = {
    **dict.fromkeys(PLACED),
    **dict.fromkeys(("p_flat", "p_fall", "p_sharp", "p_smooth", "p_continuous", "amplitude", "dispersion", "curve")),
    "axes": {},
}


def _tested(evidence: Evidence) -> dict[str, Any]:
    shape, counterpart = evidence.shape, evidence.counterpart
    return _placed(evidence.place) | {
        "p_flat": evidence.flat.p_rise,
        "p_fall": evidence.flat.p_fall,
        "p_sharp": None if shape is None else shape.p_sharp,
        "p_smooth": None if shape is None else shape.p_smooth,
        "p_continuous": None if counterpart is None else counterpart.shape.p_sharp,
        "amplitude": evidence.amplitude,
        "dispersion": evidence.fitted.dispersion,
        "curve": _curve(evidence.curve),
    }


def _placed(place: Place | None) -> dict[str, Any]:
    """Threshold and width; None where there is no rise to place."""
    if place is None:
        return dict.fromkeys(PLACED)
    midpoint, width, pooled = place.midpoint, place.width, place.pooled_width
    return {
        "threshold": 10**midpoint.value,
        "threshold_ci95": powers(midpoint),
        "width_decades": width.value,
        "width_ci95": _ends(width),
        "pooled_width_decades": pooled.value,
        "pooled_width_ci95": _ends(pooled),
    }


def _ends(estimate: Estimate) -> list[float | None]:
    return [estimate.low, estimate.high]


def _axes(rows: pd.DataFrame) -> dict[str, Any]:
    """Threshold and width along every other axis that all rows have at MIN_SCALES values or more."""
    found = {}
    for name in AXES:
        if name not in rows or rows[name].isna().any() or rows[name].nunique() < MIN_SCALES:
            continue
        scores = scores_from(rows, name)
        # The loss falls as models improve: scores rise along -log10(loss).
        place = along(-scores.x_N if name == "loss" else scores.x_N, scores)
        found[name] = _placed(place)
        if name == "loss":
            low, high = found[name]["threshold_ci95"]
            inverted = (None if end is None else 1 / end for end in (high, low))
            found[name] |= {"threshold": 1 / found[name]["threshold"], "threshold_ci95": list(inverted)}
    return found


def _curve(curve: Rise) -> dict[str, float]:
    """The likeliest curve; midpoint is log10(compute), width and jitter are decades."""
    names = ("floor", "height", "midpoint", "width", "jitter")
    return {name: getattr(curve, name) for name in names}


def curve_values(row: Mapping[str, Any], compute: Array) -> Array:
    """The likeliest curve of a row of emergence.json at these computes, for figures: the mean over seeds that jitter.

    Needs a row that was tested.
    """
    curve = Rise(**row["curve"])
    seeds = ndtri((np.arange(FIGURE_SEEDS) + 0.5) / FIGURE_SEEDS)
    return curve.at(np.log10(compute) + curve.jitter * seeds[:, None]).mean(axis=0)
