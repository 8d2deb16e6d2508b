"""Fits a form to the points before each of several origins at once. Axes as in forms.py, and O origins, S starts.

The estimate is the mode of a posterior: residuals of ln y are normal with a variance that is integrated out (an inverse
gamma prior worth one point with an error of 0.3 %), parameters have the form's prior. So

    objective = (n + 1) / 2 * ln(sum r^2 + 0.003^2) + sum ((theta - mean) / sd)^2 / 2,

and Levenberg-Marquardt steps solve it as least squares whose weight (n + 1) / (sum r^2 + 0.003^2) follows the fit.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import qmc

from analysis.curves.forms import Form, Prior
from analysis.laws import Array

NOISE = 0.003
NOISE_POINTS = 1.0
STARTS = 16
FIRST_STEPS, FINALISTS = 8, 4  # after so many steps only the best few starts of an origin go on
MAX_STEPS = 80
TOLERANCE = 1e-9  # of the objective, which no unit changes
BOX_SDS = 5.0  # parameters stay this many prior standard deviations around their mean


class Window(NamedTuple):
    """A curve as seen from O origins: u, v, and whether a point lies at or before the origin, each (O, N)."""

    u_ON: Array
    v_ON: Array
    seen_ON: Array


def window(log_x_N: Array, log_y_N: Array, counts: list[int]) -> Window:
    """`counts` says how many points each origin sees, the last of which is its u = v = 0."""
    last = np.array(counts) - 1
    seen_ON = (np.arange(len(log_x_N)) <= last[:, None]).astype(float)
    u_ON = log_x_N - log_x_N[last][:, None]
    # What an origin does not see is zeroed, so that nothing computed from it can depend on it.
    return Window(u_ON, seen_ON * (log_y_N - log_y_N[last][:, None]), seen_ON)


def fit_form(form: Form, seen: Window) -> Array:
    """The best parameters at each origin, shape (O, K), over quasi-random starting points."""
    num_origins = len(seen.u_ON)
    theta_PK = np.tile(starting_points(form.prior), (num_origins, 1))
    theta_PK, objective_P = minimise(form, _repeated(seen, STARTS), theta_PK, FIRST_STEPS)
    rank_OS = np.argsort(objective_P.reshape(num_origins, STARTS), axis=1, kind="stable")
    finalists_OS = rank_OS[:, :FINALISTS] + STARTS * np.arange(num_origins)[:, None]
    theta_PK, objective_P = minimise(form, _repeated(seen, FINALISTS), theta_PK[finalists_OS.ravel()], MAX_STEPS)
    best_O = objective_P.reshape(num_origins, FINALISTS).argmin(axis=1)
    return theta_PK.reshape(num_origins, FINALISTS, -1)[np.arange(num_origins), best_O]


def _repeated(seen: Window, times: int) -> Window:
    return Window(*(np.repeat(part, times, axis=0) for part in seen))


def starting_points(prior: Prior) -> Array:
    """Parameters (S, K): a scrambled Halton sequence over 1.5 standard deviations either side of the prior's mean."""
    unit_SK = qmc.Halton(len(prior.mean_K), rng=np.random.default_rng(0)).random(STARTS)
    return prior.mean_K + prior.sd_K * 1.5 * (2 * unit_SK - 1)


def minimise(form: Form, problem: Window, theta_PK: Array, max_steps: int) -> tuple[Array, Array]:
    """Levenberg-Marquardt from every row of `theta_PK`; returns parameters (P, K) and objectives (P,)."""
    mean_K, sd_K = form.prior
    low_K, high_K = mean_K - BOX_SDS * sd_K, mean_K + BOX_SDS * sd_K
    objective_P = _objective(form, problem, theta_PK)
    damping_P = np.full(len(theta_PK), 1e-2)
    active = np.arange(len(theta_PK))
    for _ in range(max_steps):
        part = Window(*(array[active] for array in problem))
        step_AK = _step(form, part, theta_PK[active], damping_P[active])
        trial_AK = np.clip(theta_PK[active] + step_AK, low_K, high_K)
        trial_A = _objective(form, part, trial_AK)
        gain_A = objective_P[active] - trial_A
        better_A = gain_A > 0
        theta_PK[active[better_A]] = trial_AK[better_A]
        objective_P[active[better_A]] = trial_A[better_A]
        damping_P[active] *= np.where(better_A, 0.2, 5.0)
        active = active[(np.abs(gain_A) > TOLERANCE) & (damping_P[active] < 1e7)]
        if not active.size:
            break
    return theta_PK, objective_P


def _objective(form: Form, problem: Window, theta_PK: Array) -> Array:
    mean_K, sd_K = form.prior
    residual_PN = form.value(theta_PK, problem.u_ON) - problem.v_ON
    num_P = problem.seen_ON.sum(axis=1) + NOISE_POINTS
    sum_P = (problem.seen_ON * residual_PN**2).sum(axis=1) + NOISE_POINTS * NOISE**2
    return 0.5 * num_P * np.log(sum_P) + 0.5 * (((theta_PK - mean_K) / sd_K) ** 2).sum(axis=1)


def _step(form: Form, problem: Window, theta_PK: Array, damping_P: Array) -> Array:
    mean_K, sd_K = form.prior
    value_PN, jacobian_PNK = form.expand(theta_PK, problem.u_ON)
    residual_PN = problem.seen_ON * (value_PN - problem.v_ON)
    num_P = problem.seen_ON.sum(axis=1) + NOISE_POINTS
    weight_P = num_P / ((residual_PN**2).sum(axis=1) + NOISE_POINTS * NOISE**2)
    transposed_PKN = np.swapaxes(jacobian_PNK, 1, 2) * problem.seen_ON[:, None, :]
    gradient_PK = weight_P[:, None] * (transposed_PKN @ residual_PN[..., None])[..., 0] + (theta_PK - mean_K) / sd_K**2
    matrix_PKK = weight_P[:, None, None] * (transposed_PKN @ jacobian_PNK) + np.diag(sd_K**-2)
    diagonal = np.arange(len(mean_K))
    matrix_PKK[:, diagonal, diagonal] *= 1 + damping_P[:, None]
    return -np.linalg.solve(matrix_PKK, gradient_PK[..., None])[..., 0]
