"""Continues a learning curve: several forms, each judged where it did not look, and the average of the better half.

Axes: C candidates, O origins, R rolling origins, N training points, T target points; all in ln x and ln y.

Candidates are fitted at rolling origins and asked about the training points beyond, as far away as the targets are.
Their errors rank them; the better half is averaged with equal weights, because weights fitted to a few errors lose
more than they gain (Smith and Wallis 2009; trimming: Aiolfi and Timmermann 2006). The average's own errors say how
far a change is to be believed (`believed`) and how wide the intervals are (`half_width`).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from analysis.curves.fit import Window, fit_form, window
from analysis.curves.forms import FORMS
from analysis.curves.rolling import NEAR, Rolls, origins
from analysis.laws import Array

PERSISTENCE, LINE = "persistence", "line"
NAMES = (PERSISTENCE, LINE, *(form.name for form in FORMS))
BROKEN = ("M2", "BNSL-1", "BNSL-2")  # a power law and a floor with 0, 1 and 2 breaks
MIN_REACH = float(np.log(1.25))
OUTCLASSED = 5.0
MAX_POINTS = 100  # more are averaged: the last e-fold of a long run says no more for having thousands of points
# A forecast change is kept where it is large against three rolling errors, or against this slope of ln y over ln x.
# Seen on published curves, six of which go flat unannounced: for these six it matters, and nothing in the curves'
# past asks for it. Over all 44 the mean error is .0265 without it, and .0246 to .0258 for 1 to 5 and 0.02 to 0.06.
DOUBT_ERRORS, DOUBT_SLOPE = 3.0, 0.03
# Intervals start from an error of this share of the curve's mean slope, worth two rolling origins.
PRIOR_SHARE, PRIOR_ROLLS = 0.25, 2.0


@dataclass(frozen=True)
class Candidate:
    """One form's part in a forecast."""

    name: str
    weight: float
    rolling_rmsle: float | None  # None where no rolling origin fits into the curve
    exponent: float | None  # c of the last power law y - limit ~ x^-c; of y itself for the line
    limit: float | None  # of y as x grows without end; None without a floor


@dataclass(frozen=True)
class Forecast:
    """ln y at the targets, the half-width of its 95% interval, and how it came about."""

    log_y_T: Array
    half_width_T: Array
    candidates: list[Candidate]
    belief: float  # the share of the averaged change that is forecast, at the farthest target
    breaks: int | None  # see `best_breaks`
    rolling_rmsle: float | None  # of the rule behind this forecast, whose choices were made on the same points
    num_rolls: int


def extrapolate(log_x_N: Array, log_y_N: Array, log_x_T: Array) -> Forecast:
    """Forecasts ln y at `log_x_T`, all beyond the training points, which are distinct, ascending and at least four."""
    log_x_N, log_y_N = thinned(log_x_N, log_y_N)
    ahead_T = log_x_T - log_x_N[-1]
    reach = max(float(ahead_T.max()), MIN_REACH)
    seen = window(log_x_N, log_y_N, origins(log_x_N, reach))
    thetas = [fit_form(form, seen) for form in FORMS]
    lines_O2 = lines(seen)
    change_CT = changes(thetas, lines_O2, np.tile(ahead_T, (len(lines_O2), 1)))[:, 0]
    rolling = Window(*(part[1:] for part in seen))
    change_CRN = changes([theta_OK[1:] for theta_OK in thetas], lines_O2[1:], rolling.u_ON)
    rolls = Rolls.of(change_CRN, rolling, log_y_N, reach)
    weight_C = better_half(rolls)
    own = rolls.replaced(np.einsum("c,crn->rn", weight_C, change_CRN))
    error = rms(own.errors_per_distance())
    own = rolls.replaced(believed(own.change_CRN[0], rolls.u_RN, error))
    change_T = weight_C @ change_CT
    spread_T = np.sqrt(weight_C @ (change_CT - change_T) ** 2)
    kept_T = believed(change_T, ahead_T, error)
    farthest = int(np.argmax(ahead_T))
    return Forecast(
        log_y_T=log_y_N[-1] + kept_T,
        half_width_T=half_width(own, ahead_T, spread_T, PRIOR_SHARE * np.ptp(log_y_N) / np.ptp(log_x_N)),
        candidates=describe(thetas, lines_O2, weight_C, rolls, log_y_N[-1]),
        belief=float(kept_T[farthest] / change_T[farthest]) if change_T[farthest] else 1.0,
        breaks=best_breaks(rolls),
        rolling_rmsle=float(own.errors().mean()) if own.errors().size else None,
        num_rolls=len(rolls.u_RN),
    )


