"""A curve that stops: L = B (D^-m + D_s^-m)^(beta / m), a power law up to D_s tokens and constant beyond.

The corner is rounded with m = 4, so that the fit has derivatives; the elasticity -d ln L / d ln D falls from beta to
nothing within about a factor of two around D_s.
"""

import numpy as np

from analysis.laws.base import Array, Coordinate, Expansion, Law, Logs, coefficient, exponent

SHARPNESS = 4.0


class Stopping(Law):
    """The form above. Only its gradient is analytic: the fit then takes reweighted Gauss-Newton steps."""

    name = "stops"
    formula = "B (D^-4 + D_s^-4)^(beta/4)"
    columns = ("tokens",)
    coordinates: tuple[Coordinate, ...] = (
        coefficient("B"), exponent("beta"), Coordinate("D_s", 0.0, 50.0, log=True, may_vanish=True),
    )  # fmt: skip

    def log_loss(self, theta_PK: Array, logs: Logs) -> Array:
        """ln L, (P, N)."""
        return self.expand(theta_PK, logs).log_loss_PN

    def expand(self, theta_PK: Array, logs: Logs) -> Expansion:
        """ln L and its gradient."""
        log_b, beta, log_stop = (theta_PK[:, k, None] for k in range(3))
        log_sum = np.logaddexp(-SHARPNESS * logs["tokens"], -SHARPNESS * log_stop)
        stopped = np.exp(-SHARPNESS * log_stop - log_sum)
        value_PN = log_b + beta / SHARPNESS * log_sum
        gradient = (np.ones_like(value_PN), log_sum / SHARPNESS, -beta * stopped)
        return Expansion(value_PN, np.stack(gradient, axis=-1))

    @property
    def num_shapes(self) -> int:
        """The exponent and the stop."""
        return 2

    def starting_points(self, logs: Logs, loss_N: Array, unit_PS: Array) -> Array:
        """Exponents over a small curve's range, stops from its first tokens to ten times its last, B fitted."""
        tokens_N = logs["tokens"]
        beta_P = 0.01 + 0.6 * unit_PS[:, 0]
        stop_P = tokens_N.min() + (tokens_N.max() + np.log(10) - tokens_N.min()) * unit_PS[:, 1]
        shape_PN = self.log_loss(np.column_stack([np.zeros_like(beta_P), beta_P, stop_P]), logs)
        return np.column_stack([(np.log(loss_N) - shape_PN).mean(axis=1), beta_P, stop_P])
