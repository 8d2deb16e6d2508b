"""When does a model of a given size stop improving? D_sat(N, eps), and which kind of curve the runs speak for.

For every size, on fresh data and on each fixed set of tokens that was repeated, the loss against tokens is fitted by
three forms: a power law that never ends, a power law with a floor, and a power law that stops (laws `power`, `fixed-n`,
`stops`). D_sat(N, eps) is the number of tokens at which the elasticity -d ln L / d ln D falls below eps: doubling the
data then lowers the loss by less than 0.7 eps.

Branches of a cell share a trunk, so the forms are fitted and compared by generalised least squares with a cell effect:
evidence is a form's share of exp(-BIC / 2) (Schwarz 1978; Kass and Raftery 1995), and every interval comes from new
losses around the best form, each draw choosing its own form again, so that the choice's uncertainty is inside. A loss
that rises again, as on tokens repeated too often, is none of the three: such a curve says so.

Axes: N points, P draws, F forms, K coordinates, E values of eps, G places on a grid of tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.bootstrap import simulate_noise
from analysis.fit import MIN_LEVELS, Estimator, Observations, fit
from analysis.laws import LAWS, Array, Fitted, Law, Logs
from analysis.noise import Noise, noise_of
from analysis.params import FitParams
from analysis.points import validate_points

SCHEMA_VERSION = 1
FORMS = ("power", "fixed-n", "stops")
EPSILONS = (0.05, 0.03, 0.02, 0.01)
DECISIVE = 0.95
STILL_FALLING = 0.5  # share of the elasticity that is left where a curve counts as unended
FURTHEST = 100.0  # a D_sat further out than this many times the longest run is called unreached, not extrapolated
GRID_SIZE = 600
GAUSS_NEWTON_STEPS = 25
LEAST_NOISE = 1e-9  # runs that lie on their curve to the last digit still have a covariance to invert
LEAST_SQUARES = Estimator("least-squares")
Verdict = Literal["power", "fixed-n", "stops", "undetermined"]


class Unfit(ValueError):
    """The runs of a curve cannot say what is asked of them."""


def fit_saturation(
    points: pd.DataFrame, settings: FitParams, inputs: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The content of saturation.json: plain numbers, strings, lists and dicts only.

    Columns as in points.py; `unique_tokens`, where the table has it, tells repeated data from fresh. A curve with too
    few token counts is listed under `skipped` with the reason. Raises ValueError where no curve has enough.
    """
    num_dropped = points.attrs.get("num_dropped", 0)
    points = validate_points(points)
    curves, skipped = [], []
    for index, (table, unique_tokens) in enumerate(curves_of(points)):
        try:
            curves.append(study(table, unique_tokens, settings, index))
        except Unfit as error:
            label = {"params": float(table["params"].iloc[0]), "unique_tokens": unique_tokens}
            skipped.append({**label, "reason": str(error)})
    if not curves:
        raise ValueError(f"points: {skipped[0]['reason']}")
    return {
        "schema_version": SCHEMA_VERSION,
        "eps": list(EPSILONS),
        "sizes": [curve.to_dict() for curve in curves],
        "skipped": skipped,
        "num_dropped": num_dropped,
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
    """The three forms fitted to one curve, and the weight of each.

    `meaningless` names the parameters of the best that ran into the search box: the runs do not say where they end.
    """

    fitted: dict[str, Fitted]
    weights: dict[str, float]
    meaningless: str

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
            "best_share": float((self.choice_P == FORMS.index(self.forms.best)).mean()),
            "rises": self.rises,
            "fitted": {name: fitted.params for name, fitted in self.forms.fitted.items()},
            "noise": {"cell": self.noise.cell, "residual": self.noise.residual, "degrees": self.noise.degrees},
        }

    @property
    def rises(self) -> bool:
        """Whether the longest runs lie above the least mean loss by more than two standard deviations of the means."""
        points = self.points.assign(log_loss=np.log(self.points["loss"]))
        log_loss = points.groupby("tokens")["log_loss"].agg(["mean", "size"])
        deviation = (self.noise.residual or self.noise.cell) * np.sqrt(2 / log_loss["size"].min())
        return bool(log_loss["mean"].iloc[-1] - log_loss["mean"].min() > 2 * deviation)

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


