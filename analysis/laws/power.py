"""Sums of powers: L = sum of terms c * x^-p * ..., whose logarithm is a log-sum-exp of lines in the coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.laws.base import Array, Coordinate, Curvature, Expansion, Law, Logs, coefficient, exponent, floor

# Exponents tried at the start: every published fit lies well inside.
LEAST_EXPONENT, MOST_EXPONENT = 0.05, 1.2


@dataclass(frozen=True)
class Term:
    """coefficient * product of column^-exponent; no powers: a constant."""

    coefficient: str
    powers: Mapping[str, str] = field(default_factory=dict)


class PowerSum(Law):
    """A law that is the sum of its `terms`; the one without powers, if any, is the floor."""

    def __init__(self, name: str, formula: str, terms: tuple[Term, ...]) -> None:
        self.name, self.formula, self.terms = name, formula, terms
        self.columns = tuple(dict.fromkeys(column for term in terms for column in term.powers))
        self.powered = tuple(term for term in terms if term.powers)
        factors = [coefficient(t.coefficient) if t.powers else floor(t.coefficient) for t in terms]
        exponents = dict.fromkeys(name for term in terms for name in term.powers.values())
        self.coordinates: tuple[Coordinate, ...] = (*factors, *(exponent(name) for name in exponents))
        self._place = {c.name: k for k, c in enumerate(self.coordinates)}

    def lines(self, logs: Logs) -> Array:
        """The slopes of every term's logarithm in the coordinates, (J, N, K)."""
        num_points = len(logs[self.columns[0]])
        lines_JNK = np.zeros((len(self.terms), num_points, len(self.coordinates)))
        for j, term in enumerate(self.terms):
            lines_JNK[j, :, self._place[term.coefficient]] = 1.0
            for column, name in term.powers.items():
                lines_JNK[j, :, self._place[name]] -= logs[column]
        return lines_JNK

    def log_loss(self, theta_PK: Array, logs: Logs) -> Array:
        """ln L, (P, N)."""
        return log_sum(theta_PK, self.lines(logs))[0]

    def expand(self, theta_PK: Array, logs: Logs) -> Expansion:
        """ln L with both derivatives."""
        lines_JNK = self.lines(logs)
        value_PN, shares_JPN = log_sum(theta_PK, lines_JNK)
        jacobian_PNK = np.einsum("jpn,jnk->pnk", shares_JPN, lines_JNK)
        return Expansion(value_PN, jacobian_PNK, LogSumCurvature(lines_JNK, shares_JPN, jacobian_PNK))

    @property
    def num_shapes(self) -> int:
        """The exponents, and the floor."""
        return len(self.coordinates) - len(self.powered)

    def starting_points(self, logs: Logs, loss_N: Array, unit_PS: Array) -> Array:
        """Exponents spread over their usual range, the floor below the least loss, factors fitted to each."""
        theta_PK = np.zeros((len(unit_PS), len(self.coordinates)))
        shapes = [k for k, c in enumerate(self.coordinates) if c.name not in {t.coefficient for t in self.powered}]
        floor_P = np.zeros(len(unit_PS))
        for column, k in enumerate(shapes):
            if self.coordinates[k].log:
                floor_P = loss_N.min() * (0.05 + 0.93 * unit_PS[:, column])
                theta_PK[:, k] = np.log(floor_P)
            else:
                theta_PK[:, k] = LEAST_EXPONENT + (MOST_EXPONENT - LEAST_EXPONENT) * unit_PS[:, column]
        lines_JNK = self.lines(logs)
        powered = [j for j, term in enumerate(self.terms) if term.powers]
        exponents_JPN = np.einsum("pk,jnk->jpn", theta_PK, lines_JNK[powered])
        factors_PJ = fitted_factors(exponents_JPN, loss_N - floor_P[:, None])
        for j, term in enumerate(self.powered):
            theta_PK[:, self._place[term.coefficient]] = factors_PJ[:, j]
        return theta_PK

    def allocation(self, theta_PK: Array) -> Array | None:
        """Where the law has one term of params alone and one of tokens alone, and no other with powers."""
        by_column = {tuple(term.powers): term for term in self.powered}
        if set(by_column) != {("params",), ("tokens",)}:
            return None
        names = [
            name
            for column in ("params", "tokens")
            for name in (by_column[(column,)].coefficient, by_column[(column,)].powers[column])
        ]
        return theta_PK[:, [self._place[name] for name in names]]


class LogSumCurvature(Curvature):
    """Hessian of a log-sum-exp of lines u_j: sum_j share_j grad u_j grad u_j' - grad grad'."""

    def __init__(self, lines_JNK: Array, shares_JPN: Array, jacobian_PNK: Array) -> None:
        self.lines_JNK, self.shares_JPN, self.jacobian_PNK = lines_JNK, shares_JPN, jacobian_PNK

    def weighted(self, weights_PN: Array) -> Array:
        """Sum over points of weight times Hessian, (P, K, K)."""
        total_PKK = -np.swapaxes(self.jacobian_PNK, 1, 2) @ (self.jacobian_PNK * weights_PN[..., None])
        size = total_PKK.shape[1:]
        for lines_NK, shares_PN in zip(self.lines_JNK, self.shares_JPN, strict=True):
            squares_NKK = lines_NK[:, :, None] * lines_NK[:, None, :]
            total_PKK += ((weights_PN * shares_PN) @ squares_NKK.reshape(len(lines_NK), -1)).reshape(-1, *size)
        return total_PKK


def log_sum(theta_PK: Array, lines_JNK: Array) -> tuple[Array, Array]:
    """Log-sum-exp over terms, (P, N), and the shares of the terms, (J, P, N), which sum to one."""
    terms_JPN = np.stack([theta_PK @ lines_NK.T for lines_NK in lines_JNK])
    top_PN = terms_JPN.max(axis=0)
    terms_JPN -= top_PN
    np.exp(terms_JPN, out=terms_JPN)
    total_PN = terms_JPN.sum(axis=0)
    terms_JPN /= total_PN
    return top_PN + np.log(total_PN), terms_JPN


def fitted_factors(exponents_JPN: Array, target_PN: Array) -> Array:
    """Logarithms (P, J) of the factors that fit sum_j c_j exp(exponents_j) to the target by least squares.

    The features are centred, so that the systems are well scaled in any units; a factor that comes out negative is one
    that brings a twentieth of the target instead.
    """
    centre_JP1 = exponents_JPN.mean(axis=2, keepdims=True)
    features_PNJ = np.moveaxis(np.exp(exponents_JPN - centre_JP1), 0, 2)
    features_PJN = np.swapaxes(features_PNJ, 1, 2)
    gram_PJJ = features_PJN @ features_PNJ + 1e-9 * np.eye(features_PNJ.shape[2])
    factors_PJ = np.linalg.solve(gram_PJJ, features_PJN @ target_PN[..., None])[..., 0]
    least_P1 = 0.05 * np.abs(target_PN).mean(axis=1, keepdims=True)
    return np.log(np.maximum(factors_PJ, least_P1)) - centre_JP1[..., 0].T
