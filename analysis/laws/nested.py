"""A power of a sum: L = E + (A / N^alpha + B / D^beta)^gamma, in which size and data interact.

gamma = 1 is Hoffmann's form; without the floor and with beta = 1 it is Kaplan et al. (2020), equation 1.5, whose
L = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D has gamma = alpha_D and alpha = alpha_N / alpha_D.
"""

import numpy as np

from analysis.laws.base import Array, Coordinate, Curvature, Expansion, Law, Logs, exponent, floor
from analysis.laws.power import LEAST_EXPONENT, MOST_EXPONENT, LogSumCurvature, PowerSum, Term, fitted_factors, log_sum


class Nested(Law):
    """The form above; `floor_too` adds E, `beta` holds the exponent of the data inside the power at that value."""

    columns = ("params", "tokens")
    num_inner = 4  # ln A, ln B, alpha, beta; gamma follows, and ln E

    def __init__(self, name: str, formula: str, *, floor_too: bool, beta: float | None = None) -> None:
        self.name, self.formula, self.floor_too = name, formula, floor_too
        self.inner = PowerSum("inner", "", (Term("A", {"params": "alpha"}), Term("B", {"tokens": "beta"})))
        # A and B are inside the power: where gamma is small they are large.
        factors = (Coordinate(name, -50.0, 400.0, log=True) for name in ("A", "B"))
        held = exponent("beta") if beta is None else Coordinate("beta", beta, beta)
        self.coordinates: tuple[Coordinate, ...] = (
            *factors, exponent("alpha"), held, exponent("gamma"), *([floor()] * floor_too),
        )  # fmt: skip

    def log_loss(self, theta_PK: Array, logs: Logs) -> Array:
        """ln L, (P, N)."""
        inside_PN = log_sum(theta_PK[:, : self.num_inner], self.inner.lines(logs))[0]
        powered_PN = theta_PK[:, self.num_inner, None] * inside_PN
        return np.logaddexp(powered_PN, theta_PK[:, -1:]) if self.floor_too else powered_PN

    def expand(self, theta_PK: Array, logs: Logs) -> Expansion:
        """ln L with both derivatives, by the chain rule through the inner sum."""
        lines_JNK = self.inner.lines(logs)
        inside_PN, shares_JPN = log_sum(theta_PK[:, : self.num_inner], lines_JNK)
        inner_PNK = np.einsum("jpn,jnk->pnk", shares_JPN, lines_JNK)
        gamma_P1 = theta_PK[:, self.num_inner, None]
        powered_PNK = np.zeros((*inside_PN.shape, len(self.coordinates)))
        powered_PNK[..., : self.num_inner] = gamma_P1[..., None] * inner_PNK
        powered_PNK[..., self.num_inner] = inside_PN
        value_PN, share_PN = gamma_P1 * inside_PN, np.ones_like(inside_PN)
        if self.floor_too:
            total_PN = np.logaddexp(value_PN, theta_PK[:, -1:])
            value_PN, share_PN = total_PN, np.exp(value_PN - total_PN)
        jacobian_PNK = share_PN[..., None] * powered_PNK
        if self.floor_too:
            jacobian_PNK[..., -1] = 1 - share_PN
        inner = LogSumCurvature(lines_JNK, shares_JPN, inner_PNK)
        return Expansion(
            value_PN, jacobian_PNK, NestedCurvature(inner, gamma_P1, powered_PNK, share_PN, self.floor_too)
        )

    @property
    def num_shapes(self) -> int:
        """alpha, beta, gamma and the floor."""
        return len(self.coordinates) - 2

    def starting_points(self, logs: Logs, loss_N: Array, unit_PS: Array) -> Array:
        """gamma spread over the usual range of exponents, inside it powers near one, factors fitted to each."""
        theta_PK = np.zeros((len(unit_PS), len(self.coordinates)))
        theta_PK[:, 2:4] = np.clip(0.3 + 1.4 * unit_PS[:, :2], *self.bounds_K2[2:4].T)
        gamma_P = LEAST_EXPONENT + (MOST_EXPONENT - LEAST_EXPONENT) * unit_PS[:, 2]
        theta_PK[:, self.num_inner] = gamma_P
        floor_P = np.zeros(len(unit_PS))
        if self.floor_too:
            floor_P = loss_N.min() * (0.05 + 0.93 * unit_PS[:, -1])
            theta_PK[:, -1] = np.log(floor_P)
        inside_PN = (loss_N - floor_P[:, None]) ** (1 / gamma_P[:, None])
        exponents_JPN = np.einsum("pk,jnk->jpn", theta_PK[:, : self.num_inner], self.inner.lines(logs))
        theta_PK[:, :2] = fitted_factors(exponents_JPN, inside_PN)
        return theta_PK

    def allocation(self, theta_PK: Array) -> Array:
        """The power is monotone: the balance inside it decides."""
        return theta_PK[:, [0, 2, 1, 3]]


class NestedCurvature(Curvature):
    """Hessian of ln(E + exp u), u = gamma v(theta): through the floor, through the product, through the inner sum."""

    def __init__(
        self, inner: LogSumCurvature, gamma_P1: Array, powered_PNK: Array, share_PN: Array, floor_too: bool
    ) -> None:
        self.inner, self.gamma_P1, self.powered_PNK = inner, gamma_P1, powered_PNK
        self.share_PN, self.floor_too = share_PN, floor_too

    def weighted(self, weights_PN: Array) -> Array:
        """Sum over points of weight times Hessian, (P, K, K)."""
        num_inner = self.inner.jacobian_PNK.shape[2]
        through_PN = weights_PN * self.share_PN
        # u = gamma v: gamma times the Hessian of v, and the mixed terms of the product.
        total_PKK = np.zeros((len(weights_PN), *[self.powered_PNK.shape[2]] * 2))
        total_PKK[:, :num_inner, :num_inner] = self.inner.weighted(through_PN * self.gamma_P1)
        mixed_PK = (through_PN[:, None, :] @ self.inner.jacobian_PNK)[:, 0]
        total_PKK[:, :num_inner, num_inner] += mixed_PK
        total_PKK[:, num_inner, :num_inner] += mixed_PK
        if self.floor_too:
            # ln(exp e + exp u): s (1 - s) times the square of the gradient of u - e.
            apart_PNK = self.powered_PNK.copy()
            apart_PNK[..., -1] = -1.0
            mass_PN = through_PN * (1 - self.share_PN)
            total_PKK += np.swapaxes(apart_PNK, 1, 2) @ (apart_PNK * mass_PN[..., None])
        return total_PKK
