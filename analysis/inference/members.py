"""A law in the size alone, and the test that counts: the largest member predicted from the smaller ones.

The form is chosen among three by the error at members left out. For the hold-out it is chosen again among the smaller
members, so that nothing of the largest has been seen but how noisy its own samples are. In simulations of straight laws
the 90% interval holds 95 to 100% where the turns show all the noise there is, 84 to 94% where members differ by five
times what their turns show. With four smaller members no form with three coefficients can be told from a power: a bend
shows only as scatter around it, and where the noise is a tenth of the bend most intervals miss.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from analysis.inference.forms import FORMULAS, HELD_OUT_LEVEL, NAMES, Points, choose
from analysis.inference.rows import counted

MIN_MEMBERS = 3
MIN_SMALLER = 4  # members that a prediction of the largest is fitted to


def member_points(measured: Iterable[tuple[float, float, float]]) -> Points:
    """One point a size of (params, ln y, standard error) rows: the mean of rows that share it."""
    by_size: dict[float, list[tuple[float, float]]] = {}
    for params, log_value, noise in measured:
        by_size.setdefault(params, []).append((log_value, noise))
    sizes = sorted(by_size)
    means = [np.mean([value for value, _ in by_size[size]]) for size in sizes]
    noises = [math.sqrt(sum(noise**2 for _, noise in by_size[size])) / len(by_size[size]) for size in sizes]
    return Points(np.array(sizes, dtype=float), np.array(means), np.array(noises))


def law_in_params(points: Points) -> dict[str, Any]:
    """The law with its coefficients, the errors of all forms and the hold-out; a reason where members are too few."""
    head = {
        "num_members": len(points),
        "points": [
            {"params": params, "value": math.exp(value), "log_noise": noise}
            for params, value, noise in zip(*_lists(points), strict=True)
        ],
    }
    if len(points) < MIN_MEMBERS:
        missing = f"{counted(len(points), 'trained member')}: a law in N needs {MIN_MEMBERS}, add sizes"
        return head | {
            "form": None, "coefficients": None, "heldout": None, "heldout_reason": missing, "reason": missing,
        }  # fmt: skip
    fitted, errors = choose(points)
    heldout, heldout_reason = predict_largest(points)
    coefficients = {
        name: {"value": float(value), "ci95": list(ends)}
        for name, value, ends in zip(NAMES[fitted.form], fitted.coefficients_P, fitted.intervals(), strict=True)
    }
    return head | {
        "form": fitted.form,
        "formula": FORMULAS[fitted.form],
        "reference_params": fitted.reference,
        "coefficients": coefficients,
        "residual": fitted.residual,
        "spread": fitted.spread,
        "leave_one_out": errors,
        "heldout": heldout,
        "heldout_reason": heldout_reason,
        "reason": "",
    }


def predict_largest(points: Points) -> tuple[dict[str, Any] | None, str]:
    """The largest member against its prediction by all smaller ones, or why there is none."""
    smaller = len(points) - 1
    if smaller < MIN_SMALLER:
        return None, f"{counted(smaller, 'member')} below the largest: a prediction needs {MIN_SMALLER}, add sizes"
    largest = points.only(np.arange(len(points)) == smaller)
    fitted, errors = choose(points.only(np.arange(len(points)) < smaller))
    told = float(fitted.log_value(largest.params_M)[0])
    half = float(fitted.half_width(largest.params_M, float(largest.noise_M[0]))[0])
    missed = float(largest.log_value_M[0]) - told
    return {
        "params": float(largest.params_M[0]),
        "num_fitted": smaller,
        "form": fitted.form,
        "leave_one_out": errors,
        "level": HELD_OUT_LEVEL,
        "prediction": math.exp(told),
        "interval": [math.exp(told - half), math.exp(told + half)],
        "measured": math.exp(told + missed),
        "inside": abs(missed) <= half,
        "half_width_share": math.expm1(half),
    }, ""


def _lists(points: Points) -> Sequence[list[float]]:
    return points.params_M.tolist(), points.log_value_M.tolist(), points.noise_M.tolist()
