"""A quantity against the size of a model, a point a member: three forms, and the one that foresees points it lacks.

y is the logarithm of what is measured (a ratio of speeds, a divergence), n a member's parameters over their geometric
mean. A ratio of two costs, each an overhead and a share that grows with the parameters, is (A + B n) / (1 + C n), which
saturates at both ends; between them it looks like a power of n, and where both overheads rule like a constant.

Axes: M members, P coefficients, K values on a grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student

Array = np.ndarray
Form = Literal["constant", "power", "costs"]
SIMPLE: tuple[Form, ...] = ("constant", "power")
FORMS: tuple[Form, ...] = (*SIMPLE, "costs")
FORMULAS: dict[Form, str] = {
    "constant": "ln y = a",
    "power": "ln y = a + b ln n",
    "costs": "ln y = a + ln(1 + b n) - ln(1 + c n), b and c at least 0",
}
NAMES: dict[Form, tuple[str, ...]] = {"constant": ("a",), "power": ("a", "b"), "costs": ("a", "b", "c")}
# A member left out of the choice must leave a degree of freedom, or every form of so many coefficients fits what is
# left exactly.
LEAST_MEMBERS: dict[Form, int] = {"constant": 3, "power": 3, "costs": 5}
LOG_SLOPES_K = np.linspace(-9.0, 7.0, 33)  # where b and c are looked for; the first stands for 0
ZOOMS = 10  # of the grid around the best pair, each half as wide
ZOOMED_K = np.arange(-3, 4)
SPARING = 0.7  # times the error of the better of the other forms, left-out members predicted
LAW_LEVEL, HELD_OUT_LEVEL = 0.95, 0.90


@dataclass(frozen=True)
class Points:
    """One point a member, members in the order of their size; noise is the standard error that its samples showed."""

    params_M: Array
    log_value_M: Array
    noise_M: Array

    def only(self, chosen_M: Array) -> "Points":
        """Those members."""
        return Points(self.params_M[chosen_M], self.log_value_M[chosen_M], self.noise_M[chosen_M])

    def __len__(self) -> int:
        return len(self.params_M)


@dataclass(frozen=True)
class Fitted:
    """A form with its coefficients.

    covariance_PP is that of the coefficients over the variance of a point; spread is a point's standard deviation
    around the law: the residual one, or the samples' own where the points lie closer to the law than these allow, or
    the error at members left out (see `choose`).
    """

    form: Form
    reference: float  # parameters at n = 1
    coefficients_P: Array
    covariance_PP: Array
    spread: float
    residual: float
    freedom: int

    def log_value(self, params_M: Array) -> Array:
        """The law's ln y."""
        return _value(self.form, self.coefficients_P, np.asarray(params_M) / self.reference)

    def half_width(self, params_M: Array, noise: float | None = None, level: float = HELD_OUT_LEVEL) -> Array:
        """Of the interval of one further measurement in ln y; `noise` is its standard error where known.

        Without noise counts as noisy as those fitted. The interval of a regression, with Student's t.
        """
        jacobian_MP = _jacobian(self.form, self.coefficients_P, np.asarray(params_M) / self.reference)
        law_M = np.einsum("mp,pq,mq->m", jacobian_MP, self.covariance_PP, jacobian_MP)
        own = max(self.spread, noise or 0.0)
        return half_width(level, self.freedom) * np.sqrt(self.spread**2 * law_M + own**2)

    def intervals(self) -> list[tuple[float, float]]:
        """Of the coefficients, at LAW_LEVEL."""
        half_P = half_width(LAW_LEVEL, self.freedom) * self.spread * np.sqrt(np.diag(self.covariance_PP))
        least = [-np.inf, 0.0, 0.0] if self.form == "costs" else [-np.inf] * len(half_P)
        return [
            (float(max(value - half, floor)), float(value + half))
            for value, half, floor in zip(self.coefficients_P, half_P, least, strict=True)
        ]


def fit(form: Form, points: Points) -> Fitted:
    """Least squares in ln y; needs more members than coefficients."""
    reference = float(np.exp(np.log(points.params_M).mean()))
    n_M, y_M = points.params_M / reference, points.log_value_M
    coefficients_P = _solve(form, n_M, y_M)
    jacobian_MP = _jacobian(form, coefficients_P, n_M)
    freedom = len(points) - len(NAMES[form])
    assert freedom > 0, f"{len(points)} members, {len(NAMES[form])} coefficients"
    residual = float(np.sqrt(((y_M - _value(form, coefficients_P, n_M)) ** 2).sum() / freedom))
    spread = max(residual, float(np.sqrt((points.noise_M**2).mean())))
    covariance_PP = np.linalg.pinv(jacobian_MP.T @ jacobian_MP)
    return Fitted(form, reference, coefficients_P, covariance_PP, spread, residual, freedom)


