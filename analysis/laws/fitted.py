"""A law with its parameters: what it says of a run, and how it would spend a budget."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.laws.base import FLOPS_PER_PARAM_TOKEN, Array, Law


@dataclass(frozen=True)
class Fitted:
    """One law at one point of its coordinates (K,)."""

    law: Law
    theta_K: Array

    @staticmethod
    def of(law: Law, params: Mapping[str, float]) -> "Fitted":
        """The law with these parameters by name."""
        return Fitted(law, law.theta(params))

    @property
    def params(self) -> dict[str, float]:
        """The parameters by name."""
        return {
            name: float(value)
            for name, value in zip(self.law.names, self.law.values(self.theta_K[None])[0], strict=True)
        }

    def loss(self, params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike | None = None) -> Array:
        """Nats a token for models of `params` parameters after `tokens` tokens, broadcast together.

        `unique_tokens`, for laws of repeated data: how many of the tokens are distinct; without it all are.
        """
        unique_tokens = tokens if unique_tokens is None else unique_tokens
        columns = np.broadcast_arrays(*(np.asarray(c, dtype=float) for c in (params, tokens, unique_tokens)))
        names = ("params", "tokens", "unique_tokens")
        logs: dict[str, Array] = {name: np.log(c.ravel()) for name, c in zip(names, columns, strict=True)}
        return np.exp(self.law.log_loss(self.theta_K[None], logs)[0]).reshape(columns[0].shape)

    def optimal(self, flops: ArrayLike) -> tuple[Array, Array]:
        """The parameters and tokens of least loss on the budget C = 6 N D; raises ValueError for a law of one column.

        Setting the derivative of A / N^alpha + B / D^beta along N D = C / 6 to zero: N = G (C/6)^a and D = (C/6)^b / G,
        G = (alpha A / (beta B))^(1 / (alpha + beta)), a = beta / (alpha + beta), b = 1 - a (Hoffmann et al. 2022,
        equation 4).
        """
        log_params, log_tokens = optimal_logs(self.law, self.theta_K[None], np.log(np.asarray(flops, dtype=float)))
        return np.exp(log_params[0]), np.exp(log_tokens[0])

    @property
    def a(self) -> float:
        """Exponent of the compute-optimal size, N_opt ~ C^a."""
        return float(size_exponent(self.law, self.theta_K[None])[0])

    @property
    def b(self) -> float:
        """Exponent of the compute-optimal tokens, D_opt ~ C^b."""
        return 1 - self.a


def size_exponent(law: Law, theta_PK: Array) -> Array:
    """a = beta / (alpha + beta) of every problem, (P,)."""
    balance_P4 = _balance(law, theta_PK)
    return balance_P4[:, 3] / (balance_P4[:, 1] + balance_P4[:, 3])


def optimal_logs(law: Law, theta_PK: Array, log_flops: Array) -> tuple[Array, Array]:
    """ln N and ln D of least loss for every problem and budget, (P, ...) each; see Fitted.optimal."""
    balance_P4 = _balance(law, theta_PK)
    log_a, alpha, log_b, beta = (balance_P4[:, k].reshape(-1, *[1] * np.ndim(log_flops)) for k in range(4))
    log_work = log_flops - np.log(FLOPS_PER_PARAM_TOKEN)
    log_ratio = (np.log(alpha / beta) + log_a - log_b) / (alpha + beta)
    log_params = log_ratio + beta / (alpha + beta) * log_work
    return log_params, log_work - log_params


def _balance(law: Law, theta_PK: Array) -> Array:
    balance_P4 = law.allocation(theta_PK)
    if balance_P4 is None:
        raise ValueError(f"law {law.name!r} shares no budget between size and data: use a law of params and tokens")
    return balance_P4
