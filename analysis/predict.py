"""A fitted law with everything a prediction needs: the point estimate, the noise around it and the refitted draws."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from analysis.bootstrap import Noise, draw_laws, noise_of
from analysis.fit import Observations, Solution, fit_hoffmann
from analysis.laws import Array, log_loss
from analysis.params import FitParams

NORMAL_975 = 1.959963984540054
QUANTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A law, the noise around it, and the laws other seeds might have given (theta, one row a draw)."""

    solution: Solution
    noise: Noise
    theta_draws_PK: Array


@dataclass(frozen=True)
class Intervals:
    """Predicted loss and the ends of its 95% interval for one further run, each of shape (N,)."""

    predicted_N: Array
    low_N: Array
    high_N: Array


def estimate(points: pd.DataFrame, params: FitParams) -> Estimate:
    """Fit the law to every row of `points` and refit it to `params.bootstrap` draws."""
    observations = Observations.of(points)
    solution = fit_hoffmann(observations, params.delta, params.starts, params.seed)
    noise = noise_of(points, solution.law)
    rng = np.random.default_rng(params.seed)
    draws = draw_laws(points, observations, solution.law, noise, params.delta, params.bootstrap, rng)
    return Estimate(solution, noise, draws)


def prediction_intervals(fitted: Estimate, targets: pd.DataFrame, misfit: float = 1.0, seed: int = 0) -> Intervals:
    """What one further run at each row's `params` and `tokens` should measure.

    Four sources widen an interval: the parameters (refitted draws), the seed (a cell effect), the branch (a residual),
    and what no bootstrap sees: that the noise was itself estimated from few cells (Student's t instead of the normal)
    and that the form may bend beyond the fitted sizes (`misfit`, measured by rolling hold-outs; see heldout.py).
    """
    log_params_N, log_tokens_N = (np.log(targets[name].to_numpy(dtype=float)) for name in ("params", "tokens"))
    predicted_N = log_loss(fitted.solution.law.theta()[None], log_params_N, log_tokens_N)[0]
    drawn_PN = log_loss(fitted.theta_draws_PK, log_params_N, log_tokens_N)
    rng = np.random.default_rng([seed, 1])  # not the stream that drew the laws
    spread = np.hypot(fitted.noise.cell, fitted.noise.residual)
    drawn_PN = drawn_PN + spread * rng.standard_normal(drawn_PN.shape)
    low_N, high_N = np.percentile(drawn_PN, QUANTILES, axis=0)
    widen = misfit * student.ppf(0.975, fitted.noise.degrees) / NORMAL_975
    return Intervals(
        np.exp(predicted_N),
        np.exp(predicted_N - widen * np.maximum(predicted_N - low_N, 0.0)),
        np.exp(predicted_N + widen * np.maximum(high_N - predicted_N, 0.0)),
    )
