"""Where a technique turns from gain to loss: along each axis that was measured, between measured points only.

A point counts as faster or slower where its row's 95% interval leaves out 1 and its ratio is beyond the factor that the
A/A control cannot tell from nothing; any other point is open. A crossover lies between two points of opposite sign. Its
place, where the line through the points in logarithms passes 1, has an interval by drawing the turns of every row
again, which of medians of so few turns holds some less than it says.

Axes: X points along the axis, S draws, I turns of a row.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from analysis.inference.forms import Array
from analysis.inference.rows import CONTEST, SETTING, Row, drawn_log_ratios, grouped, measured

Axis = Literal["params", "prompt", "output", "batch"]
Status = Literal["always faster", "always slower", "crosses", "crosses repeatedly", "undetermined"]
TAILS = (0.025, 0.975)
# What stays the same along an axis, besides the contest.
HELD: dict[Axis, tuple[str, ...]] = {
    "params": (*SETTING, "trained"),
    **{
        axis: ("model", "params", "tokens", "trained", *(name for name in SETTING if name != axis))
        for axis in ("prompt", "output", "batch")
    },
}  # fmt: skip


def crossovers(rows: Sequence[Row], detectable: float, seed: int = 0) -> list[dict[str, Any]]:
    """Every line of two points or more along an axis, with its status and, where it crosses 1, the place."""
    found = []
    for axis, held in HELD.items():
        for shared, own in grouped(measured(rows), (*CONTEST, *held)):
            placed = [row for row in own if row.get(axis) is not None and (axis != "params" or row["trained"])]
            lines = sorted({float(row[axis]) for row in placed})
            if len(lines) > 1:
                by_place = [[row for row in placed if float(row[axis]) == place] for place in lines]
                found.append({"axis": axis, **shared, **_crossing(np.array(lines), by_place, detectable, seed)})
    return found


def _crossing(place_X: Array, rows_X: Sequence[Sequence[Row]], detectable: float, seed: int) -> dict[str, Any]:
    draws_XS = np.stack([np.mean([drawn_log_ratios(row, seed) for row in rows], axis=0) for rows in rows_X])
    value_X = np.array([np.mean([math.log(row["ratio"]) for row in rows]) for rows in rows_X])
    low_X, high_X = np.transpose([_ends(rows) for rows in rows_X])
    beyond_X = np.abs(value_X) > math.log(detectable)
    sign_X = np.where(beyond_X & (low_X > 0), 1, np.where(beyond_X & (high_X < 0), -1, 0))
    decided = np.flatnonzero(sign_X)
    turns = [(a, b) for a, b in itertools.pairwise(decided) if sign_X[a] != sign_X[b]]
    status: Status
    if len(turns) == 1:
        status = "crosses"
    elif turns:
        status = "crosses repeatedly"
    elif len(decided) < len(sign_X):
        status = "undetermined"
    else:
        status = "always faster" if sign_X[0] > 0 else "always slower"
    return {
        "status": status,
        "crossings": [_place(place_X[a : b + 1], value_X[a : b + 1], draws_XS[a : b + 1]) for a, b in turns],
        "points": [
            {"at": float(place), "ratio": math.exp(value), "ci95": [math.exp(low), math.exp(high)], "sign": int(sign)}
            for place, value, low, high, sign in zip(place_X, value_X, low_X, high_X, sign_X, strict=True)
        ],
    }


def _ends(rows: Sequence[Row]) -> tuple[float, float]:
    """95% interval of ln ratio: the row's own, or of the mean of several by their own."""
    logs = np.log([row["ci95"] for row in rows])
    if len(rows) == 1:
        return float(logs[0, 0]), float(logs[0, 1])
    middle = float(np.mean([math.log(row["ratio"]) for row in rows]))
    half = math.hypot(*(np.ptp(logs, axis=1) / 2)) / len(rows)
    return middle - half, middle + half


def _place(place_X: Array, value_X: Array, draws_XS: Array) -> dict[str, Any]:
    """Between two points of opposite sign: where the line first passes 1, and the middle 95% of the draws' places.

    A draw whose ends are of one sign never passes: the interval is open (None) at the end that it points to.
    """
    at = _first_zero(np.log(place_X), value_X)
    drawn_S = np.array([_first_zero(np.log(place_X), draw_X) for draw_X in draws_XS.T])
    low, high = np.quantile(drawn_S, TAILS, method="nearest")
    ends = [math.exp(end) if np.isfinite(end) else None for end in (low, high)]
    return {"at": math.exp(at), "ci95": ends, "between": [float(place_X[0]), float(place_X[-1])]}


def _first_zero(log_place_X: Array, value_X: Array) -> float:
    """By linear interpolation; beyond the side on which the value is nearer 0 where it never changes sign."""
    changed = np.flatnonzero(np.sign(value_X[:-1]) != np.sign(value_X[1:]))
    if not len(changed):
        return -math.inf if abs(value_X[0]) < abs(value_X[-1]) else math.inf
    first = changed[0]
    step = value_X[first] / (value_X[first] - value_X[first + 1])
    return float(log_place_X[first] + step * (log_place_X[first + 1] - log_place_X[first]))
