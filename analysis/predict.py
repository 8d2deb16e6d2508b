"""A fitted law with everything a prediction needs: the point estimate, the noise around it and the refitted draws."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.bootstrap import draw_laws
from analysis.fit import Estimator, Observations, Solution, fit
from analysis.laws import LAWS, Array
from analysis.noise import Noise, NoiseDraws, noise_of
from analysis.params import FitParams

QUANTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A law, the noise around it, and what other seeds might have made of both, an entry a draw."""

    solution: Solution
    noise: Noise
    noise_draws: NoiseDraws
    theta_draws_PK: Array


@dataclass(frozen=True)
class Intervals:
    """Predicted loss and the ends of its 95% interval for one further run, each of shape (N,)."""

    predicted_N: Array
    low_N: Array
    high_N: Array


def estimate(points: pd.DataFrame, params: FitParams) -> Estimate:
    """Fit the law to every row of `points` and refit it to `params.bootstrap` draws."""
    law, estimator = LAWS[params.law], Estimator(params.estimator, params.delta)
    observations = Observations.of(points, law)
    solution = fit(observations, law, estimator, params.starts, params.seed)
    expansion = law.expand(solution.fitted.theta_K[None], observations.logs)
    residual_N = observations.log_loss_N - expansion.log_loss_PN[0]
    noise = noise_of(points, residual_N, expansion.jacobian_PNK[0])
    rng = np.random.default_rng(params.seed)
    noise_draws = noise.draw(params.bootstrap, rng)
    draws = draw_laws(points, observations, solution, noise_draws, estimator, rng)
    return Estimate(solution, noise, noise_draws, draws)


def middle_95(draws_PX: Array) -> tuple[Array, Array]:
    """Ends of the middle 95% of the draws.

    One more of P + 1 exchangeable numbers falls below the k-th of the others with probability k / (P + 1).
    """
    low, high = np.percentile(draws_PX, QUANTILES, axis=0, method="weibull")
    return low, high


def widened(middle: Array, draws_PX: Array, widen: float) -> tuple[Array, Array]:
    """Ends of the middle 95% of the draws, moved away from the point estimate by the factor `widen`."""
    low, high = middle_95(draws_PX)
    return middle - widen * np.maximum(middle - low, 0.0), middle + widen * np.maximum(high - middle, 0.0)


def prediction_intervals(fitted: Estimate, targets: pd.DataFrame, misfit: float = 1.0, seed: int = 0) -> Intervals:
    """What one further run at each row's columns should measure.

    Four sources widen an interval: the parameters (refitted draws), the seed and the branch (a run's noise, as large as
    the draw has it), how little is known of that noise (it differs from draw to draw), and what no bootstrap sees: that
    the form may bend beyond the fitted sizes (`misfit`, measured by rolling hold-outs; see heldout.py).
    """
    law = fitted.solution.fitted.law
    logs = {name: np.log(targets[name].to_numpy(dtype=float)) for name in law.columns}
    predicted_N = law.log_loss(fitted.solution.fitted.theta_K[None], logs)[0]
    rng = np.random.default_rng([seed, 1])  # not the stream that drew the laws
    run_PN = fitted.noise_draws.run(targets["params"], targets["tokens"])
    drawn_PN = law.log_loss(fitted.theta_draws_PK, logs) + run_PN * rng.standard_normal(run_PN.shape)
    low_N, high_N = widened(predicted_N, drawn_PN, misfit)
    return Intervals(np.exp(predicted_N), np.exp(low_N), np.exp(high_N))
