"""Scores of larger runs from those of smaller ones, in two steps: compute to nats a target token, nats to the score.

The first step (after the task losses of Bhagia et al. 2024, "Establishing task scaling laws via compute-efficient model
ladders") is a logistic fall of ln nats in log10 compute, to zero: the answers of a task are determined. Every midpoint
and width on a grid is weighed by its likelihood, so that a fall that has only begun is forecast with the wide interval
it deserves; where that interval is too wide to mean anything the task is said to be beyond a forecast. The second step
is chance + (1 - chance) exp(-c nats), after Schaeffer et al. 2023: c is about the number of target tokens.

Axes: J shapes, N fitted runs, M forecast runs, P draws.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import t as student

from analysis.emergence.shapes import TEN_TO_NINETY, Array
from analysis.emergence.table import scores_of
from analysis.emergence.training import last_checkpoints

FITTED_SHARE = 0.7  # of the scales, the lowest
MIN_FITTED_SCALES = 4
DRAWS = 2000
SMALLEST_NATS = 0.02  # added before logarithms: what lies far below it is solved, and its logarithm noise
LEAST_SPREAD = 0.05  # of ln nats, summed squares: seeds that agree by accident do not make a curve certain
WIDEST = 1.0  # nats between the ends of a 95% interval; a wider one forecasts nothing
NOTABLE_RISE = 0.2
MIDPOINT_STEP, BEFORE, BEYOND = 0.1, 1.0, 4.0  # decades, around the fitted runs
WIDTHS = np.geomspace(0.2, 8.0, 30)  # decades from 10 to 90%
TOKENS = np.geomspace(0.3, 100.0, 100)
TYPICAL_TOKENS, TOKENS_SPREAD = 5.0, 1.0  # of ln c, before any score has left chance


def forecast_table(table: pd.DataFrame, labels: Mapping[tuple[str, str], str], seed: int = 0) -> dict[str, Any]:
    """The content of emergence.json's `forecast`: every task whose table has log-likelihoods, fitted below a cut.

    `labels` are those found with all runs, by (task, metric): what the forecast should have foreseen. Errors are nats a
    target token (a character, where `continuous` is that) of single runs. Raises ValueError as `scores_of` does.
    """
    scores = scores_of(table)
    if "continuous" not in scores:
        return {"cut_compute": None, "rows": [], "tasks": []}
    scores = scores[scores["continuous"].notna()]
    rows, tasks = [], []
    scales = np.sort(scores["compute"].unique())
    cut = float(scales[max(0, int(FITTED_SHARE * len(scales)) - 1)]) if len(scales) else None
    for (task, metric), own in scores.groupby(["task", "metric"], sort=False):
        rng = np.random.default_rng([seed, zlib.crc32(f"{task}\n{metric}".encode())])
        found = _forecast_task(last_checkpoints(own), cut, rng)
        if found is None:
            continue
        named = {"task": str(task), "metric": str(metric)}
        label = labels.get((str(task), str(metric)))
        tasks.append(named | {"label": label} | found[0])
        rows += [named | row for row in found[1]]
    return {"cut_compute": cut, "rows": rows, "tasks": tasks} | _summary(rows, tasks)


def _forecast_task(
    own: pd.DataFrame, cut: float | None, rng: np.random.Generator
) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The verdict on a task and a row a run beyond the cut; None where there is nothing to fit or to forecast."""
    fitted, ahead = own[own["compute"] <= cut], own[own["compute"] > cut]
    if fitted["compute"].nunique() < MIN_FITTED_SCALES or ahead.empty or (own["continuous"] > 0).any():
        return None
    x_N, x_M = (np.log10(part["compute"].to_numpy()) for part in (fitted, ahead))
    nats_N, nats_M = (-part["continuous"].to_numpy() for part in (fitted, ahead))
    nats_PM = draw_nats(x_N, nats_N, x_M, rng)
    score_PM = draw_scores(fitted, nats_PM, rng)
    low_M, predicted_M, high_M = np.quantile(nats_PM, (0.025, 0.5, 0.975), axis=0)
    chance = float(own["chance"].iloc[0])
    largest = fitted["compute"] == fitted["compute"].max()
    persistence = float(nats_N[largest].mean())
    rises = float((score_PM[:, np.argmax(x_M)] >= chance + NOTABLE_RISE).mean())
    seen = float(fitted["value"][largest].mean()) >= chance + NOTABLE_RISE
    widest = float((high_M - low_M).max())
    verdict = {
        "can_be_forecast": widest <= WIDEST,
        "widest_interval": widest,
        "probability_of_rise": rises,
        "risen_below_cut": bool(seen),
        "mean_absolute_error": float(np.abs(predicted_M - nats_M).mean()),
        "persistence_error": float(np.abs(persistence - nats_M).mean()),
    }
    rows = [
        {
            "run": str(run),
            "compute": float(compute),
            "observed": float(nats),
            "predicted": float(predicted),
            "pi95": [float(low), float(high)],
            "persistence": persistence,
            "score": float(score),
            "score_predicted": float(score_predicted),
        }
        for run, compute, nats, predicted, low, high, score, score_predicted in zip(
            ahead["run"] if "run" in ahead else ahead["seed"],
            ahead["compute"], nats_M, predicted_M, low_M, high_M, ahead["value"], score_PM.mean(axis=0),
            strict=True,
        )
    ]  # fmt: skip
    return verdict, rows


