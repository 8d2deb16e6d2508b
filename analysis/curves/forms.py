"""Forms of a learning curve. Axes: P problems (starts of every origin), N points, K parameters.

Coordinates: u = ln x - ln x_last and v = ln y - ln y_last, where (x_last, y_last) is the last point fitted to; so the
units of x and y do not matter and u = 0 is where a forecast begins. A form says v(u) with its gradient, and holds a
normal prior, independent over its parameters: weak enough for any curve with a bend to show, and what keeps a floor,
an exponent or a break where few points speak of it.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from analysis.laws import Array


class Prior(NamedTuple):
    """Mean and standard deviation of each of the K parameters."""

    mean_K: Array
    sd_K: Array


class Form(Protocol):
    """A family of curves v(u; theta)."""

    @property
    def name(self) -> str:
        """As in the literature."""
        ...

    @property
    def prior(self) -> Prior:
        """Of theta."""
        ...

    def value(self, theta_PK: Array, u_PN: Array) -> Array:
        """v at every point, shape (P, N)."""
        ...

    def expand(self, theta_PK: Array, u_PN: Array) -> tuple[Array, Array]:
        """v and its gradient, shapes (P, N) and (P, N, K)."""
        ...

    def exponent(self, theta_K: Array) -> float:
        """c of the last power law, y - limit ~ x^-c."""
        ...

    def log_limit(self, theta_K: Array) -> float:
        """v as x grows without end; minus infinity where the form has no floor."""
        ...


SLOPE = (0.4, 0.4)  # exponents of published learning curves lie in 0 to 1
LOG_FLOOR = (-1.0, 1.0)  # of the floor over the last y: e^-1, a factor e either way


@dataclass(frozen=True)
class Broken:
    """Smoothly broken power laws (BNSL, Caballero et al. 2023), with `breaks` breaks and perhaps a floor.

    v = ln(e^a + e^p) with p = b - g u + sum_i h_i f_i softplus(-(u - d_i) / f_i): the exponent is g at the end and
    h_i more before the break at d_i, whose width is f_i. In Caballero's letters g is c_0 + ... + c_n and h_i = -c_i;
    counting from the end makes b and g what the last points say. theta = (b, g, [a], h_1, d_1, ln f_1, ...). Without
    breaks it is M2, without a floor either it is M1 (Alabdulmohsin et al. 2022).
    """

    name: str
    breaks: int
    floor: bool

    @property
    def prior(self) -> Prior:
        """A break changes the exponent by about 0.5, lies 2.5 e-folds back and is half an e-fold wide."""
        rows = [
            (-0.4, 1.0),
            SLOPE,
            *([LOG_FLOOR] * self.floor),
            *([(0.0, 0.5), (-2.5, 1.5), (-0.7, 0.7)] * self.breaks),
        ]
        return Prior(*np.array(rows).T)

    def value(self, theta_PK: Array, u_PN: Array) -> Array:
        """See `Form`."""
        log_power_PN = theta_PK[:, 0, None] - theta_PK[:, 1, None] * u_PN
        for first in range(2 + self.floor, theta_PK.shape[1], 3):
            change, place, log_width = (theta_PK[:, first + k, None] for k in range(3))
            width = np.exp(log_width)
            log_power_PN += change * width * softplus((place - u_PN) / width)
        return np.logaddexp(theta_PK[:, 2, None], log_power_PN) if self.floor else log_power_PN

    def expand(self, theta_PK: Array, u_PN: Array) -> tuple[Array, Array]:
        """See `Form`."""
        log_power_PN = theta_PK[:, 0, None] - theta_PK[:, 1, None] * u_PN
        columns = [np.ones_like(log_power_PN), np.broadcast_to(-u_PN, log_power_PN.shape)]
        for first in range(2 + self.floor, theta_PK.shape[1], 3):
            change, place, log_width = (theta_PK[:, first + k, None] for k in range(3))
            width = np.exp(log_width)
            z_PN = (place - u_PN) / width
            ramp_PN, share_PN = softplus(z_PN), sigmoid(z_PN)
            log_power_PN = log_power_PN + change * width * ramp_PN
            columns += [width * ramp_PN, change * share_PN, change * width * (ramp_PN - z_PN * share_PN)]
        if not self.floor:
            return log_power_PN, np.stack(columns, axis=-1)
        value_PN = np.logaddexp(theta_PK[:, 2, None], log_power_PN)
        above_PN = np.exp(log_power_PN - value_PN)
        columns = [above_PN * column for column in columns]
        return value_PN, np.stack([*columns[:2], 1 - above_PN, *columns[2:]], axis=-1)

    def exponent(self, theta_K: Array) -> float:
        """See `Form`."""
        return float(theta_K[1])

    def log_limit(self, theta_K: Array) -> float:
        """See `Form`."""
        return float(theta_K[2]) if self.floor else -np.inf


@dataclass(frozen=True)
class Shifted:
    """M3: y = b (1/x + k)^c (Alabdulmohsin et al. 2022); v = beta + c ln(e^-u + e^kappa), theta = (beta, c, kappa)."""

    name: str = "M3"

    @property
    def prior(self) -> Prior:
        """See `Form`."""
        return Prior(*np.array([(0.0, 1.0), SLOPE, (-1.0, 1.5)]).T)

    def value(self, theta_PK: Array, u_PN: Array) -> Array:
        """See `Form`."""
        return theta_PK[:, 0, None] + theta_PK[:, 1, None] * np.logaddexp(-u_PN, theta_PK[:, 2, None])

    def expand(self, theta_PK: Array, u_PN: Array) -> tuple[Array, Array]:
        """See `Form`."""
        exponent, shift = theta_PK[:, 1, None], theta_PK[:, 2, None]
        log_sum_PN = np.logaddexp(-u_PN, shift)
        columns = [np.ones_like(log_sum_PN), log_sum_PN, exponent * sigmoid(shift + u_PN)]
        return theta_PK[:, 0, None] + exponent * log_sum_PN, np.stack(columns, axis=-1)

    def exponent(self, theta_K: Array) -> float:
        """See `Form`."""
        return float(theta_K[1])

    def log_limit(self, theta_K: Array) -> float:
        """See `Form`."""
        return float(theta_K[0] + theta_K[1] * theta_K[2])


@dataclass(frozen=True)
class Sigmoidal:
    """M4: (y - e) / (e0 - y)^alpha = b x^-c (Alabdulmohsin et al. 2022), a floor e and a start e0.

    With y = e + (e0 - e) sigmoid(t) it reads ln sigmoid(t) - alpha ln sigmoid(-t) = beta - c u, whose left side rises
    from slope 1 to slope alpha: Newton's method from the nearer asymptote converges. The start is e0 = e + exp(s)
    in units of y_last. theta = (ln e, s, ln alpha, beta, c).
    """

    name: str = "M4"

    @property
    def prior(self) -> Prior:
        """See `Form`."""
        return Prior(*np.array([LOG_FLOOR, (0.7, 1.0), (0.0, 0.5), (-0.5, 1.5), SLOPE]).T)

    def value(self, theta_PK: Array, u_PN: Array) -> Array:
        """See `Form`."""
        floor, height = (np.exp(theta_PK[:, k, None]) for k in (0, 1))
        return np.log(floor + height * sigmoid(self._solve(theta_PK, u_PN)))

    def expand(self, theta_PK: Array, u_PN: Array) -> tuple[Array, Array]:
        """See `Form`."""
        floor, height, alpha = (np.exp(theta_PK[:, k, None]) for k in (0, 1, 2))
        t_PN = self._solve(theta_PK, u_PN)
        share_PN = sigmoid(t_PN)
        y_PN = floor + height * share_PN
        bend_PN = height * share_PN * (1 - share_PN) / y_PN / (1 - share_PN + alpha * share_PN)
        columns = [floor / y_PN, height * share_PN / y_PN, -bend_PN * alpha * softplus(t_PN), bend_PN, -bend_PN * u_PN]
        return np.log(y_PN), np.stack(columns, axis=-1)

    def _solve(self, theta_PK: Array, u_PN: Array, steps: int = 8) -> Array:
        alpha = np.exp(theta_PK[:, 2, None])
        right_PN = theta_PK[:, 3, None] - theta_PK[:, 4, None] * u_PN
        t_PN = np.where(right_PN < 0, right_PN, right_PN / alpha)
        for _ in range(steps):
            share_PN = sigmoid(t_PN)
            left_PN = -softplus(-t_PN) + alpha * softplus(t_PN)
            t_PN = t_PN - (left_PN - right_PN) / (1 - share_PN + alpha * share_PN)
        return t_PN

    def exponent(self, theta_K: Array) -> float:
        """See `Form`."""
        return float(theta_K[4])

    def log_limit(self, theta_K: Array) -> float:
        """See `Form`."""
        return float(theta_K[0])


FORMS: tuple[Form, ...] = (
    Broken("M1", breaks=0, floor=False),
    Broken("M2", breaks=0, floor=True),
    Shifted(),
    Sigmoidal(),
    Broken("BNSL-1", breaks=1, floor=True),
    Broken("BNSL-2", breaks=2, floor=True),
)


def softplus(z: Array) -> Array:
    """ln(1 + e^z)."""
    return np.logaddexp(0.0, z)


def sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z)."""
    return 0.5 + 0.5 * np.tanh(0.5 * z)
