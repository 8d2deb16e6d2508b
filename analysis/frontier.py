"""Compute-optimal runs against compute: N_opt = G C^a, D_opt = H C^b, L_opt = E + K / C^gamma.

Approaches 1 and 2 of Hoffmann et al. (2022) each find optimal runs; what they make of them is here. The lines are
weighted least squares of ln N and ln D on ln C, the loss is least squares of ln L.

Axes: B optima, P draws; the first of P is the estimate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import qmc

from analysis.laws import Array, PowerSum, Term
from analysis.predict import QUANTILES
from analysis.solver import minimise

MIN_OPTIMA = 3
MIN_OPTIMA_LOSS = 4  # three parameters and one optimum to spare
MIN_DRAWS = 0.5  # the share of draws that must find MIN_OPTIMA optima
STARTS = 16
REACH, NUM_BAND = 10.0, 25  # how far beyond the optima the lines are drawn, in how many points
NO_LOSS = f"points: fewer than {MIN_OPTIMA_LOSS} optima say nothing of the loss beyond them; add budgets or sizes"
LOSS = PowerSum("frontier", "E + K/C^gamma", (Term("K", {"flops": "gamma"}), Term("E")))


@dataclass(frozen=True)
class Line:
    """ln y = level + slope (ln C - center), (P,) each: the estimate, then the draws."""

    center: float
    level_P: Array
    slope_P: Array

    @property
    def exponent(self) -> float:
        """The estimated slope."""
        return float(self.slope_P[0])

    @property
    def coefficient(self) -> float:
        """The estimated y at one FLOP."""
        return float(np.exp(self.level_P[0] - self.slope_P[0] * self.center))

    def at(self, log_flops_B: Array) -> Array:
        """ln y, (P, B)."""
        return self.level_P[:, None] + self.slope_P[:, None] * (log_flops_B - self.center)


@dataclass(frozen=True)
class Estimates:
    """Estimates of some quantity and the ends of their 95% intervals, (B,) each."""

    value_B: Array
    low_B: Array
    high_B: Array

    @staticmethod
    def of(draws_PB: Array) -> "Estimates":
        """The first row with the middle 95% of the others."""
        low_B, high_B = np.percentile(draws_PB[1:], QUANTILES, axis=0)
        return Estimates(draws_PB[0], low_B, high_B)

    def to_dict(self) -> dict[str, list[float]]:
        """Three lists."""
        return {"value": self.value_B.tolist(), "low": self.low_B.tolist(), "high": self.high_B.tolist()}


@dataclass(frozen=True)
class Frontier:
    """The three power laws with their draws, and the compute of the optima behind them."""

    log_flops_B: Array
    params: Line
    tokens: Line
    theta_PK: Array | None  # of the loss: ln K, ln E, gamma; None where the optima are too few for it

    def optimal(self, flops: ArrayLike) -> tuple[Estimates, Estimates]:
        """Parameters and tokens of the best run with each compute."""
        log_flops_B = np.log(np.atleast_1d(np.asarray(flops, dtype=float)))
        return Estimates.of(np.exp(self.params.at(log_flops_B))), Estimates.of(np.exp(self.tokens.at(log_flops_B)))

    def loss(self, flops: ArrayLike) -> Estimates:
        """Nats a token of the best run with each compute, also beyond the fitted range.

        The interval is of the expected loss: one further run adds the noise of its seed. Raises ValueError where the
        optima are too few.
        """
        if self.theta_PK is None:
            raise ValueError(NO_LOSS)
        log_flops_B = np.log(np.atleast_1d(np.asarray(flops, dtype=float)))
        return Estimates.of(np.exp(LOSS.log_loss(self.theta_PK, {"flops": log_flops_B})))

    def to_dict(self) -> dict:
        """Exponents, coefficients and the loss with their 95% intervals: plain numbers, lists and dicts.

        `bands` are the lines with their intervals from the least compute to REACH times the largest.
        """
        flops = np.exp(np.linspace(self.log_flops_B.min(), self.log_flops_B.max() + np.log(REACH), NUM_BAND))
        params, tokens = self.optimal(flops)
        bands = {"flops": flops.tolist(), "params": params.to_dict(), "tokens": tokens.to_dict()}
        return {
            "exponents": {
                "a": self.params.exponent,
                "b": self.tokens.exponent,
                "a_ci95": interval(self.params.slope_P[1:]),
                "b_ci95": interval(self.tokens.slope_P[1:]),
            },
            "coefficients": {"params": self.params.coefficient, "tokens": self.tokens.coefficient},
            "loss": None if self.theta_PK is None else _loss_dict(self.theta_PK),
            "num_draws": len(self.params.slope_P) - 1,
            "bands": bands if self.theta_PK is None else bands | {"loss": self.loss(flops).to_dict()},
        }


def enough(found_PB: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows have at least MIN_OPTIMA optima; raises ValueError where most draws have not."""
    enough_P = found_PB.sum(axis=1) >= MIN_OPTIMA
    assert enough_P[0]
    if enough_P[1:].mean() < MIN_DRAWS:
        raise ValueError(
            f"points: within their noise {1 - enough_P[1:].mean():.0%} of draws have fewer than {MIN_OPTIMA} optima; "
            "train more sizes, farther apart, or more seeds"
        )
    return enough_P


