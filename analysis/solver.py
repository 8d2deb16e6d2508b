"""Many fits as one batch: damped Newton on the sum over points of a Huber loss of the residuals of ln L.

Axes as in laws/base.py: P problems (starts, bootstrap draws), N points, K coordinates.

The objective is a sum and never a mean: dividing by the number of points makes every stopping rule that compares it
with a constant fire early (Hoffmann et al.'s published fit stopped so; Besiroglu et al. 2024). Our stopping rule is
the relative decrease of an undamped Newton step, which no scale changes.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.laws import Array, Law, Logs

# Problems solved side by side: their arrays stay in the cache.
BLOCK = 256
LEAST_DAMPING, MOST_DAMPING = 1e-9, 1e9


def minimise(
    law: Law,
    logs: Logs,
    log_loss_PN: Array,
    theta_PK: Array,
    delta: float,
    *,
    weights_PN: Array | None = None,
    bounds_PK2: Array | None = None,
    tolerance: float = 1e-10,
    max_steps: int = 300,
) -> tuple[Array, Array]:
    """From every row of `theta_PK` to a minimum: coordinates (P, K) and objectives (P,).

    `log_loss_PN` are the observed ln L, (P, N) or (N,); `weights_PN` multiply the points' losses; `delta` is the Huber
    threshold, infinite for least squares. `bounds_PK2`, (P, K, 2) or (K, 2), narrows the law's search box: a coordinate
    whose ends meet is held there.
    """
    num_problems, num_points = len(theta_PK), len(logs[law.columns[0]])
    y_PN = np.broadcast_to(log_loss_PN, (num_problems, num_points))
    w_PN = np.broadcast_to(1.0 if weights_PN is None else weights_PN, (num_problems, num_points))
    bounds = law.bounds_K2 if bounds_PK2 is None else bounds_PK2
    bounds_PK2 = np.broadcast_to(bounds, (num_problems, theta_PK.shape[1], 2))
    theta_PK, objective_P = theta_PK.copy(), np.empty(num_problems)
    for first in range(0, num_problems, BLOCK):
        rows = slice(first, first + BLOCK)
        block = _Block(law, logs, y_PN[rows], w_PN[rows], bounds_PK2[rows], delta)
        theta_PK[rows], objective_P[rows] = block.solve(theta_PK[rows], tolerance, max_steps)
    return theta_PK, objective_P


def huber_sum(residual_PN: Array, delta: float, weights_PN: Array | float = 1.0) -> Array:
    """Sum over points: r^2 / 2 within delta, delta (|r| - delta / 2) beyond."""
    size_PN = np.abs(residual_PN)
    inside_PN = np.minimum(size_PN, delta)
    return (weights_PN * inside_PN * (size_PN - 0.5 * inside_PN)).sum(axis=-1)


class _Block:
    """Problems that take their steps together.

    A step solves (H + damping * M) s = -gradient. H is the exact second derivative where the law has one; with a Huber
    loss only the points within delta enter its quadratic part, so it can be singular or indefinite. M = J' diag(min(1,
    delta / |r|)) J is the matrix of iteratively reweighted least squares, which bounds that part and makes the damping
    indifferent to the units of the columns; without second derivatives it is H too. A step that does not lower the
    objective is refused and damped ten times more.
    """

    def __init__(self, law: Law, logs: Logs, y_PN: Array, w_PN: Array, bounds_PK2: Array, delta: float) -> None:
        self.law, self.logs, self.delta = law, logs, delta
        self.y_PN, self.w_PN = y_PN, w_PN
        self.low_PK, self.high_PK = bounds_PK2[..., 0], bounds_PK2[..., 1]

    def solve(self, theta_PK: Array, tolerance: float, max_steps: int) -> tuple[Array, Array]:
        theta_PK = np.clip(theta_PK, self.low_PK, self.high_PK)
        everyone = np.arange(len(theta_PK))
        objective_P = self._objective(theta_PK, everyone)
        damping_P = np.ones(len(theta_PK))
        active = everyone
        for _ in range(max_steps):
            step_AK = self._step(theta_PK[active], active, damping_P[active])
            trial_AK = np.clip(theta_PK[active] + step_AK, self.low_PK[active], self.high_PK[active])
            trial_A = self._objective(trial_AK, active)
            gain_A = objective_P[active] - trial_A
            better_A = gain_A > 0
            theta_PK[active[better_A]] = trial_AK[better_A]
            small_A = np.abs(gain_A) <= tolerance * objective_P[active]
            objective_P[active[better_A]] = trial_A[better_A]
            # A small gain ends a search only after a nearly undamped step, or one so damped that nothing is left.
            converged_A = small_A & ((damping_P[active] <= 1e-6) | (damping_P[active] >= 1e6))
            factor_A = np.where(better_A, 0.1, 10.0)
            damping_P[active] = np.clip(damping_P[active] * factor_A, LEAST_DAMPING, MOST_DAMPING)
            active = active[~converged_A]
            if not active.size:
                break
        return theta_PK, objective_P

    def _objective(self, theta_AK: Array, active: NDArray[np.intp]) -> Array:
        residual_AN = self.law.log_loss(theta_AK, self.logs) - self.y_PN[active]
        return huber_sum(residual_AN, self.delta, self.w_PN[active])

    def _step(self, theta_AK: Array, active: NDArray[np.intp], damping_A: Array) -> Array:
        expansion = self.law.expand(theta_AK, self.logs)
        w_AN, jacobian_ANK = self.w_PN[active], expansion.jacobian_PNK
        transposed_AKN = np.swapaxes(jacobian_ANK, 1, 2)
        residual_AN = expansion.log_loss_PN - self.y_PN[active]
        pull_AN = w_AN * np.clip(residual_AN, -self.delta, self.delta)
        size_AN = np.abs(residual_AN)
        gradient_AK = (transposed_AKN @ pull_AN[..., None])[..., 0]
        reweighted_AN = w_AN * np.minimum(1.0, self.delta / np.maximum(size_AN, 1e-300))
        majoriser_AKK = transposed_AKN @ (jacobian_ANK * reweighted_AN[..., None])
        hessian_AKK = majoriser_AKK
        if expansion.curvature is not None:
            inside_AN = w_AN * (size_AN <= self.delta)
            hessian_AKK = transposed_AKN @ (jacobian_ANK * inside_AN[..., None])
            hessian_AKK += expansion.curvature.weighted(pull_AN)
        # A coordinate on the edge of its box that is pulled outward stays there; the others move without it.
        low_AK, high_AK = self.low_PK[active], self.high_PK[active]
        held_AK = ((theta_AK <= low_AK) & (gradient_AK > 0)) | ((theta_AK >= high_AK) & (gradient_AK < 0))
        held_AK |= low_AK == high_AK
        return damped_step(gradient_AK, hessian_AKK, majoriser_AKK, damping_A, held_AK)


def damped_step(
    gradient_PK: Array, hessian_PKK: Array, majoriser_PKK: Array, damping_P: Array, held_PK: NDArray[np.bool_]
) -> Array:
    """The step of `_Block`, zero in the held coordinates."""
    matrix_PKK = hessian_PKK + damping_P[:, None, None] * majoriser_PKK
    # Scale to a unit diagonal before adding a ridge: a term of the law that has vanished leaves a zero row.
    scale_PK = np.sqrt(np.maximum(np.einsum("pkk->pk", majoriser_PKK), 1e-200))
    free_PK = ~held_PK
    matrix_PKK = matrix_PKK / (scale_PK[:, :, None] * scale_PK[:, None, :])
    matrix_PKK = matrix_PKK * (free_PK[:, :, None] & free_PK[:, None, :])
    ridge_PK = np.where(held_PK, 1.0, 1e-13 * (1 + damping_P[:, None]))
    matrix_PKK += np.eye(matrix_PKK.shape[1]) * ridge_PK[:, None, :]
    right_PK = np.where(held_PK, 0.0, gradient_PK / scale_PK)
    return -np.linalg.solve(matrix_PKK, right_PK[..., None])[..., 0] / scale_PK
