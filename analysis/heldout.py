"""Is the law any good where it was not fitted? Whole cells of the largest sizes are held out and predicted.

Errors are taken against seed means, the mean loss of the runs that share a size and a token count; coverage is
counted over single runs, which is what an interval promises. `rolling` repeats the hold-out from every smaller set of
sizes: its errors, in units of its own intervals, measure what no bootstrap inside the fitted range can see, and widen
the intervals of every later hold-out and of the final law (`misfit_factor`). A factor only ever uses runs that the fit
it widens has seen.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.fit import MIN_LEVELS
from analysis.laws import HOFFMANN, LAWS, Law
from analysis.params import FitParams
from analysis.predict import Estimate, estimate, prediction_intervals

NORMAL_975 = 1.959963984540054
MIN_HELD_OUT_CELLS = 3
MIN_HELD_OUT_RUNS = 6
MAX_DRAWS = 1000
MAX_ROLLS = 6  # in a table of many sizes the rolling hold-outs end at so many of them, evenly spread
MIN_FIT_CELLS = 4  # three between-cell parameters and one degree of freedom for the noise


def sizes_by_compute(points: pd.DataFrame) -> list:
    """Sizes from the least to the most compute, by the dearest run of each."""
    return points.groupby("size")["flops"].max().sort_values(kind="stable").index.tolist()


def identifies(points: pd.DataFrame, law: Law) -> bool:
    """Whether a part of the table can be fitted by itself, with a degree of freedom left for the noise."""
    varied = (points[name].nunique() >= MIN_LEVELS for name in ("params", "tokens") if name in law.columns)
    return all(varied) and len(points) > len(law.coordinates) and points["cell"].nunique() >= MIN_FIT_CELLS


def split(points: pd.DataFrame, held_out_sizes: int, law: Law = HOFFMANN) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Fitted rows and held-out rows: every cell of the `held_out_sizes` sizes with the most compute is held out.

    More sizes are held out when those have fewer than MIN_HELD_OUT_CELLS cells or MIN_HELD_OUT_RUNS runs. None when too
    few are left to fit.
    """
    sizes = sizes_by_compute(points)
    for count in range(held_out_sizes, len(sizes) - MIN_LEVELS + 1):
        held = points["size"].isin(sizes[len(sizes) - count :])
        fitted, target = points[~held].reset_index(drop=True), points[held].reset_index(drop=True)
        if not identifies(fitted, law):
            break
        if target["cell"].nunique() >= MIN_HELD_OUT_CELLS and len(target) >= MIN_HELD_OUT_RUNS:
            return fitted, target
    return None


@dataclass(frozen=True)
class Roll:
    """One rolling hold-out: fitted on the smallest sizes, asked about the next ones."""

    sizes: list  # those fitted, smallest first
    fitted: Estimate
    target: pd.DataFrame
    surprise: np.ndarray  # error over the half-width on its side of the unwidened interval: 1 lies on its end


def fewer_draws(params: FitParams) -> FitParams:
    """The settings of a hold-out: the middle 95% of MAX_DRAWS draws is known well enough to count what falls in it."""
    return replace(params, bootstrap=min(params.bootstrap, MAX_DRAWS))


def rolling(points: pd.DataFrame, params: FitParams) -> list[Roll]:
    """Hold-outs from every set of smallest sizes that identifies the law, each predicting the next sizes' cells."""
    params = fewer_draws(params)
    sizes = sizes_by_compute(points)
    rolls = []
    ends = np.unique(np.linspace(MIN_LEVELS, len(sizes) - 1, MAX_ROLLS).astype(int)) if len(sizes) > MIN_LEVELS else []
    for num_sizes in ends:
        fit_points = points[points["size"].isin(sizes[:num_sizes])].reset_index(drop=True)
        if not identifies(fit_points, LAWS[params.law]):
            continue
        next_sizes = sizes[num_sizes : num_sizes + params.held_out_sizes]
        target = points[points["size"].isin(next_sizes)].reset_index(drop=True)
        fitted = estimate(fit_points, params)
        if fitted.solution.meaningless:
            continue
        bare = prediction_intervals(fitted, target, seed=params.seed)
        error = np.log(target["loss"].to_numpy()) - np.log(bare.predicted_N)
        half = np.where(error < 0, np.log(bare.predicted_N / bare.low_N), np.log(bare.high_N / bare.predicted_N))
        rolls.append(Roll(sizes[:num_sizes], fitted, target, error / np.maximum(half, 1e-12)))
    return rolls