def study(points: pd.DataFrame, unique_tokens: float | None, settings: FitParams, index: int = 0) -> Curve:
    """Fits and redraws one curve, the `index`-th of its table, whose noise is drawn apart from the others'.

    Raises Unfit where no form can be told from another, or where the form of most evidence has no end.
    """
    least = max(len(LAWS[name].coordinates) for name in FORMS) + 3
    have = points["tokens"].nunique()
    if have < least:
        raise Unfit(f"{have} token counts cannot tell three forms of curve apart; train {least} or more")
    forms, noise = fit_forms(points, settings.starts, settings.seed)
    if forms.meaningless:
        raise Unfit(f"the runs do not identify {forms.meaningless} of their curve; widen the token counts")
    rng = np.random.default_rng([settings.seed, index])
    chosen = forms.fitted[forms.best]
    logs = Observations.of(points, chosen.law).logs
    noise_PN = simulate_noise(points, noise.draw(settings.bootstrap, rng), rng)
    log_loss_PN = chosen.law.log_loss(chosen.theta_K[None], logs)[0] + noise_PN
    precision_NN, theta_FPK, sums_FP = precision_of(points, noise), {}, []
    for name, fitted in forms.fitted.items():
        start_PK = np.tile(fitted.theta_K, (settings.bootstrap, 1))
        theta_FPK[name], sums_P = generalised_fit(fitted.law, logs, log_loss_PN, start_PK, precision_NN)
        sums_FP.append(sums_P)
    choice_P = information_scores(np.array(sums_FP), len(points)).argmin(axis=0)
    return Curve(points, unique_tokens, forms, noise, theta_FPK, choice_P)


def fit_forms(points: pd.DataFrame, starts: int, seed: int) -> tuple[Forms, Noise]:
    """The three forms by generalised least squares, and the noise around the one that comes closest."""
    observations = {name: Observations.of(points, LAWS[name]) for name in FORMS}
    solutions = {name: fit(observations[name], LAWS[name], LEAST_SQUARES, starts, seed) for name in FORMS}
    closest = min(FORMS, key=lambda name: solutions[name].objective)
    law, theta_K, seen = LAWS[closest], solutions[closest].fitted.theta_K, observations[closest]
    expansion = law.expand(theta_K[None], seen.logs)
    noise = noise_of(points, seen.log_loss_N - expansion.log_loss_PN[0], expansion.jacobian_PNK[0])
    precision_NN, fitted, sums_F1 = precision_of(points, noise), {}, []
    for name, solution in solutions.items():
        law, start_1K = solution.fitted.law, solution.fitted.theta_K[None]
        theta_1K, sums_1 = generalised_fit(law, seen.logs, seen.log_loss_N[None], start_1K, precision_NN)
        fitted[name] = replace(solution, fitted=Fitted(law, theta_1K[0]))
        sums_F1.append(sums_1)
    score_F = information_scores(np.array(sums_F1), len(points))[:, 0]
    mass_F = np.exp(-0.5 * (score_F - score_F.min()))
    weights: dict[str, float] = dict(zip(FORMS, (mass_F / mass_F.sum()).tolist(), strict=True))
    best = max(weights, key=lambda name: weights[name])
    meaningless = ", ".join(fitted[best].meaningless)
    return Forms({name: one.fitted for name, one in fitted.items()}, weights, meaningless), noise


def precision_of(points: pd.DataFrame, noise: Noise) -> Array:
    """Inverse covariance of ln L over the runs, (N, N): one effect a cell, a residual a run, both with their slope."""
    cell_of_point, names = pd.factorize(points["cell"])
    member_NC = np.eye(len(names))[cell_of_point]
    residual = max(noise.residual, LEAST_NOISE)
    covariance_NN = noise.cell**2 * member_NC @ member_NC.T + residual**2 * np.eye(len(points))
    scale_N = np.exp(noise.slope * noise.compute.place(points["params"], points["tokens"]))
    return np.linalg.inv(covariance_NN * np.outer(scale_N, scale_N)).astype(np.float64)


