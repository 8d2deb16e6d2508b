"""A fitted law with everything a prediction needs: the point estimate, the noise around it and the refitted draws."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from analysis.bootstrap import draw_laws
from analysis.fit import Estimator, Observations, Solution, fit
from analysis.laws import LAWS, Array
from analysis.noise import Noise, noise_of
from analysis.params import FitParams

NORMAL_975 = 1.959963984540054
QUANTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A law, the noise around it, and the laws other seeds might have given (coordinates, one row a draw)."""

    solution: Solution
    noise: Noise
    theta_draws_PK: Array

    @property
    def widening(self) -> float:
        """What the noise's own uncertainty does to an interval: Student's t over the normal at 97.5%."""
        return float(student.ppf(0.975, self.noise.degrees) / NORMAL_975)


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
    noise = noise_of(points["cell"], residual_N, expansion.jacobian_PNK[0])
    rng = np.random.default_rng(params.seed)
    draws = draw_laws(points, observations, solution, noise, estimator, params.bootstrap, rng)
    return Estimate(solution, noise, draws)


def widened(middle: Array, draws_PX: Array, widen: float) -> tuple[Array, Array]:
    """Ends of the middle 95% of the draws, moved away from the point estimate by the factor `widen`."""
    low, high = np.percentile(draws_PX, QUANTILES, axis=0)
    return middle - widen * np.maximum(middle - low, 0.0), middle + widen * np.maximum(high - middle, 0.0)


def prediction_intervals(fitted: Estimate, targets: pd.DataFrame, misfit: float = 1.0, seed: int = 0) -> Intervals:
    """What one further run at each row's columns should measure.

    Four sources widen an interval: the parameters (refitted draws), the seed (a cell effect), the branch (a residual),
    and what no bootstrap sees: that the noise was itself estimated from few cells (Student's t instead of the normal)
    and that the form may bend beyond the fitted sizes (`misfit`, measured by rolling hold-outs; see heldout.py).
    """
    law = fitted.solution.fitted.law
    logs = {name: np.log(targets[name].to_numpy(dtype=float)) for name in law.columns}
    predicted_N = law.log_loss(fitted.solution.fitted.theta_K[None], logs)[0]
    drawn_PN = law.log_loss(fitted.theta_draws_PK, logs)
    rng = np.random.default_rng([seed, 1])  # not the stream that drew the laws
    drawn_PN = drawn_PN + fitted.noise.run * rng.standard_normal(drawn_PN.shape)
    low_N, high_N = widened(predicted_N, drawn_PN, misfit * fitted.widening)
    return Intervals(np.exp(predicted_N), np.exp(low_N), np.exp(high_N))
