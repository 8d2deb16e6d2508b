"""Approach 3: the law that minimises the SUM over points of Huber(residual of ln L), solved for many problems at once.

Axes as in laws.py: P problems (starts, bootstrap draws), N points, K parameters.

The objective is a sum and never a mean: dividing by the number of points makes every stopping rule that compares it
with a constant fire early (Hoffmann et al.'s published fit stopped so; Besiroglu et al. 2024). Our stopping rule is
the expected relative decrease of a Newton step, which no scale changes.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import qmc

from analysis.laws import Array, Hoffmann, log_loss, log_loss_derivatives, weighted_curvature

MIN_SIZES = 3
MIN_POINTS = 6  # five parameters and one point to spare
PARAMETERS = ("A", "B", "E", "alpha", "beta")
BOUNDS_K2 = np.array([(-10.0, 60.0), (-10.0, 60.0), (-12.0, 12.0), (1e-3, 4.0), (1e-3, 4.0)])
AGREEMENT = 1e-6  # starts agree when their objectives differ by less than this, relatively


@dataclass(frozen=True)
class Observations:
    """What the estimator sees: logarithms of parameters, tokens and loss, one entry a point."""

    log_params_N: Array
    log_tokens_N: Array
    log_loss_N: Array

    @staticmethod
    def of(points: pd.DataFrame, params_column: str = "params") -> "Observations":
        """Raises ValueError when the table cannot identify five parameters."""
        logs = []
        for name in (params_column, "tokens", "loss"):
            values = points[name].to_numpy(dtype=float)
            if not (np.isfinite(values) & (values > 0)).all():
                raise ValueError(f"points: {name} holds a value that is not finite and above zero; drop that row")
            logs.append(np.log(values))
        num_sizes, num_tokens = len(np.unique(logs[0])), len(np.unique(logs[1]))
        for what, have, need in (("sizes", num_sizes, MIN_SIZES), ("token counts", num_tokens, MIN_SIZES)):
            if have < need:
                raise ValueError(f"points: {have} {what} cannot identify a law; train at least {need}")
        if len(points) < MIN_POINTS:
            raise ValueError(f"points: {len(points)} runs cannot identify five parameters; give at least {MIN_POINTS}")
        return Observations(*logs)


@dataclass(frozen=True)
class Solution:
    """One law and how it was reached."""

    law: Hoffmann
    objective: float
    starts: int
    starts_agreeing: int

    @property
    def unidentified(self) -> list[str]:
        """Parameters that ran into the search box: the data do not say where they end."""
        theta = self.law.theta()
        edge = np.isclose(theta, BOUNDS_K2[:, 0], atol=1e-6) | np.isclose(theta, BOUNDS_K2[:, 1], atol=1e-6)
        return [name for name, at_edge in zip(PARAMETERS, edge, strict=True) if at_edge]

    @property
    def meaningless(self) -> list[str]:
        """Unidentified parameters without which there is no law; a floor E that may be zero leaves one."""
        return [name for name in self.unidentified if name != "E"]


def fit_hoffmann(observations: Observations, delta: float, starts: int, seed: int) -> Solution:
    """Minimise from `starts` initial points, keep the best, and polish it to machine precision."""
    theta_PK = starting_points(observations, starts, seed)
    theta_PK, objective_P = minimise(observations, theta_PK, delta)
    best = int(np.argmin(objective_P))
    theta_1K, objective_1 = minimise(observations, theta_PK[best : best + 1], delta, tolerance=1e-15)
    agreeing = int((objective_P <= objective_P[best] * (1 + AGREEMENT) + 1e-15).sum())
    return Solution(Hoffmann.from_theta(theta_1K[0]), float(objective_1[0]), starts, agreeing)


def starting_points(observations: Observations, starts: int, seed: int) -> Array:
    """Initial parameters (P, K): exponents and floor from a scrambled Halton sequence, A and B fitted to each.

    For a given alpha, beta and E the law is linear in A and B, so each start already passes through the data; a
    coefficient that comes out negative starts at a twentieth of the reducible loss instead.
    """
    unit_P3 = qmc.Halton(3, rng=np.random.default_rng(seed)).random(starts)
    alpha_P, beta_P = (0.05 + 1.15 * unit_P3[:, column] for column in (0, 1))
    loss_N = np.exp(observations.log_loss_N)
    floor_P = loss_N.min() * (0.05 + 0.93 * unit_P3[:, 2])
    reducible_PN = loss_N - floor_P[:, None]
    # Centred features keep the 2 x 2 systems well scaled whatever the units of N and D.
    center_n, center_d = observations.log_params_N.mean(), observations.log_tokens_N.mean()
    features_PN2 = np.exp(
        -np.stack(
            [
                alpha_P[:, None] * (observations.log_params_N - center_n),
                beta_P[:, None] * (observations.log_tokens_N - center_d),
            ],
            axis=-1,
        )
    )
    features_P2N = np.swapaxes(features_PN2, 1, 2)
    gram_P22 = features_P2N @ features_PN2 + 1e-9 * np.eye(2)
    coefficients_P2 = np.linalg.solve(gram_P22, features_P2N @ reducible_PN[..., None])[..., 0]
    least_P1 = 0.05 * reducible_PN.mean(axis=1, keepdims=True)
    log_P2 = np.log(np.maximum(coefficients_P2, least_P1))
    return np.stack(
        [log_P2[:, 0] + alpha_P * center_n, log_P2[:, 1] + beta_P * center_d, np.log(floor_P), alpha_P, beta_P], axis=1
    )


def minimise(
    observations: Observations,
    theta_PK: Array,
    delta: float,
    *,
    log_loss_PN: Array | None = None,
    weights_PN: Array | None = None,
    tolerance: float = 1e-10,
    max_steps: int = 300,
) -> tuple[Array, Array]:
    """Damped Newton on the Huber objective from every row of `theta_PK`; returns parameters (P, K), objectives (P,).

    `log_loss_PN` replaces the observed losses (simulated draws) and `weights_PN` counts the points (resampled draws).
    A step solves (H + damping * M) s = -gradient. H is the exact second derivative; with a Huber loss only the points
    within delta enter its quadratic part, so it can be singular or indefinite; M = J' diag(min(1, delta/|r|)) J is
    the matrix of iteratively reweighted least squares, which bounds that part and makes the damping indifferent to the
    units of N and D. A step that does not lower the objective is refused and damped ten times more.
    """
    x_N, z_N = observations.log_params_N, observations.log_tokens_N
    problems, points = len(theta_PK), len(x_N)
    y_PN = np.broadcast_to(observations.log_loss_N if log_loss_PN is None else log_loss_PN, (problems, points))
    w_PN = np.ones((problems, points)) if weights_PN is None else weights_PN
    theta_PK = np.clip(theta_PK, BOUNDS_K2[:, 0], BOUNDS_K2[:, 1])
    objective_P = huber_sum(log_loss(theta_PK, x_N, z_N) - y_PN, delta, w_PN)
    damping_P = np.ones(problems)
    active = np.arange(problems)
    for _ in range(max_steps):
        gradient_AK, hessian_AKK, majoriser_AKK = _expand(theta_PK[active], x_N, z_N, y_PN[active], w_PN[active], delta)
        step_AK = _damped_step(gradient_AK, hessian_AKK, majoriser_AKK, damping_P[active])
        trial_AK = np.clip(theta_PK[active] + step_AK, BOUNDS_K2[:, 0], BOUNDS_K2[:, 1])
        trial_A = huber_sum(log_loss(trial_AK, x_N, z_N) - y_PN[active], delta, w_PN[active])
        gain_A = objective_P[active] - trial_A
        better_A = gain_A > 0
        theta_PK[active[better_A]] = trial_AK[better_A]
        small_A = np.abs(gain_A) <= tolerance * objective_P[active]
        objective_P[active[better_A]] = trial_A[better_A]
        # Small gains end a search only when the step was nearly undamped, or so damped that nothing is left to gain.
        converged_A = small_A & ((damping_P[active] <= 1e-6) | (damping_P[active] >= 1e6))
        damping_P[active] = np.clip(damping_P[active] * np.where(better_A, 0.1, 10.0), 1e-9, 1e9)
        active = active[~converged_A]
        if not active.size:
            break
    return theta_PK, objective_P


def huber_sum(residual_PN: Array, delta: float, weights_PN: Array | float = 1.0) -> Array:
    """Sum over points: r^2 / 2 within delta, delta (|r| - delta / 2) beyond."""
    size_PN = np.abs(residual_PN)
    inside_PN = np.minimum(size_PN, delta)
    return (weights_PN * inside_PN * (size_PN - 0.5 * inside_PN)).sum(axis=-1)


def _expand(
    theta_PK: Array, x_N: Array, z_N: Array, y_PN: Array, w_PN: Array, delta: float
) -> tuple[Array, Array, Array]:
    """Gradient (P, K), Hessian and reweighted least-squares matrix (P, K, K) of the objective."""
    derivatives = log_loss_derivatives(theta_PK, x_N, z_N)
    residual_PN = derivatives.log_loss_PN - y_PN
    pull_PN = w_PN * np.clip(residual_PN, -delta, delta)
    jacobian_PNK = derivatives.jacobian_PNK
    transposed_PKN = np.swapaxes(jacobian_PNK, 1, 2)
    gradient_PK = (transposed_PKN @ pull_PN[..., None])[..., 0]
    inside_PN = w_PN * (np.abs(residual_PN) <= delta)
    quadratic_PKK = transposed_PKN @ (jacobian_PNK * inside_PN[..., None])
    reweighted_PN = w_PN * np.minimum(1.0, delta / np.maximum(np.abs(residual_PN), 1e-300))
    majoriser_PKK = transposed_PKN @ (jacobian_PNK * reweighted_PN[..., None])
    return gradient_PK, quadratic_PKK + weighted_curvature(derivatives, pull_PN, x_N, z_N), majoriser_PKK


def _damped_step(gradient_PK: Array, hessian_PKK: Array, majoriser_PKK: Array, damping_P: Array) -> Array:
    matrix_PKK = hessian_PKK + damping_P[:, None, None] * majoriser_PKK
    # Scale to a unit diagonal before adding a ridge: a term of the law that has vanished leaves a zero row.
    scale_PK = np.sqrt(np.maximum(np.einsum("pkk->pk", majoriser_PKK), 1e-200))
    matrix_PKK = matrix_PKK / (scale_PK[:, :, None] * scale_PK[:, None, :]) + 1e-13 * np.eye(scale_PK.shape[1])
    return -np.linalg.solve(matrix_PKK, (gradient_PK / scale_PK)[..., None])[..., 0] / scale_PK
