"""A law fitted to a table of runs: approach 3 of Hoffmann et al. (2022), for any law and estimator.

Axes as in laws/base.py: P problems (starts, bootstrap draws), N points, K coordinates.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import qmc

from analysis.laws import HOFFMANN, Array, Fitted, Law, Logs
from analysis.params import EstimatorName
from analysis.solver import minimise

MIN_LEVELS = 3  # distinct values of a column that identify factor, exponent and floor
AGREEMENT = 1e-6  # starts agree when their objectives differ by less than this, relatively
# The sum of absolute residuals is the limit of Huber's loss over delta: each threshold starts where the last one ended.
L1_DELTAS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


@dataclass(frozen=True)
class Observations:
    """What an estimator sees: the logarithms of the law's columns and of the loss, one entry a point."""

    logs: Logs
    log_loss_N: Array

    @staticmethod
    def of(points: pd.DataFrame, law: Law = HOFFMANN, params_column: str = "params") -> "Observations":
        """Raises ValueError when the table cannot identify the law; `params_column` is what counts as N."""
        missing = [name for name in law.columns if name not in points]
        if missing:
            raise ValueError(
                f"points: the law {law.name} reads {', '.join(missing)}, which the table lacks; add the column or fit "
                "another --law"
            )
        logs = {name: _log_column(points, params_column if name == "params" else name) for name in law.columns}
        if "unique_tokens" in logs and not (logs["unique_tokens"] < logs["tokens"]).any():
            raise ValueError(
                f"points: the law {law.name} is of repeated tokens, and no run saw more tokens than are unique; fit "
                "another --law"
            )
        for name, label in (("params", "sizes"), ("tokens", "token counts")):
            have = len(np.unique(logs[name])) if name in logs else MIN_LEVELS
            if have < MIN_LEVELS:
                raise ValueError(f"points: {have} {label} cannot identify a law; train at least {MIN_LEVELS}")
        least = len(law.coordinates) + 1
        if len(points) < least:
            raise ValueError(
                f"points: {len(points)} runs cannot identify {least - 1} parameters; give at least {least}"
            )
        return Observations(logs, _log_column(points, "loss"))


def _log_column(points: pd.DataFrame, name: str) -> Array:
    values = pd.to_numeric(points[name], errors="coerce").to_numpy(dtype=float)
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"points: {name} holds a value that is not finite and above zero; drop that row")
    return np.log(values)


@dataclass(frozen=True)
class Estimator:
    """What is minimised over the residuals of ln L, summed: Huber's loss with threshold `delta`, |r|, or r^2 / 2."""

    name: EstimatorName = "huber"
    delta: float = 1e-3

    def solve(
        self, law: Law, logs: Logs, log_loss_PN: Array, theta_PK: Array, weights_PN: Array | None = None,
        tolerance: float = 1e-10,
    ) -> tuple[Array, Array]:  # fmt: skip
        """Coordinates (P, K) and objectives (P,) of the minima nearest to `theta_PK`."""
        deltas = {"huber": (self.delta,), "l1": L1_DELTAS, "least-squares": (math.inf,)}[self.name]
        objective_P = np.zeros(len(theta_PK))
        for delta in deltas:
            theta_PK, objective_P = minimise(
                law, logs, log_loss_PN, theta_PK, delta, weights_PN=weights_PN, tolerance=tolerance
            )
        return theta_PK, objective_P / deltas[-1] if self.name == "l1" else objective_P


@dataclass(frozen=True)
class Solution:
    """One law and how it was reached."""

    fitted: Fitted
    objective: float
    starts: int
    starts_agreeing: int

    @property
    def unidentified(self) -> list[str]:
        """Parameters that ran into the search box: the data do not say where they end."""
        law, theta_K = self.fitted.law, self.fitted.theta_K
        low_K, high_K = law.bounds_K2.T
        edge_K = (np.isclose(theta_K, low_K, atol=1e-6) | np.isclose(theta_K, high_K, atol=1e-6)) & (low_K < high_K)
        return [name for name, at_edge in zip(law.names, edge_K, strict=True) if at_edge]

    @property
    def meaningless(self) -> list[str]:
        """Unidentified parameters without which there is no law."""
        needed = {c.name for c in self.fitted.law.coordinates if not c.may_vanish}
        return [name for name in self.unidentified if name in needed]


def fit(observations: Observations, law: Law, estimator: Estimator, starts: int, seed: int) -> Solution:
    """Minimise from `starts` initial points, keep the best, and polish it to machine precision."""
    logs, log_loss_N = observations.logs, observations.log_loss_N
    unit_PS = qmc.Halton(law.num_shapes, rng=np.random.default_rng(seed)).random(starts)
    theta_PK = law.starting_points(logs, np.exp(log_loss_N), unit_PS)
    theta_PK, objective_P = estimator.solve(law, logs, log_loss_N, theta_PK)
    best = int(np.argmin(objective_P))
    theta_1K, objective_1 = estimator.solve(law, logs, log_loss_N, theta_PK[best : best + 1], tolerance=1e-15)
    agreeing = int((objective_P <= objective_P[best] * (1 + AGREEMENT) + 1e-15).sum())
    return Solution(Fitted(law, theta_1K[0]), float(objective_1[0]), starts, agreeing)
