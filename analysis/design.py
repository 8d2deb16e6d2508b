"""The next runs worth their cost: which (N, D) under a budget narrows a forecast most.

The laws that other seeds might have given (the refitted draws behind every interval) are a sample of what is not known.
A run that measures ln L at (N, D) with noise of variance s^2 leaves of the forecast f, by the formula of conditional
variance, Var(f) - Cov(f, l)^2 / (Var(l) + s^2), with l the draws' ln L at (N, D): Bayesian c-optimal design (Chaloner
and Verdinelli 1995) without linearising by hand. Several runs are chosen one after the other, each given those before.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.forecast import Forecaster
from analysis.laws import FLOPS_PER_PARAM_TOKEN, Array, optimal_logs

NUM_SIZES, NUM_TOKENS = 25, 25
# Runs beyond this many times the fitted range in either direction would rest on the form alone.
REACH = 4.0


@dataclass(frozen=True)
class Candidates:
    """Runs that could be trained: logarithms of parameters and tokens, and FLOPs as 6ND, (C,) each."""

    log_params_C: Array
    log_tokens_C: Array

    @property
    def flops_C(self) -> Array:
        """Training compute of each."""
        return FLOPS_PER_PARAM_TOKEN * np.exp(self.log_params_C + self.log_tokens_C)


def candidates(forecaster: Forecaster) -> Candidates:
    """A rectangle of sizes and token counts around those that were trained."""
    axes = []
    for name, count in (("params", NUM_SIZES), ("tokens", NUM_TOKENS)):
        low, high = forecaster.ranges[name]
        axes.append(np.linspace(np.log(low / REACH), np.log(high * REACH), count))
    sizes, tokens = np.meshgrid(*axes, indexing="ij")
    return Candidates(sizes.ravel(), tokens.ravel())


def forecast_draws(forecaster: Forecaster, flops: float) -> Array:
    """ln L of every draw at the compute-optimal run of the budget, as the point estimate places it, (P,)."""
    law = forecaster.fitted.law
    log_params, log_tokens = optimal_logs(law, forecaster.fitted.theta_K[None], np.log(flops))
    return law.log_loss(forecaster.theta_draws_PK, {"params": log_params, "tokens": log_tokens})[:, 0]


def choose_runs(
    forecaster: Forecaster, flops: float, budget: float, num_runs: int, among: Candidates | None = None
) -> list[dict[str, Any]]:
    """The `num_runs` runs of at most `budget` FLOPs in all that narrow the forecast at `flops` most, best first.

    Each entry has params, tokens, flops, and the forecast's remaining standard deviation over today's. Raises
    ValueError where the budget does not pay for the cheapest candidate that many times.
    """
    among = among or candidates(forecaster)
    law = forecaster.fitted.law
    drawn_PC = law.log_loss(forecaster.theta_draws_PK, {"params": among.log_params_C, "tokens": among.log_tokens_C})
    drawn_PX = np.column_stack([drawn_PC, forecast_draws(forecaster, flops)])
    covariance_XX = np.cov(drawn_PX, rowvar=False)
    noise_PC = forecaster.noise_draws.run(np.exp(among.log_params_C), np.exp(among.log_tokens_C))
    before, noise_C = covariance_XX[-1, -1], np.median(noise_PC**2, axis=0)
    cheapest = float(among.flops_C.min())
    if budget < num_runs * cheapest:
        raise ValueError(
            # A hundredth more, so that the rounded number pays for them.
            f"budget {budget:.3g} does not pay for {num_runs} runs: give {1.01 * num_runs * cheapest:.3g} or more"
        )
    chosen, left = [], budget
    for still in range(num_runs, 0, -1):
        # What the runs after this one cost at the least is kept for them.
        affordable_C = among.flops_C <= left - (still - 1) * cheapest
        variance_C, shared_C = np.diag(covariance_XX)[:-1], covariance_XX[:-1, -1]
        gain_C = np.where(affordable_C, shared_C**2 / (variance_C + noise_C), -np.inf)
        best = int(np.argmax(gain_C))
        column_X = covariance_XX[:, best]
        covariance_XX = covariance_XX - np.outer(column_X, column_X) / (column_X[best] + noise_C[best])
        left -= among.flops_C[best]
        chosen.append(
            {
                "params": float(np.exp(among.log_params_C[best])),
                "tokens": float(np.exp(among.log_tokens_C[best])),
                "flops": float(among.flops_C[best]),
                "remaining_sd": float(np.sqrt(max(covariance_XX[-1, -1], 0.0) / before)),
            }
        )
    return chosen