def leave_one_out(points: Points) -> dict[Form, float]:
    """Root mean square error in ln y of each form at members that it was fitted without."""
    errors: dict[Form, float] = {}
    members_M = np.arange(len(points))
    for form in FORMS:
        if len(points) < LEAST_MEMBERS[form]:
            continue
        missed = []
        for member in members_M:
            rest = points.only(members_M != member)
            reference = float(np.exp(np.log(rest.params_M).mean()))
            solved_P = _solve(form, rest.params_M / reference, rest.log_value_M)
            told = _value(form, solved_P, points.params_M[member : member + 1] / reference)[0]
            missed.append(told - points.log_value_M[member])
        errors[form] = float(np.sqrt(np.mean(np.square(missed))))
    return errors


def choose(points: Points) -> tuple[Fitted, dict[Form, float]]:
    """The form of least error when a member is left out, fitted to all of these points, and all errors.

    Costs on both sides must earn their third coefficient by SPARING. A simpler form is trusted no further than its
    error at members left out: it was chosen because it happened to fit, and may hide a bend.
    """
    errors = leave_one_out(points)
    simple = min(SIMPLE, key=lambda form: errors[form])
    if errors.get("costs", np.inf) < SPARING * errors[simple]:
        return fit("costs", points), errors
    fitted = fit(simple, points)
    return replace(fitted, spread=max(fitted.spread, errors[simple])), errors


def _solve(form: Form, n_M: Array, y_M: Array) -> Array:
    if form == "costs":
        return _solve_costs(n_M, y_M)
    return np.linalg.lstsq(_jacobian(form, np.zeros(len(NAMES[form])), n_M), y_M, rcond=None)[0]


def _solve_costs(n_M: Array, y_M: Array) -> Array:
    """The best pair of slopes of a grid, then finer grids around it; the level is linear and follows.

    No gradients: where the ratio is nearly constant, equal slopes of any size fit, and Newton's method wanders.
    """
    best, step = _best_slopes(LOG_SLOPES_K, LOG_SLOPES_K, n_M, y_M), LOG_SLOPES_K[1] - LOG_SLOPES_K[0]
    for _ in range(ZOOMS):
        step /= 2
        around_2K = np.clip(best[:, None] + step * ZOOMED_K, LOG_SLOPES_K[0], LOG_SLOPES_K[-1])
        best = _best_slopes(*around_2K, n_M, y_M)
    slopes = np.where(best == LOG_SLOPES_K[0], 0.0, np.exp(best))
    level = (y_M - np.log1p(slopes[0] * n_M) + np.log1p(slopes[1] * n_M)).mean()
    return np.array([level, *slopes])


def _best_slopes(log_b_K: Array, log_c_K: Array, n_M: Array, y_M: Array) -> Array:
    """Of all pairs (ln b, ln c) the first that leaves the least squares."""
    above_KM, below_KM = (np.log1p(np.exp(logs_K)[:, None] * n_M) for logs_K in (log_b_K, log_c_K))
    left_KKM = (y_M - above_KM)[:, None] + below_KM
    b, c = np.unravel_index(left_KKM.var(axis=-1).argmin(), left_KKM.shape[:2])
    return np.array([log_b_K[b], log_c_K[c]])


def _value(form: Form, coefficients_P: Array, n_M: Array) -> Array:
    if form == "costs":
        level, b, c = coefficients_P
        return level + np.log1p(b * n_M) - np.log1p(c * n_M)
    return _jacobian(form, coefficients_P, n_M) @ coefficients_P


def _jacobian(form: Form, coefficients_P: Array, n_M: Array) -> Array:
    ones_M = np.ones_like(n_M, dtype=float)
    if form == "costs":
        _, b, c = coefficients_P
        return np.stack([ones_M, n_M / (1 + b * n_M), -n_M / (1 + c * n_M)], axis=1)
    return np.stack([ones_M, np.log(n_M)][: len(NAMES[form])], axis=1)


def half_width(level: float, freedom: int) -> float:
    """Of a two-sided interval of that level, in standard deviations: Student's t."""
    return float(student.ppf((1 + level) / 2, freedom))


def law_values(law: Mapping[str, Any], params_M: Array) -> Array:
    """A law in N of the analysis, at these parameters: y itself. Its form may not be None."""
    coefficients_P = np.array([entry["value"] for entry in law["coefficients"].values()])
    return np.exp(_value(law["form"], coefficients_P, np.asarray(params_M) / law["reference_params"]))
