"""When does a model of a given size stop improving? D_sat(N, eps), and which kind of curve the runs speak for.

For every size, on fresh data and on each fixed set of tokens that was repeated, the loss against tokens is fitted by
three forms: a power law that never ends, a power law with a floor, and a power law that stops (laws `power`, `fixed-n`,
`stops`). D_sat(N, eps) is the number of tokens at which the elasticity -d ln L / d ln D falls below eps: doubling the
data then lowers the loss by less than 0.7 eps.

Branches of a cell share a trunk, so the forms are compared by generalised least squares with a cell effect: evidence is
the Akaike weight with the small-sample correction (Burnham and Anderson 2002), and every interval comes from new losses
around the best form, each draw choosing its own form again, so that the choice's uncertainty is inside.

Axes: N points, P draws, F forms, K coordinates, E values of eps, G places on a grid of tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.bootstrap import simulate_noise
from analysis.fit import MIN_LEVELS, Estimator, Observations, fit
from analysis.laws import LAWS, Array, Fitted, Law
from analysis.noise import Noise, noise_of
from analysis.params import FitParams
from analysis.points import validate_points
from analysis.predict import middle_95

SCHEMA_VERSION = 1
FORMS = ("power", "fixed-n", "stops")
EPSILONS = (0.05, 0.03, 0.02, 0.01)
DECISIVE = 0.95
STILL_FALLING = 0.5  # share of the elasticity that is left where a curve counts as unended
FURTHEST = 100.0  # a D_sat further out than this many times the longest run is called unreached, not extrapolated
GRID_SIZE = 600
LEAST_SQUARES = Estimator("least-squares")
Verdict = Literal["power", "fixed-n", "stops", "undetermined"]


def fit_saturation(
    points: pd.DataFrame, settings: FitParams, inputs: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The content of saturation.json: plain numbers, strings, lists and dicts only.

    Columns as in points.py; `unique_tokens`, where the table has it, tells repeated data from fresh. A curve with too
    few token counts is listed under `skipped` with the reason. Raises ValueError where no curve has enough.
    """
    points = validate_points(points)
    curves, skipped = [], []
    for table, unique_tokens in curves_of(points):
        try:
            curves.append(study(table, unique_tokens, settings))
        except ValueError as error:
            label = {"params": float(table["params"].iloc[0]), "unique_tokens": unique_tokens}
            skipped.append({**label, "reason": str(error).removeprefix("points: ")})
    if not curves:
        raise ValueError(f"points: {skipped[0]['reason']} at one size")
    return {
        "schema_version": SCHEMA_VERSION,
        "eps": list(EPSILONS),
        "sizes": [curve.to_dict() for curve in curves],
        "skipped": skipped,
        "law": laws_of(curves),
        "bootstrap": {"draws": settings.bootstrap, "seed": settings.seed},
        "inputs": dict(inputs or {}),
    }


def curves_of(points: pd.DataFrame) -> list[tuple[pd.DataFrame, float | None]]:
    """The runs of each size, on fresh data (None) and on each set of unique tokens that a cell saw more than once."""
    if "unique_tokens" not in points:
        return [(table, None) for _, table in points.groupby("params")]
    cell, unique = points["cell"], points["unique_tokens"]
    repeats = (unique < points["tokens"]).groupby(cell).transform("any")
    set_of_run = unique.groupby(cell).transform("max").where(repeats, np.inf)
    labels = pd.DataFrame({"params": points["params"], "unique": set_of_run})
    kinds = labels.drop_duplicates().sort_values(["params", "unique"]).to_numpy(dtype=float)
    return [(points[(labels == kind).all(axis=1)], None if np.isinf(kind[1]) else float(kind[1])) for kind in kinds]


@dataclass(frozen=True)
class Forms:
    """The three forms fitted to one curve, and the weight of each."""

    fitted: dict[str, Fitted]
    weights: dict[str, float]

    @property
    def best(self) -> str:
        """The form with the greatest weight."""
        return max(self.weights, key=lambda name: self.weights[name])


