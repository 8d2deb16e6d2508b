"""Functional forms. Axes: P problems (starts or bootstrap draws), N points, K = 5 parameters.

Hoffmann et al. (2022), approach 3: L(N, D) = E + A / N^alpha + B / D^beta, in nats a token. The fit works on
theta = (a, b, e, alpha, beta) with a = ln A, b = ln B, e = ln E, where ln L is the log-sum-exp of three lines.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
FLOPS_PER_PARAM_TOKEN = 6.0  # C = 6 N D: forward and backward of every matrix, attention left out (Kaplan et al. 2020)


@dataclass(frozen=True)
class Hoffmann:
    """L(N, D) = E + A / N^alpha + B / D^beta."""

    A: float
    B: float
    E: float
    alpha: float
    beta: float

    @staticmethod
    def from_theta(theta: ArrayLike) -> "Hoffmann":
        """The law of (ln A, ln B, ln E, alpha, beta)."""
        a, b, e, alpha, beta = (float(value) for value in np.asarray(theta, dtype=float))
        return Hoffmann(float(np.exp(a)), float(np.exp(b)), float(np.exp(e)), alpha, beta)

    def theta(self) -> Array:
        """(ln A, ln B, ln E, alpha, beta), the estimator's coordinates."""
        return np.array([np.log(self.A), np.log(self.B), np.log(self.E), self.alpha, self.beta])

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Nats a token for models of `params` parameters after `tokens` tokens (broadcast together)."""
        num_params, num_tokens = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
        return self.E + self.A * num_params**-self.alpha + self.B * num_tokens**-self.beta

    def optimal(self, flops: ArrayLike) -> tuple[Array, Array]:
        """The parameters and tokens of least loss on the budget C = 6 N D.

        Setting the derivative of L(N, C / 6N) to zero: N = G (C/6)^a and D = (C/6)^b / G, with
        G = (alpha A / (beta B))^(1 / (alpha + beta)).
        """
        work = np.asarray(flops, dtype=float) / FLOPS_PER_PARAM_TOKEN
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1.0 / (self.alpha + self.beta))
        return ratio * work**self.a, work**self.b / ratio

    @property
    def a(self) -> float:
        """Exponent of the compute-optimal size, N_opt ~ C^a."""
        return self.beta / (self.alpha + self.beta)

    @property
    def b(self) -> float:
        """Exponent of the compute-optimal tokens, D_opt ~ C^b."""
        return self.alpha / (self.alpha + self.beta)

    def to_dict(self) -> dict[str, float]:
        """The five parameters by name."""
        return asdict(self)


def log_loss(theta_PK: Array, log_params_N: Array, log_tokens_N: Array) -> Array:
    """ln L for every problem and point, shape (P, N)."""
    return _shares(theta_PK, log_params_N, log_tokens_N)[0]


class Derivatives(NamedTuple):
    """ln L, its gradient, and the shares of the three terms, which give the second derivative."""

    log_loss_PN: Array
    jacobian_PNK: Array
    shares_PN3: Array  # of A / N^alpha, of B / D^beta and of E; they sum to one


def log_loss_derivatives(theta_PK: Array, log_params_N: Array, log_tokens_N: Array) -> Derivatives:
    """ln L with what its first two derivatives need."""
    value_PN, shares_PN3 = _shares(theta_PK, log_params_N, log_tokens_N)
    size_PN, data_PN, floor_PN = shares_PN3[..., 0], shares_PN3[..., 1], shares_PN3[..., 2]
    jacobian_PNK = np.stack([size_PN, data_PN, floor_PN, -size_PN * log_params_N, -data_PN * log_tokens_N], axis=-1)
    return Derivatives(value_PN, jacobian_PNK, shares_PN3)


def weighted_curvature(derivatives: Derivatives, weights_PN: Array, log_params_N: Array, log_tokens_N: Array) -> Array:
    """Sum over points of weight times the Hessian of ln L, shape (P, K, K).

    The Hessian of a log-sum-exp of lines u_k is sum_k share_k grad u_k grad u_k' - grad ln L grad ln L'.
    """
    jacobian_PNK, shares_PN3 = derivatives.jacobian_PNK, derivatives.shares_PN3
    curvature_PKK = -np.swapaxes(jacobian_PNK, 1, 2) @ (jacobian_PNK * weights_PN[..., None])
    for term, slope, x_N in ((0, 3, log_params_N), (1, 4, log_tokens_N)):
        mass_PN = weights_PN * shares_PN3[..., term]
        curvature_PKK[:, term, term] += mass_PN.sum(axis=1)
        curvature_PKK[:, term, slope] -= mass_PN @ x_N
        curvature_PKK[:, slope, term] -= mass_PN @ x_N
        curvature_PKK[:, slope, slope] += mass_PN @ x_N**2
    curvature_PKK[:, 2, 2] += (weights_PN * shares_PN3[..., 2]).sum(axis=1)
    return curvature_PKK


def _shares(theta_PK: Array, log_params_N: Array, log_tokens_N: Array) -> tuple[Array, Array]:
    a, b, e, alpha, beta = (theta_PK[:, k, None] for k in range(5))
    size_PN = a - alpha * log_params_N
    data_PN = b - beta * log_tokens_N
    terms_PN3 = np.stack([size_PN, data_PN, np.broadcast_to(e, size_PN.shape)], axis=-1)
    top_PN1 = terms_PN3.max(axis=-1, keepdims=True)
    np.exp(terms_PN3 - top_PN1, out=terms_PN3)
    total_PN1 = terms_PN3.sum(axis=-1, keepdims=True)
    return (top_PN1 + np.log(total_PN1))[..., 0], terms_PN3 / total_PN1
