"""Whether every bootstrap draw is at its own optimum: ours against scipy from many starts, draw by draw."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.pools import worker_pool
from experiments.project import COMPILE_CACHE

if TYPE_CHECKING:
    import pandas as pd

    from analysis.laws import Array

STARTS = 48  # of the fit that the draws leave from
SCALE = 1e3  # what scipy minimises is of order one, so that its tolerances mean something
TIGHT = {"maxiter": 2000, "ftol": 1e-16, "gtol": 1e-12}


def check_draws(
    points: "pd.DataFrame", delta: float, draws: int, checked: int, starts: int, seed: int
) -> dict[str, Any]:
    """Refits `draws` resampled tables in one batch and solves the first `checked` again by scipy's L-BFGS-B.

    `largest_gain` is the most by which any of scipy's minima lies below ours: negative where ours is always lower.
    """
    from analysis.bootstrap import resample_runs
    from analysis.fit import Estimator, Observations, fit
    from analysis.laws import HOFFMANN

    observations, estimator = Observations.of(points), Estimator("huber", delta)
    weights_PN = resample_runs(points, draws, np.random.default_rng(seed))
    best_K = fit(observations, HOFFMANN, estimator, starts=STARTS, seed=seed).fitted.theta_K
    began = time.process_time()
    _, objective_P = estimator.solve(
        HOFFMANN, observations.logs, observations.log_loss_N, np.tile(best_K, (draws, 1)), weights_PN
    )
    seconds = time.process_time() - began
    with worker_pool(2, COMPILE_CACHE) as pool:
        asked = [(points, delta, weights_PN[draw], starts, draw) for draw in range(checked)]
        least = np.array(list(pool.map(least_by_scipy, *zip(*asked, strict=True))))
    return {
        "draws": draws,
        "cpu_seconds": seconds,
        "checked": checked,
        "starts": starts,
        "largest_gain": float((objective_P[:checked] - least).max()),
    }


def least_by_scipy(points: "pd.DataFrame", delta: float, weights_N: "Array", starts: int, seed: int) -> float:
    """The lowest objective that scipy reaches from starts of its own."""
    from scipy.optimize import minimize
    from scipy.stats import qmc

    from analysis.fit import Observations
    from analysis.laws import HOFFMANN
    from analysis.solver import huber_sum

    observations = Observations.of(points)

    def scaled(theta_K: "Array") -> "tuple[float, Array]":
        expansion = HOFFMANN.expand(theta_K[None], observations.logs)
        residual_1N = expansion.log_loss_PN - observations.log_loss_N
        slope_K = (weights_N * np.clip(residual_1N[0], -delta, delta)) @ expansion.jacobian_PNK[0]
        return SCALE * float(huber_sum(residual_1N, delta, weights_N)[0]), SCALE * slope_K

    unit_PS = qmc.Halton(HOFFMANN.num_shapes, rng=np.random.default_rng(seed)).random(starts)
    initial_PK = HOFFMANN.starting_points(observations.logs, np.exp(observations.log_loss_N), unit_PS)
    found = (minimize(scaled, theta_K, jac=True, method="L-BFGS-B", options=TIGHT) for theta_K in initial_PK)
    return min(float(result.fun) for result in found) / SCALE