@dataclass(frozen=True)
class Falls:
    """Logistic falls fitted to ln nats by least squares, each with its weight among the others."""

    midpoint_J: Array
    width_J: Array
    level_J: Array
    spread_J: Array
    weight_J: Array

    @staticmethod
    def of(x_N: Array, nats_N: Array) -> "Falls":
        """A level for every shape in closed form; the weight is the likelihood with level and spread integrated out."""
        midpoints = np.arange(x_N.min() - BEFORE, x_N.max() + BEYOND, MIDPOINT_STEP)
        midpoint_J, width_J = (axis.ravel() for axis in np.meshgrid(midpoints, WIDTHS))
        residual_JN = np.log(nats_N + SMALLEST_NATS) - log_fall(x_N, midpoint_J, width_J)
        level_J = residual_JN.mean(axis=1)
        squares_J = ((residual_JN - level_J[:, None]) ** 2).sum(axis=1) + LEAST_SPREAD
        num = len(x_N)
        log_weight_J = -0.5 * (num - 1) * np.log(squares_J)
        weight_J = np.exp(log_weight_J - log_weight_J.max())
        spread_J = np.sqrt(squares_J / (num - 1) * (1 + 1 / num))
        return Falls(midpoint_J, width_J, level_J, spread_J, weight_J / weight_J.sum())


def log_fall(x: Array, midpoint_J: Array, width_J: Array) -> Array:
    """ln of the logistic that falls from one to zero, [J, len(x)]."""
    steepness_J = TEN_TO_NINETY / width_J
    return np.log(expit(-(x - midpoint_J[:, None]) * steepness_J[:, None]))


def draw_nats(x_N: Array, nats_N: Array, x_M: Array, rng: np.random.Generator) -> Array:
    """Draws of single runs' nats at the computes 10**x_M, [P, M]: shapes by their weight, Student's t around each."""
    falls = Falls.of(x_N, nats_N)
    chosen = rng.choice(len(falls.weight_J), DRAWS, p=falls.weight_J)
    noise_PM = student.rvs(len(x_N) - 1, size=(DRAWS, len(x_M)), random_state=rng)
    centre_PM = falls.level_J[chosen, None] + log_fall(x_M, falls.midpoint_J[chosen], falls.width_J[chosen])
    return np.maximum(0.0, np.exp(centre_PM + falls.spread_J[chosen, None] * noise_PM) - SMALLEST_NATS)


def draw_scores(fitted: pd.DataFrame, nats_PM: Array, rng: np.random.Generator) -> Array:
    """The second step for every draw, with c drawn by its binomial likelihood in the fitted runs."""
    right, num_items = (fitted["value"] * fitted["num_items"]).to_numpy(), fitted["num_items"].to_numpy()
    chance, nats_N = float(fitted["chance"].iloc[0]), -fitted["continuous"].to_numpy()
    share_CN = np.clip(_score(TOKENS[:, None], nats_N, chance), 1e-4, 1 - 1e-4)
    log_weight_C = (right * np.log(share_CN) + (num_items - right) * np.log1p(-share_CN)).sum(axis=1)
    log_weight_C -= 0.5 * (np.log(TOKENS / TYPICAL_TOKENS) / TOKENS_SPREAD) ** 2
    weight_C = np.exp(log_weight_C - log_weight_C.max())
    tokens_P = rng.choice(TOKENS, len(nats_PM), p=weight_C / weight_C.sum())
    return _score(tokens_P[:, None], nats_PM, chance)


def _score(tokens: Array, nats: Array, chance: float) -> Array:
    return chance + (1 - chance) * np.exp(-tokens * nats)


def _summary(rows: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors over the pairs of run and task that can be forecast, and what was foreseen of emergence.

    An emergent task that had not risen below the cut is predicted where a rise was likelier than not, beyond a forecast
    where none was given, else missed.
    """
    able = {(task["task"], task["metric"]) for task in tasks if task["can_be_forecast"]}
    judged = [row for row in rows if (row["task"], row["metric"]) in able]
    later = [task for task in tasks if task["label"] == "emergent" and not task["risen_below_cut"]]
    predicted = [task for task in later if task["can_be_forecast"] and task["probability_of_rise"] >= 0.5]
    beyond = [task for task in later if not task["can_be_forecast"]]

    def mean(values: list[float]) -> float | None:
        return float(np.mean(values)) if values else None

    return {
        "num_pairs": len(judged),
        "mean_absolute_error": mean([abs(row["predicted"] - row["observed"]) for row in judged]),
        "persistence_error": mean([abs(row["persistence"] - row["observed"]) for row in judged]),
        "coverage": mean([float(row["pi95"][0] <= row["observed"] <= row["pi95"][1]) for row in judged]),
        "coverage_of_all": mean([float(row["pi95"][0] <= row["observed"] <= row["pi95"][1]) for row in rows]),
        "score_error": mean([abs(row["score_predicted"] - row["score"]) for row in judged]),
        "num_emergent_above_cut": len(later),
        "num_emergent_predicted": len(predicted),
        "num_emergent_beyond_forecast": len(beyond),
    }