def thinned(log_x_N: Array, log_y_N: Array) -> tuple[Array, Array]:
    """At most MAX_POINTS points: the means of ln x and ln y over equal steps of ln x, where there were more.

    The step is halved while less than a quarter of MAX_POINTS come of it, as from a run logged at its end only.
    """
    if len(log_x_N) <= MAX_POINTS:
        return log_x_N, log_y_N
    num_bins, num_M = MAX_POINTS, np.zeros(0)
    bin_N = np.zeros(len(log_x_N), dtype=int)
    while len(num_M) < MAX_POINTS // 4:
        place_N = num_bins * (log_x_N - log_x_N[0]) / np.ptp(log_x_N)
        _, bin_N = np.unique(np.minimum(np.floor(place_N), num_bins - 1), return_inverse=True)
        num_M = np.bincount(bin_N)
        num_bins *= 2
    return np.bincount(bin_N, log_x_N) / num_M, np.bincount(bin_N, log_y_N) / num_M


def lines(seen: Window) -> Array:
    """Slope and value at u = 0 of the least-squares line through the last half of each origin's points, (O, 2)."""
    fits = []
    for u_N, v_N, in_N in zip(seen.u_ON, seen.v_ON, seen.seen_ON > 0, strict=True):
        half = np.count_nonzero(in_N) // 2
        fits.append(np.polyfit(u_N[in_N][half:], v_N[in_N][half:], 1))
    return np.array(fits)


def changes(thetas: list[Array], lines_O2: Array, u_OM: Array) -> Array:
    """ln y over the last y of each origin, for every candidate, shape (C, O, M)."""
    line_OM = lines_O2[:, :1] * u_OM + lines_O2[:, 1:]
    fitted = [form.value(theta_OK, u_OM) for form, theta_OK in zip(FORMS, thetas, strict=True)]
    return np.stack([np.zeros_like(u_OM), line_OM, *fitted])


def better_half(rolls: Rolls) -> Array:
    """Equal weights over the candidates that are kept; over all of them where nothing could be judged.

    Kept is the half with the smaller errors, less any whose error is above OUTCLASSED times the smallest.
    """
    weight_C = np.ones(len(NAMES))
    if len(rolls.u_RN):
        error_C = np.sqrt((rolls.errors_per_distance() ** 2).mean(axis=1))
        weight_C[np.argsort(error_C, kind="stable")[len(NAMES) // 2 :]] = 0
        weight_C[error_C > OUTCLASSED * error_C.min()] = 0
    return weight_C / weight_C.sum()


def best_breaks(rolls: Rolls) -> int | None:
    """The fewest breaks whose errors beyond the rolling origins are within a standard error of the smallest.

    (The one-standard-error rule: Breiman et al. 1984.) None where there is no rolling origin.
    """
    if not len(rolls.u_RN):
        return None
    square_BR = rolls.errors_per_distance()[[NAMES.index(name) for name in BROKEN]] ** 2
    excess_BR = square_BR - square_BR[square_BR.mean(axis=1).argmin()]
    within_B = excess_BR.mean(axis=1) <= excess_BR.std(axis=1) / np.sqrt(square_BR.shape[1])
    return int(np.argmax(within_B))


def believed(change_M: Array, ahead_M: Array, error: float) -> Array:
    """A forecast change shrunk towards none where it could be an error: change^3 / (change^2 + doubt^2).

    The doubt is three rolling errors at that distance, but at most DOUBT_SLOPE times it: so the shrinkage never takes
    more than half of that from any forecast, takes nothing from a large change, and little from a small change that
    past forecasts got right.
    """
    doubt_M = min(DOUBT_ERRORS * error, DOUBT_SLOPE) * (np.maximum(ahead_M, 0) + NEAR)
    return change_M**3 / (change_M**2 + doubt_M**2 + 1e-30)


def half_width(own: Rolls, ahead_T: Array, spread_T: Array, prior_error: float) -> Array:
    """Of the 95% interval: what the rule's errors per distance were, and how far the averaged forms lie apart.

    Student's quantile times the root of the sum of their squares; `prior_error` counts as PRIOR_ROLLS of the errors.
    """
    error_R = own.errors_per_distance()[0]
    num = PRIOR_ROLLS + len(error_R)
    variance = (PRIOR_ROLLS * prior_error**2 + (error_R**2).sum()) / num
    return student.ppf(0.975, num) * np.sqrt(variance * (ahead_T + NEAR) ** 2 + spread_T**2)


def rms(error: Array) -> float:
    """Infinite where there is nothing to judge by."""
    return float(np.sqrt((error**2).mean())) if error.size else np.inf


def describe(thetas: list[Array], lines_O2: Array, weight_C: Array, rolls: Rolls, log_last: float) -> list[Candidate]:
    """What the JSON says of each candidate."""
    rmsle_C = rolls.errors().mean(axis=1) if len(rolls.u_RN) else [None] * len(weight_C)
    shapes: list[tuple[float | None, float | None]] = [(None, None), (-float(lines_O2[0, 0]), None)]
    for form, theta_OK in zip(FORMS, thetas, strict=True):
        log_limit = form.log_limit(theta_OK[0])
        limit = float(np.exp(log_last + log_limit)) if np.isfinite(log_limit) else None
        shapes.append((form.exponent(theta_OK[0]), limit))
    return [
        Candidate(name, float(weight), None if rmsle is None else float(rmsle), exponent, limit)
        for name, weight, rmsle, (exponent, limit) in zip(NAMES, weight_C, rmsle_C, shapes, strict=True)
    ]
