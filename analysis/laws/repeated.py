"""Data that repeat: Muennighoff et al. (2023), "Scaling data-constrained language models", equations 5 to 8.

L = E + A / N'^alpha + B / D'^beta, with the worth of D tokens of which U are unique, seen R = D / U - 1 times again,
D' = U + U R_D (1 - exp(-R / R_D)), and likewise of N parameters beyond the U_N that are optimal for U tokens,
N' = U_N + U_N R_N (1 - exp(-(N / U_N - 1) / R_N)), U_N = min(N, N_opt(U)).
"""

import numpy as np

from analysis.laws.base import Array, Coordinate, Expansion, Law, Logs, coefficient, exponent, floor
from analysis.laws.power import PowerSum, Term

# Beyond e^50 repeats nothing more is gained, and exp stays finite.
MOST_LOG_REPEATS = 50.0


class Repeated(Law):
    """The form above. Only its gradient is analytic: the fit then takes reweighted Gauss-Newton steps."""

    name = "repeated"
    formula = "E + A/N'^alpha + B/D'^beta"
    columns = ("params", "tokens", "unique_tokens")
    coordinates: tuple[Coordinate, ...] = (
        coefficient("A"), coefficient("B"), floor(), exponent("alpha"), exponent("beta"),
        *(Coordinate(name, -3.0, 8.0, log=True, may_vanish=True) for name in ("R_D", "R_N")),
    )  # fmt: skip

    def __init__(self) -> None:
        self.fresh = PowerSum("fresh", "", (Term("A", {"params": "alpha"}), Term("B", {"tokens": "beta"}), Term("E")))
        # The coordinates of `fresh` are A, B, E, alpha, beta: the first five of ours.
        assert self.fresh.names == tuple(c.name for c in self.coordinates[:5])

    def log_loss(self, theta_PK: Array, logs: Logs) -> Array:
        """ln L, (P, N)."""
        return self.expand(theta_PK, logs).log_loss_PN

    def expand(self, theta_PK: Array, logs: Logs) -> Expansion:
        """ln L and its gradient, by the chain rule through ln N' and ln D'."""
        log_unique_N = np.minimum(logs["unique_tokens"], logs["tokens"])
        data_PN, _, data_by_R_PN = worth(
            np.broadcast_to(log_unique_N, (len(theta_PK), len(log_unique_N))), logs["tokens"], theta_PK[:, 5, None]
        )
        base_PN, base_PNK = self._base_params(theta_PK, log_unique_N, logs["params"])
        size_PN, size_by_base_PN, size_by_R_PN = worth(base_PN, logs["params"], theta_PK[:, 6, None])
        a, b, e, alpha, beta = (theta_PK[:, k, None] for k in range(5))
        terms_3PN = np.stack([a - alpha * size_PN, b - beta * data_PN, np.broadcast_to(e, size_PN.shape)])
        value_PN = np.logaddexp.reduce(terms_3PN)
        of_size_PN, of_data_PN, of_floor_PN = np.exp(terms_3PN - value_PN)
        jacobian_PNK = np.zeros((*value_PN.shape, len(self.coordinates)))
        for k, part_PN in enumerate(
            (of_size_PN, of_data_PN, of_floor_PN, -of_size_PN * size_PN, -of_data_PN * data_PN)
        ):
            jacobian_PNK[..., k] = part_PN
        jacobian_PNK[..., :5] -= (of_size_PN * alpha * size_by_base_PN)[..., None] * base_PNK
        jacobian_PNK[..., 5] = -of_data_PN * beta * data_by_R_PN
        jacobian_PNK[..., 6] = -of_size_PN * alpha * size_by_R_PN
        return Expansion(value_PN, jacobian_PNK)

    def _base_params(self, theta_PK: Array, log_unique_N: Array, log_params_N: Array) -> tuple[Array, Array]:
        """ln U_N, (P, N), and its gradient in A, B, E, alpha, beta; on the budget 6 N_opt U the balance gives

        ln N_opt(U) = (beta ln U + ln(alpha A / (beta B))) / alpha.
        """
        a, b, _, alpha, beta = (theta_PK[:, k, None] for k in range(5))
        best_PN = (beta * log_unique_N + np.log(alpha / beta) + a - b) / alpha
        inside_PN = best_PN < log_params_N
        slopes = (1 / alpha, -1 / alpha, 0.0, (1 / alpha - best_PN) / alpha, (log_unique_N - 1 / beta) / alpha)
        gradient_PN5 = np.stack(np.broadcast_arrays(*slopes), axis=-1)
        return np.where(inside_PN, best_PN, log_params_N), gradient_PN5 * inside_PN[..., None]

    @property
    def num_shapes(self) -> int:
        """The floor, both exponents, both half-lives."""
        return 5

    def starting_points(self, logs: Logs, loss_N: Array, unit_PS: Array) -> Array:
        """Those of fresh data, with half-lives from one to a hundred repeats."""
        fresh_PK = self.fresh.starting_points(logs, loss_N, unit_PS[:, :3])
        return np.column_stack([fresh_PK, np.log(100.0) * unit_PS[:, 3:]])

    def allocation(self, theta_PK: Array) -> Array:
        """For fresh data, where N' = N and D' = D on the frontier."""
        return theta_PK[:, [0, 3, 1, 4]]


def worth(log_base_PN: Array, log_total_N: Array, log_half_P1: Array) -> tuple[Array, Array, Array]:
    """ln of base + base R* (1 - exp(-R / R*)), R = total / base - 1, and its derivatives in ln base and ln R*."""
    repeats_PN = np.expm1(np.clip(log_total_N - log_base_PN, 0.0, MOST_LOG_REPEATS))
    half_P1 = np.exp(log_half_P1)
    decay_PN = np.exp(-repeats_PN / half_P1)
    factor_PN = 1 + half_P1 * (1 - decay_PN)
    by_base_PN = 1 - decay_PN * (repeats_PN + 1) / factor_PN
    by_half_PN = (half_P1 * (1 - decay_PN) - repeats_PN * decay_PN) / factor_PN
    return log_base_PN + np.log(factor_PN), by_base_PN, by_half_PN