@dataclass(frozen=True)
class Curve:
    """One size on one kind of data: its forms, and what other seeds might have given.

    `theta_FPK` are the forms refitted to each draw, `choice_P` the place in FORMS of the one each draw takes.
    """

    points: pd.DataFrame
    unique_tokens: float | None
    forms: Forms
    noise: Noise
    theta_FPK: dict[str, Array]
    choice_P: NDArray[np.intp]

    @property
    def params(self) -> float:
        """Non-embedding parameters."""
        return float(self.points["params"].iloc[0])

    @property
    def span(self) -> tuple[float, float]:
        """Tokens of the shortest and of the longest run."""
        return float(self.points["tokens"].min()), float(self.points["tokens"].max())

    @cached_property
    def tokens_E(self) -> Array:
        """D_sat by eps; infinite where it is not to be seen."""
        chosen = self.forms.fitted[self.forms.best]
        return np.array([saturation_tokens(chosen.law, chosen.theta_K[None], eps, self.span)[0] for eps in EPSILONS])

    @cached_property
    def drawn_EP(self) -> Array:
        """D_sat by eps in every draw, by the form that the draw takes."""
        found_EP = np.empty((len(EPSILONS), len(self.choice_P)))
        for index, name in enumerate(FORMS):
            picked_P = self.choice_P == index
            for row, eps in enumerate(EPSILONS):
                found_EP[row, picked_P] = saturation_tokens(LAWS[name], self.theta_FPK[name][picked_P], eps, self.span)
        return found_EP

    def to_dict(self) -> dict[str, Any]:
        """One entry of `sizes` in saturation.json; null stands for a number of tokens that is not to be seen."""
        longest = self.span[1]
        entries = []
        for eps, tokens, drawn_P in zip(EPSILONS, self.tokens_E, self.drawn_EP, strict=True):
            ends = np.quantile(drawn_P, (0.025, 0.975), method="closest_observation")
            entries.append(
                {
                    "eps": eps,
                    "tokens": _finite(tokens),
                    "ci95": [_finite(end) for end in ends],
                    "reached": bool(tokens <= longest),
                    "reached_share": float((drawn_P <= longest).mean()),
                }
            )
        return {
            "params": self.params,
            "data": "fresh" if self.unique_tokens is None else "epochs",
            "unique_tokens": self.unique_tokens,
            "num_cells": self.points["cell"].nunique(),
            "num_runs": len(self.points),
            "shortest_tokens": self.span[0],
            "longest_tokens": longest,
            "d_sat": entries,
            "models": self.forms.weights,
            "verdict": self.verdict,
            "verdict_share": float((self.choice_P == FORMS.index(self.forms.best)).mean()),
            "fitted": {name: fitted.params for name, fitted in self.forms.fitted.items()},
            "noise": {"cell": self.noise.cell, "residual": self.noise.residual, "degrees": self.noise.degrees},
        }

    @property
    def verdict(self) -> Verdict:
        """Which curve the runs speak for, or undetermined.

        A floor or a stop needs a decisive weight. A power law is inside both, so that no weight can be decisive for it:
        it needs the greatest weight, and a floor that other seeds might have shown must have left, at the longest run,
        most of the elasticity that there was at the shortest.
        """
        best = self.forms.best
        if best != "power":
            return best if self.forms.weights[best] >= DECISIVE else "undetermined"  # pyright: ignore[reportReturnType]
        start_P, end_P = elasticity(LAWS["fixed-n"], self.theta_FPK["fixed-n"], np.log(self.span)).T
        left_P = end_P / np.maximum(start_P, 1e-12)
        return "power" if float(np.quantile(left_P, 1 - DECISIVE)) > STILL_FALLING else "undetermined"


def study(points: pd.DataFrame, unique_tokens: float | None, settings: FitParams) -> Curve:
    """Fits and redraws one curve; raises ValueError where there are too few token counts to tell three forms apart."""
    forms, noise = fit_forms(points, settings.starts, settings.seed)
    rng = np.random.default_rng(settings.seed)
    chosen = forms.fitted[forms.best]
    logs = Observations.of(points, chosen.law).logs
    noise_PN = simulate_noise(points, noise.draw(settings.bootstrap, rng), rng)
    log_loss_PN = chosen.law.log_loss(chosen.theta_K[None], logs)[0] + noise_PN
    theta_FPK, residual_FPN = {}, {}
    for name, fitted in forms.fitted.items():
        start_PK = np.tile(fitted.theta_K, (settings.bootstrap, 1))
        theta_FPK[name] = LEAST_SQUARES.solve(fitted.law, logs, log_loss_PN, start_PK)[0]
        residual_FPN[name] = log_loss_PN - fitted.law.log_loss(theta_FPK[name], logs)
    choice_P = akaike_scores(points, residual_FPN, noise).argmin(axis=0)
    return Curve(points, unique_tokens, forms, noise, theta_FPK, choice_P)


def fit_forms(points: pd.DataFrame, starts: int, seed: int) -> tuple[Forms, Noise]:
    """The three forms by least squares, and the noise around the one with the least squares."""
    least = max(len(LAWS[name].coordinates) for name in FORMS) + 2
    if points["tokens"].nunique() < least:
        have = points["tokens"].nunique()
        raise ValueError(f"points: {have} token counts cannot tell three forms of curve apart; train {least} or more")
    solutions = {
        name: fit(Observations.of(points, LAWS[name]), LAWS[name], LEAST_SQUARES, starts, seed) for name in FORMS
    }
    fitted = {name: solution.fitted for name, solution in solutions.items()}
    residual_F1N = {name: _residual(points, one)[None] for name, one in fitted.items()}
    closest = min(FORMS, key=lambda name: solutions[name].objective)
    law, theta_1K = fitted[closest].law, fitted[closest].theta_K[None]
    jacobian_NK = law.expand(theta_1K, Observations.of(points, law).logs).jacobian_PNK[0]
    noise = noise_of(points, residual_F1N[closest][0], jacobian_NK)
    score_F = akaike_scores(points, residual_F1N, noise)[:, 0]
    mass_F = np.exp(-0.5 * (score_F - score_F.min()))
    return Forms(fitted, dict(zip(FORMS, (mass_F / mass_F.sum()).tolist(), strict=True))), noise


