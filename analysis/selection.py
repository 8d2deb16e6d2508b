"""Every law, estimator and approach side by side, ranked by what they say of larger compute that they have not seen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import envelope, isoflop
from analysis.fit import Estimator, Observations, fit
from analysis.frontier import predicted_loss
from analysis.heldout import split
from analysis.laws import LAWS, Array
from analysis.params import FitParams

LAW_ESTIMATORS = (
    ("hoffmann", "huber"), ("hoffmann", "l1"), ("hoffmann", "least-squares"), ("interaction", "huber"),
    ("kaplan", "huber"), ("repeated", "huber"),
)  # fmt: skip
APPROACHES: dict[str, Callable[..., Any]] = {"approach 1": envelope.fit_envelope, "approach 2": isoflop.fit_isoflop}


@dataclass(frozen=True)
class Row:
    """One contender: mean error over all held-out runs, error at the best of them, or why it has neither."""

    name: str
    mean_abs_rel_error: float | None = None
    best_run_rel_error: float | None = None
    reason: str = ""


def rank(points: pd.DataFrame, params: FitParams) -> list[dict[str, Any]]:
    """The contenders fitted without the cells of most compute and scored on them, best first; refused ones last.

    Laws and baselines predict every held-out run: they are ranked by the mean of |predicted / measured - 1|. Approaches
    1 and 2 predict the least loss of a budget: they are scored on the held-out run of least loss, as the others are
    beside it. Empty where nothing can be held out.
    """
    parts = split(points, params.held_out_sizes)
    if parts is None:
        return []
    fitted, target = parts
    rows = [
        _row(f"{law}, {estimator}", target, _law(fitted, target, params, law, estimator))
        for law, estimator in LAW_ESTIMATORS
        if law != "repeated" or ("unique_tokens" in points and (points["unique_tokens"] < points["tokens"]).any())
    ]
    rows += [_row(name, target, lambda fit_=fit_: fit_(fitted, target)) for name, fit_ in BASELINES.items()]
    rows += [_approach(name, fitted, target, params) for name in APPROACHES]
    score = {id(row): row.mean_abs_rel_error if row.mean_abs_rel_error is not None else np.inf for row in rows}
    return [vars(row) for row in sorted(rows, key=lambda row: (bool(row.reason), score[id(row)]))]


def _row(name: str, target: pd.DataFrame, predict: Callable[[], Array]) -> Row:
    try:
        error_N = predict() / target["loss"].to_numpy() - 1
    except ValueError as error:
        return Row(name, reason=str(error).removeprefix("points: "))
    best = int(np.argmin(target["loss"]))
    return Row(name, float(np.abs(error_N).mean()), float(error_N[best]))


def _law(
    fitted: pd.DataFrame, target: pd.DataFrame, params: FitParams, law: str, estimator: str
) -> Callable[[], Array]:
    def predict() -> Array:
        settings = replace(params, law=law, estimator=estimator)  # pyright: ignore[reportArgumentType]
        solver = Estimator(settings.estimator, settings.delta)
        observations = Observations.of(fitted, LAWS[law])
        solution = fit(observations, LAWS[law], solver, params.starts, params.seed)
        if solution.meaningless:
            raise ValueError(f"the runs do not identify {', '.join(solution.meaningless)}")
        return solution.fitted.loss(*(target[name].to_numpy(dtype=float) for name in LAWS[law].columns))

    return predict


def persistence(fitted: pd.DataFrame, target: pd.DataFrame) -> Array:
    """Larger compute buys nothing: the least loss so far."""
    return np.full(len(target), fitted["loss"].min())


def log_log_plane(fitted: pd.DataFrame, target: pd.DataFrame) -> Array:
    """ln L linear in ln N and ln D, by least squares: a power law without a floor."""

    def design(table: pd.DataFrame) -> Array:
        return np.column_stack([np.ones(len(table)), np.log(table["params"]), np.log(table["tokens"])])

    coefficients_3 = np.linalg.lstsq(design(fitted), np.log(fitted["loss"].to_numpy()), rcond=None)[0]
    return np.exp(design(target) @ coefficients_3)


BASELINES = {"persistence": persistence, "log-log plane": log_log_plane}


def _approach(name: str, fitted: pd.DataFrame, target: pd.DataFrame, params: FitParams) -> Row:
    best = target.nsmallest(1, "loss").iloc[0]
    try:
        found = APPROACHES[name](fitted, draws=100, seed=params.seed).to_dict()
        predicted = predicted_loss(found, float(best["flops"]))
    except ValueError as error:
        return Row(name, reason=str(error).removeprefix("points: "))
    return Row(name, best_run_rel_error=predicted / float(best["loss"]) - 1)
