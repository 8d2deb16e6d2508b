"""Parametric bootstrap tests of a curve: does it rise at all, is it sharp, is it smooth.

Sharp: the null is the likeliest rise of at least BOUNDARY decades, the statistic the log-likelihood that the likeliest
sharper rise has over it. Smooth is the reverse. Null data repeat the runs with item noise and seeds that jitter along
x; what jitter the null needs is not known, so draws take each as often as the scores make it likely.

Axes: P draws, N runs, S scales, J shapes, T jitters.
"""

from dataclasses import dataclass

import numpy as np

from analysis.emergence.rise import Fit, Weighed, fit
from analysis.emergence.scores import Scores, observe
from analysis.emergence.shapes import JITTERS, Array, Flags

DRAWS = 199
FLAT_DRAWS = 199
PILOT_DRAWS = 8
OUT_OF_REACH = 12.0  # log-likelihood that a shape lacks in every pilot draw before it is left out of the others
LEAST_REPLICATES = 4  # degrees of freedom within scales from which their scatter says what overdispersion there is


@dataclass(frozen=True)
class FlatTest:
    """p-values of a constant against a rise and against a fall."""

    p_rise: float
    p_fall: float


def flat_test(scores: Scores, unrestricted: Fit, rng: np.random.Generator) -> FlatTest:
    """Whether the scores may be one constant; needs two scales."""
    dispersion = _flat_dispersion(scores, unrestricted)
    count_S, level = scores.count_S, float(scores.score_N.mean())
    mean_JS = scores.shapes.mean_JS[scores.shapes.steadiest_J]
    weight_S = count_S / scores.base_variance(np.full(scores.num_scales, level), dispersion)
    centred_JS = mean_JS - (mean_JS @ weight_S / weight_S.sum())[:, None]
    norm_J = np.sqrt(centred_JS**2 @ weight_S)
    unit_JS = centred_JS * weight_S / np.where(norm_J > 1e-6 * np.sqrt(weight_S.sum()), norm_J, np.inf)[:, None]
    null_PN = observe(np.full((FLAT_DRAWS, len(scores.score_N)), level), scores, dispersion, rng)
    score_PN = np.concatenate([scores.score_N[None], null_PN])
    gain_PJ = (score_PN @ scores.member_NS / count_S) @ unit_JS.T
    return FlatTest(_p_value(gain_PJ.max(axis=1)), _p_value(-gain_PJ.min(axis=1)))


def _flat_dispersion(scores: Scores, unrestricted: Fit) -> float:
    """From the scatter within scales, which no rise makes; where there is too little of it, from the best rise's."""
    degrees = len(scores.score_N) - scores.num_scales
    if degrees < LEAST_REPLICATES:
        return unrestricted.dispersion
    (sum_S,), (square_S,) = scores.sums(scores.score_N[None])
    within_S = square_S - sum_S**2 / scores.count_S
    found = float((within_S / scores.base_variance(scores.mean_S, 1.0)).sum() / degrees)
    return found if scores.num_items_N is None else max(1.0, found)


def ratio_test(fitted: Fit, null_J: Flags, rng: np.random.Generator) -> float:
    """p-value of the null's shapes against all others; one where the likeliest shape of all is the null's."""
    if null_J[np.argmax(fitted.log_likelihood_J)]:
        return 1.0
    scores = fitted.scores
    null = fit(scores, null_J, fitted.dispersion)
    seen = _ratio(null.log_likelihood_J[None], null_J)
    if seen[0] <= 0:
        return 1.0
    pilot_PJ = null.weighed.log_likelihood(draw_null(null, null_J, PILOT_DRAWS, rng))
    reach_J = within_reach(pilot_PJ, null_J) | within_reach(pilot_PJ, ~null_J)
    kept = Weighed(scores, null.weighed.mean_JS[reach_J], null.weighed.weight_JS[reach_J])
    drawn_PJ = kept.log_likelihood(draw_null(null, null_J, DRAWS, rng))
    return _p_value(np.concatenate([seen, _ratio(drawn_PJ, null_J[reach_J])]))


def within_reach(log_likelihood_PJ: Array, among_J: Flags) -> Flags:
    """Those of these shapes that some pilot draw finds not much less likely than the likeliest of them."""
    lacking_PJ = log_likelihood_PJ - log_likelihood_PJ[:, among_J].max(axis=1, keepdims=True)
    return among_J & (lacking_PJ.max(axis=0) > -OUT_OF_REACH)


def _ratio(log_likelihood_PJ: Array, null_J: Flags) -> Array:
    """Log-likelihood of the alternative over the null's."""
    return log_likelihood_PJ[:, ~null_J].max(axis=1) - log_likelihood_PJ[:, null_J].max(axis=1)


def draw_null(null: Fit, null_J: Flags, draws: int, rng: np.random.Generator) -> Array:
    """Draws of the likeliest curve of the null at each jitter, as many as its share of the likelihood, (P, N)."""
    scores = null.scores
    curves_T = [null.best(null_J & (scores.shapes.jitter_J == jitter)) for jitter in JITTERS]
    best_T = np.array([null.log_likelihood_J[null_J & (scores.shapes.jitter_J == jitter)].max() for jitter in JITTERS])
    share_T = np.exp(best_T - best_T.max())
    edges = np.round(np.concatenate([[0.0], np.cumsum(share_T / share_T.sum())]) * draws).astype(int)
    pieces = [
        curve.draw(scores, null.dispersion, int(number), rng)
        for curve, number in zip(curves_T, np.diff(edges), strict=True)
    ]
    return np.concatenate(pieces)


def _p_value(statistic_P: Array) -> float:
    """Share of draws that reach the first entry, which is the data's and counts itself (Davison and Hinkley 1997)."""
    return float((statistic_P >= statistic_P[0] - 1e-12).mean())
