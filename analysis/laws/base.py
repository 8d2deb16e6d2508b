"""What a law is: a loss in nats a token as a function of a run's columns, with the derivatives that a fit needs.

Axes: P problems (starts, bootstrap draws, simulated sweeps), N points, K coordinates, J terms.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Natural logarithms of a table's columns, (N,) each: "params", "tokens", for some laws "unique_tokens".
Logs = Mapping[str, Array]
FLOPS_PER_PARAM_TOKEN = 6.0  # C = 6 N D: forward and backward of every matrix, attention left out (Kaplan et al. 2020)


@dataclass(frozen=True)
class Coordinate:
    """One number that a fit moves, inside [low, high]; `log`: it is the natural logarithm of the named parameter.

    `may_vanish`: there is a law where the data push it to an end of its range, as a floor that may be zero.
    """

    name: str
    low: float
    high: float
    log: bool = False
    may_vanish: bool = False


def coefficient(name: str) -> Coordinate:
    """A positive factor such as A, moved as its logarithm."""
    return Coordinate(name, -10.0, 60.0, log=True)


def exponent(name: str) -> Coordinate:
    """A positive exponent such as alpha."""
    return Coordinate(name, 1e-3, 4.0)


def floor(name: str = "E") -> Coordinate:
    """The loss that no model and no data take away, moved as its logarithm."""
    return Coordinate(name, -12.0, 12.0, log=True, may_vanish=True)


@dataclass(frozen=True)
class Expansion:
    """ln L at P x N points, its gradient, and what gives its second derivative (None: only the gradient is known)."""

    log_loss_PN: Array
    jacobian_PNK: Array
    curvature: "Curvature | None" = None


class Curvature(ABC):
    """The Hessian of ln L, summed over points with weights."""

    @abstractmethod
    def weighted(self, weights_PN: Array) -> Array:
        """Sum over points of weight times Hessian, (P, K, K)."""


class Law(ABC):
    """A functional form. `columns` are the logarithms it reads."""

    name: str
    formula: str
    columns: tuple[str, ...]
    coordinates: tuple[Coordinate, ...]

    @abstractmethod
    def log_loss(self, theta_PK: Array, logs: Logs) -> Array:
        """ln L for every problem and point, (P, N)."""

    @abstractmethod
    def expand(self, theta_PK: Array, logs: Logs) -> Expansion:
        """ln L with its derivatives."""

    @abstractmethod
    def starting_points(self, logs: Logs, loss_N: Array, unit_PS: Array) -> Array:
        """Initial coordinates (P, K) from points of the unit cube (P, `num_shapes`): shapes drawn, factors solved."""

    @property
    @abstractmethod
    def num_shapes(self) -> int:
        """How many coordinates of a starting point are drawn rather than solved for."""

    @property
    def bounds_K2(self) -> Array:
        """The search box."""
        return np.array([(c.low, c.high) for c in self.coordinates])

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in the order of the coordinates."""
        return tuple(c.name for c in self.coordinates)

    def values(self, theta_PK: Array) -> Array:
        """Parameters (P, K) from coordinates."""
        logs_K = np.array([c.log for c in self.coordinates])
        return np.where(logs_K, np.exp(np.where(logs_K, theta_PK, 0.0)), theta_PK)

    def theta(self, params: Mapping[str, float]) -> Array:
        """Coordinates (K,) from parameters by name."""
        return np.array([np.log(params[c.name]) if c.log else params[c.name] for c in self.coordinates])

    def allocation(self, theta_PK: Array) -> Array | None:
        """ln A, alpha, ln B, beta (P, 4) of A / N^alpha + B / D^beta, whose balance decides the compute-optimal size.

        None for a law that has no such balance: with one column only, nothing is to be shared out.
        """
        return None