def generalised_fit(
    law: Law, logs: Logs, log_loss_PN: Array, theta_PK: Array, precision_NN: Array
) -> tuple[Array, Array]:
    """Coordinates (P, K) of least r' precision r near `theta_PK`, and that sum of squares (P,).

    Levenberg's damped Gauss-Newton steps inside the law's search box, every problem with a damping of its own.
    """
    low_K, high_K = law.bounds_K2.T

    def sums(at_PK: Array) -> Array:
        residual_PN = log_loss_PN - law.log_loss(at_PK, logs)
        return ((residual_PN @ precision_NN) * residual_PN).sum(axis=1)

    sums_P, damping_P = sums(theta_PK), np.full(len(theta_PK), 1e-3)
    for _ in range(GAUSS_NEWTON_STEPS):
        expansion = law.expand(theta_PK, logs)
        weighted_PKN = np.swapaxes(expansion.jacobian_PNK, 1, 2) @ precision_NN
        normal_PKK = weighted_PKN @ expansion.jacobian_PNK
        slope_PK1 = weighted_PKN @ (log_loss_PN - expansion.log_loss_PN)[..., None]
        diagonal_PK = np.einsum("pkk->pk", normal_PKK) + 1e-12
        damped_PKK = normal_PKK + damping_P[:, None, None] * diagonal_PK[:, :, None] * np.eye(theta_PK.shape[1])
        tried_PK = np.clip(theta_PK + np.linalg.solve(damped_PKK, slope_PK1)[..., 0], low_K, high_K)
        tried_P = sums(tried_PK)
        better_P = tried_P < sums_P
        theta_PK = np.where(better_P[:, None], tried_PK, theta_PK)
        sums_P, damping_P = np.where(better_P, tried_P, sums_P), damping_P * np.where(better_P, 0.2, 5.0)
    return theta_PK, sums_P


def information_scores(sums_FP: Array, num_points: int) -> Array:
    """Schwarz's criterion (1978) of every form, (F, P), the noise's size estimated with the form: n ln(sum) + k ln n.

    A power law's runs come out decisively as another form in about one of twenty sweeps or fewer. The noise's shape
    (cells over runs, slope) is that of the closest form for all.
    """
    num_F1 = np.array([[len(LAWS[name].coordinates)] for name in FORMS])
    return np.array(num_points * np.log(np.maximum(sums_FP, 1e-300)) + num_F1 * np.log(num_points), dtype=float)


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

    By least squares on logarithms; the interval is over draws of all sizes. A draw with a D_sat that is not to be seen
    counts at the end that it lies beyond, and an end of the interval that would be such a draw is null.
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
            seen_SP, drawn_SP = [], []
            for curve in reached:
                drawn_P, furthest = curve.drawn_EP[row], FURTHEST * curve.span[1]
                seen_SP.append((drawn_P > curve.span[0]) & (drawn_P < furthest))
                drawn_SP.append(np.log(np.minimum(drawn_P, furthest)))
            seen_P = np.all(seen_SP, axis=0)
            exponent_P, log_factor_P = np.polyfit(log_params_S, np.array(drawn_SP), 1)
            found.append(
                {
                    "data": "fresh" if unique_tokens is None else "epochs",
                    "unique_tokens": unique_tokens,
                    "eps": eps,
                    "num_sizes": len(reached),
                    "k": float(np.exp(log_factor)),
                    "p": float(exponent),
                    "ci95": {"k": ends_among(np.exp(log_factor_P), seen_P), "p": ends_among(exponent_P, seen_P)},
                    "censored_share": float(1 - seen_P.mean()),
                }
            )
    return found


def ends_among(drawn_P: Array, seen_P: NDArray[np.bool_]) -> list[float | None]:
    """Ends of the middle 95% of the draws; null where the draw at that end is not `seen`."""
    order_P = np.argsort(drawn_P)
    places = (int(share * (len(order_P) - 1)) for share in (0.025, 0.975))
    return [float(drawn_P[order_P[place]]) if seen_P[order_P[place]] else None for place in places]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