def akaike_scores(points: pd.DataFrame, residual_FPN: Mapping[str, Array], noise: Noise) -> Array:
    """AICc of every form, (F, P): chi-squared under the noise's covariance plus twice the parameters, corrected."""
    cell_of_point, names = pd.factorize(points["cell"])
    member_NC = np.eye(len(names))[cell_of_point]
    covariance_NN = noise.cell**2 * member_NC @ member_NC.T + noise.residual**2 * np.eye(len(points))
    if len(names) == len(points):
        covariance_NN = noise.cell**2 * np.eye(len(points))
    precision_NN = np.linalg.inv(covariance_NN)
    scores = []
    for name in FORMS:
        num, residual_PN = len(LAWS[name].coordinates), residual_FPN[name]
        correction = 2 * num * (num + 1) / max(1, len(points) - num - 1)
        scores.append(((residual_PN @ precision_NN) * residual_PN).sum(axis=1) + 2 * num + correction)
    return np.array(scores)


def elasticity(law: Law, theta_PK: Array, log_tokens_G: Array) -> Array:
    """-d ln L / d ln D at every place, (P, G), by central difference of the law."""
    step = 1e-4
    low_PG, high_PG = (law.log_loss(theta_PK, {"tokens": log_tokens_G + shift}) for shift in (-step, step))
    return (low_PG - high_PG) / (2 * step)


def saturation_tokens(law: Law, theta_PK: Array, eps: float, span: tuple[float, float]) -> Array:
    """The tokens from which the elasticity stays below eps, (P,).

    Infinite where it has not fallen so far at FURTHEST times the longest run of `span`; the shortest run's tokens where
    it had before.
    """
    log_tokens_G = np.linspace(np.log(span[0]), np.log(FURTHEST * span[1]), GRID_SIZE)
    excess_PG = elasticity(law, theta_PK, log_tokens_G) - eps
    last_P = np.where(excess_PG >= 0, np.arange(GRID_SIZE), -1).max(axis=1)
    inside_P = np.clip(last_P, 0, GRID_SIZE - 2)
    row_P = np.arange(len(theta_PK))
    before_P, after_P = excess_PG[row_P, inside_P], excess_PG[row_P, inside_P + 1]
    share_P = np.clip(before_P / np.where(before_P > after_P, before_P - after_P, 1.0), 0.0, 1.0)
    crossing_P = np.exp(log_tokens_G[inside_P] + share_P * (log_tokens_G[1] - log_tokens_G[0]))
    return np.where(last_P < 0, span[0], np.where(last_P == GRID_SIZE - 1, np.inf, crossing_P))


def laws_of(curves: list[Curve]) -> list[dict[str, Any]]:
    """D_sat = k N^p for each kind of data and eps that three sizes or more reached within their runs.

    By least squares on logarithms; the interval is over draws of all sizes, null where some of them do not reach eps.
    """
    found = []
    for unique_tokens in dict.fromkeys(curve.unique_tokens for curve in curves):
        alike = [curve for curve in curves if curve.unique_tokens == unique_tokens]
        for row, eps in enumerate(EPSILONS):
            reached = [curve for curve in alike if curve.span[0] < curve.tokens_E[row] <= curve.span[1]]
            if len(reached) < MIN_LEVELS:
                continue
            log_params_S = np.log([curve.params for curve in reached])
            exponent, log_factor = np.polyfit(log_params_S, np.log([curve.tokens_E[row] for curve in reached]), 1)
            drawn_SP = np.log(np.stack([curve.drawn_EP[row] for curve in reached]))
            whole_P = np.isfinite(drawn_SP).all(axis=0)
            ci95: dict[str, list[float] | None] = {"k": None, "p": None}
            if whole_P.mean() >= DECISIVE:
                exponent_2, log_factor_2 = np.array(middle_95(np.polyfit(log_params_S, drawn_SP[:, whole_P], 1).T)).T
                ci95 = {"k": np.exp(log_factor_2).tolist(), "p": exponent_2.tolist()}
            found.append(
                {
                    "data": "fresh" if unique_tokens is None else "epochs",
                    "unique_tokens": unique_tokens,
                    "eps": eps,
                    "num_sizes": len(reached),
                    "k": float(np.exp(log_factor)),
                    "p": float(exponent),
                    "ci95": ci95,
                    "reached_share": float(whole_P.mean()),
                }
            )
    return found


def _residual(points: pd.DataFrame, fitted: Fitted) -> Array:
    observations = Observations.of(points, fitted.law)
    return observations.log_loss_N - fitted.law.log_loss(fitted.theta_K[None], observations.logs)[0]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