def around_estimate(values_PB: Array, factor: float = 1.0) -> Array:
    """Draws moved to have the estimate as their mean, and `factor` times as far from it.

    The least of noisy losses is low by chance, and a draw, noise added to noise, lower again.
    """
    found_PB = np.isfinite(values_PB[1:])
    mean_B = np.where(found_PB, values_PB[1:], 0.0).sum(axis=0) / np.maximum(found_PB.sum(axis=0), 1)
    return np.concatenate([values_PB[:1], values_PB[0] + factor * (values_PB[1:] - mean_B)])


def fit_line(log_flops_PB: Array, y_PB: Array, weights_PB: Array) -> Line:
    """Weighted least squares of every row; a weight of zero leaves an optimum out, whatever its value."""
    share_PB = weights_PB / weights_PB.sum(axis=1, keepdims=True)
    x_PB, y_PB = (np.where(share_PB > 0, values_PB, 0.0) for values_PB in (log_flops_PB, y_PB))
    center = float(share_PB[0] @ x_PB[0])
    x_PB = x_PB - center
    mean_x_P, mean_y_P = (share_PB * x_PB).sum(axis=1), (share_PB * y_PB).sum(axis=1)
    apart_PB = x_PB - mean_x_P[:, None]
    slope_P = (share_PB * apart_PB * (y_PB - mean_y_P[:, None])).sum(axis=1) / (share_PB * apart_PB**2).sum(axis=1)
    return Line(center, mean_y_P - slope_P * mean_x_P, slope_P)


def fit_losses(log_flops_B: Array, log_loss_PB: Array, seed: int) -> Array | None:
    """Coordinates (P, K) of LOSS for every row, whose NaN are left out; None where optima are too few."""
    if len(log_flops_B) < MIN_OPTIMA_LOSS:
        return None
    logs, weights_PB = {"flops": log_flops_B}, np.isfinite(log_loss_PB).astype(float)
    log_loss_PB = np.where(weights_PB > 0, log_loss_PB, 0.0)
    unit_PS = qmc.Halton(LOSS.num_shapes, rng=np.random.default_rng(seed)).random(STARTS)
    start_PK = LOSS.starting_points(logs, np.exp(log_loss_PB[0]), unit_PS)
    tried_PK, objective_P = minimise(LOSS, logs, log_loss_PB[0], start_PK, np.inf, weights_PN=weights_PB[:1])
    start_PK = np.tile(tried_PK[np.argmin(objective_P)], (len(log_loss_PB), 1))
    return minimise(LOSS, logs, log_loss_PB, start_PK, np.inf, weights_PN=weights_PB)[0]


def predicted_loss(approach: dict, flops: float) -> float:
    """Nats a token that an approach, as `Frontier.to_dict` gives it, expects of the best run with `flops`.

    Raises ValueError where its optima were too few for a law of the loss.
    """
    if approach["loss"] is None:
        raise ValueError(NO_LOSS)
    fitted = approach["loss"]["params"]
    return fitted["E"] + fitted["K"] * flops ** -fitted["gamma"]


def interval(draws_P: Array) -> list[float]:
    """The middle 95% of the draws."""
    return [float(end) for end in np.percentile(draws_P, QUANTILES)]


def _loss_dict(theta_PK: Array) -> dict:
    values_PK = LOSS.values(theta_PK)
    near_K2 = np.abs(theta_PK[0, :, None] - LOSS.bounds_K2) < 1e-6
    return {
        "formula": LOSS.formula,
        "params": dict(zip(LOSS.names, values_PK[0].tolist(), strict=True)),
        "ci95": {name: interval(values_PK[1:, k]) for k, name in enumerate(LOSS.names)},
        "unidentified": [name for name, near_2 in zip(LOSS.names, near_K2, strict=True) if near_2.any()],
    }