def misfit_factor(rolls: list[Roll], fitted_sizes: list) -> float:
    """How much wider than their bootstrap the intervals of a law fitted to `fitted_sizes` must be, at least 1.

    The root mean square, over sizes, of the rolling errors in units of the standard deviation that the interval
    claimed; only errors on sizes among `fitted_sizes` count, so nothing held out is looked at.
    """
    by_size = []
    for roll in rolls:
        for size, rows in roll.target.groupby("size"):
            if size in fitted_sizes:
                by_size.append(float((roll.surprise[rows.index] ** 2).mean()) * NORMAL_975**2)
    return max(1.0, float(np.sqrt(np.mean(by_size)))) if by_size else 1.0


def held_out(points: pd.DataFrame, params: FitParams, rolls: list[Roll]) -> dict | None:
    """The `heldout` part of law.json: errors, interval widths and coverage on the largest cells and when rolling.

    None where the table has too few sizes, cells or runs to hold any out.
    """
    parts = split(points, params.held_out_sizes, LAWS[params.law])
    if parts is None:
        return None
    params = fewer_draws(params)
    fit_points, target = parts
    fitted = estimate(fit_points, params)
    misfit = misfit_factor(rolls, fit_points["size"].unique().tolist())
    rows = compare(fitted, target, misfit, params.seed)
    rolled = []
    for roll in rolls:
        roll_misfit = misfit_factor(rolls, roll.sizes)
        seen = compare(roll.fitted, roll.target, roll_misfit, params.seed)
        rolled.append({"num_sizes_fitted": len(roll.sizes), "misfit": roll_misfit} | summary(seen))
    num_rolled = sum(roll["num_runs"] for roll in rolled)
    inside = sum(roll["pi95_coverage"] * roll["num_runs"] for roll in rolled)
    return {
        "num_cells": int(target["cell"].nunique()),
        "sizes": sorted(target["size"].unique().tolist()),
        "misfit": misfit,
        **summary(rows),
        # Over every hold-out that identifies a law, this one or its like among them: one alone has too few runs.
        "pi95_coverage": inside / num_rolled if num_rolled else summary(rows)["pi95_coverage"],
        "num_inside": int(rows["num_inside"].sum()),
        "law": fitted.solution.fitted.params,
        "unidentified": fitted.solution.unidentified,
        "rows": rows.to_dict("records"),
        "rolling": {
            "num_runs": num_rolled,
            "rows": rolled,
        },
    }


def compare(fitted: Estimate, target: pd.DataFrame, misfit: float, seed: int) -> pd.DataFrame:
    """One row a (size, tokens): the seed mean, the prediction, its interval, and how many single runs fall inside."""
    intervals = prediction_intervals(fitted, target, misfit, seed)
    inside = (target["loss"] >= intervals.low_N) & (target["loss"] <= intervals.high_N)
    table = target.assign(predicted=intervals.predicted_N, low=intervals.low_N, high=intervals.high_N, inside=inside)
    rows = table.groupby(["size", "tokens"], as_index=False).agg(
        params=("params", "first"),
        flops=("flops", "first"),
        num_runs=("loss", "size"),
        measured=("loss", "mean"),
        predicted=("predicted", "first"),
        low=("low", "first"),
        high=("high", "first"),
        num_inside=("inside", "sum"),
    )
    return rows.assign(rel_error=rows["predicted"] / rows["measured"] - 1)


def summary(rows: pd.DataFrame) -> dict:
    """Errors over seed means, relative width of the intervals, coverage over single runs."""
    num_runs = int(rows["num_runs"].sum())
    return {
        "num_runs": num_runs,
        "mean_abs_rel_error": float(rows["rel_error"].abs().mean()),
        "max_abs_rel_error": float(rows["rel_error"].abs().max()),
        "pi95_mean_width": float(((rows["high"] - rows["low"]) / rows["predicted"]).mean()),
        "pi95_coverage": float(rows["num_inside"].sum()) / num_runs,
    }
