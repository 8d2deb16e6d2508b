"""Compute-optimal runs against compute: N_opt = G C^a, D_opt = H C^b, L_opt = E + K / C^gamma.

Approaches 1 and 2 of Hoffmann et al. (2022) each find optimal runs; what they make of them is here. Axes: P draws,
B optima. The lines are weighted least squares of ln N and ln D on ln C, the loss is least squares of ln L.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import qmc

from analysis.laws import Array, PowerSum, Term
from analysis.solver import minimise

QUANTILES = (2.5, 97.5)
MIN_OPTIMA = 3
MIN_OPTIMA_FLOOR = 4  # three parameters of the loss and one optimum to spare
MIN_DRAWS = 0.5  # the share of draws that must find MIN_OPTIMA optima
STARTS = 16
REACH, NUM_BAND = 10.0, 25  # how far beyond the optima the lines are drawn, in how many points
LOSS = PowerSum("frontier", "E + K/C^gamma", (Term("K", {"flops": "gamma"}), Term("E")))


@dataclass(frozen=True)
class Optima:
    """Natural logarithms of compute-optimal runs. The first row of (P, B) is the estimate, the others are draws.

    An optimum that a draw does not find is NaN. `weights_B` is what each is worth to the lines of N and D; to the loss,
    which is known far better than they, all are worth the same.
    """

    log_flops_B: Array
    log_params_PB: Array
    log_tokens_PB: Array
    log_loss_PB: Array
    weights_B: Array


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
    theta_PK: Array  # of the loss: ln K, ln E, gamma

    def optimal(self, flops: ArrayLike) -> tuple[Estimates, Estimates]:
        """Parameters and tokens of the best run with each compute."""
        log_flops_B = np.log(np.atleast_1d(np.asarray(flops, dtype=float)))
        return Estimates.of(np.exp(self.params.at(log_flops_B))), Estimates.of(np.exp(self.tokens.at(log_flops_B)))

    def loss(self, flops: ArrayLike) -> Estimates:
        """Nats a token of the best run with each compute, also beyond the fitted range.

        The interval is of the expected loss: one further run adds the noise of its seed.
        """
        log_flops_B = np.log(np.atleast_1d(np.asarray(flops, dtype=float)))
        return Estimates.of(np.exp(LOSS.log_loss(self.theta_PK, {"flops": log_flops_B})))

    def to_dict(self) -> dict:
        """Exponents, coefficients and the loss with their 95% intervals: plain numbers, lists and dicts."""
        values_PK = LOSS.values(self.theta_PK)
        at_edge_K = (np.abs(self.theta_PK[0, :, None] - LOSS.bounds_K2) < 1e-6).any(axis=1)
        return {
            "exponents": {
                "a": self.params.exponent,
                "b": self.tokens.exponent,
                "a_ci95": interval(self.params.slope_P[1:]),
                "b_ci95": interval(self.tokens.slope_P[1:]),
            },
            "coefficients": {"params": self.params.coefficient, "tokens": self.tokens.coefficient},
            "loss": {
                "formula": LOSS.formula,
                "params": dict(zip(LOSS.names, values_PK[0].tolist(), strict=True)),
                "ci95": {name: interval(values_PK[1:, k]) for k, name in enumerate(LOSS.names)},
                "unidentified": [name for name, at_edge in zip(LOSS.names, at_edge_K, strict=True) if at_edge],
            },
            "num_draws": len(self.theta_PK) - 1,
            "bands": self._bands(),
        }

    def _bands(self) -> dict[str, dict[str, list[float]] | list[float]]:
        """The lines with their intervals, drawn from the least compute to REACH times the largest."""
        flops = np.exp(np.linspace(self.log_flops_B.min(), self.log_flops_B.max() + np.log(REACH), NUM_BAND))
        params, tokens = self.optimal(flops)
        found = {"params": params, "tokens": tokens, "loss": self.loss(flops)}
        return {"flops": flops.tolist()} | {name: values.to_dict() for name, values in found.items()}


def fit_frontier(optima: Optima, seed: int) -> Frontier:
    """The same estimator for the first row and for every draw that finds enough optima.

    Raises ValueError where most draws do not.
    """
    found_PB = np.isfinite(optima.log_params_PB)
    enough_P = found_PB.sum(axis=1) >= MIN_OPTIMA
    if enough_P[1:].mean() < MIN_DRAWS:
        raise ValueError(
            f"points: within their noise {1 - enough_P[1:].mean():.0%} of draws have fewer than {MIN_OPTIMA} optima; "
            "train more sizes, farther apart, or more seeds"
        )
    found_PB = found_PB[enough_P]
    params, tokens, loss = (
        np.where(found_PB, values_PB[enough_P], 0.0)
        for values_PB in (optima.log_params_PB, optima.log_tokens_PB, optima.log_loss_PB)
    )
    weights_PB = found_PB * optima.weights_B
    x_B = optima.log_flops_B
    return Frontier(
        x_B, _line(x_B, params, weights_PB), _line(x_B, tokens, weights_PB), _loss_laws(x_B, loss, found_PB, seed)
    )


def predicted_loss(approach: dict, flops: float) -> float:
    """Nats a token that an approach, as `Frontier.to_dict` gives it, expects of the best run with `flops`."""
    fitted = approach["loss"]["params"]
    return fitted["E"] + fitted["K"] * flops ** -fitted["gamma"]


def interval(draws_P: Array) -> list[float]:
    """The middle 95% of the draws."""
    return [float(end) for end in np.percentile(draws_P, QUANTILES)]


def _line(log_flops_B: Array, y_PB: Array, weights_PB: Array) -> Line:
    """Weighted least squares of every row."""
    center = float(np.average(log_flops_B, weights=weights_PB[0]))
    x_B = log_flops_B - center
    share_PB = weights_PB / weights_PB.sum(axis=1, keepdims=True)
    mean_x_P, mean_y_P = share_PB @ x_B, (share_PB * y_PB).sum(axis=1)
    apart_PB = x_B - mean_x_P[:, None]
    slope_P = (share_PB * apart_PB * (y_PB - mean_y_P[:, None])).sum(axis=1) / (share_PB * apart_PB**2).sum(axis=1)
    return Line(center, mean_y_P - slope_P * mean_x_P, slope_P)


def _loss_laws(log_flops_B: Array, log_loss_PB: Array, found_PB: NDArray[np.bool_], seed: int) -> Array:
    """Coordinates of LOSS for every row; too few optima for a floor hold E at next to nothing."""
    logs, bounds_K2 = {"flops": log_flops_B}, LOSS.bounds_K2
    if found_PB[0].sum() < MIN_OPTIMA_FLOOR:
        bounds_K2[LOSS.names.index("E")] = bounds_K2[LOSS.names.index("E"), 0]
    unit_PS = qmc.Halton(LOSS.num_shapes, rng=np.random.default_rng(seed)).random(STARTS)
    weights_PB = found_PB.astype(float)
    start_PK = LOSS.starting_points(logs, np.exp(log_loss_PB[0]), unit_PS)
    fit = {"delta": np.inf, "bounds_PK2": bounds_K2}
    tried_PK, objective_P = minimise(LOSS, logs, log_loss_PB[0], start_PK, weights_PN=weights_PB[:1], **fit)
    start_PK = np.tile(tried_PK[np.argmin(objective_P)], (len(log_loss_PB), 1))
    return minimise(LOSS, logs, log_loss_PB, start_PK, weights_PN=weights_PB, **fit)[0]
