"""Rises, and how likely every one of them makes the scores.

A score has two kinds of noise: a test of finitely many items (binomial, times an overdispersion that the scores
themselves show), and a seed that runs ahead or behind (see shapes.py). Given a shape, floor and height follow by
weighted least squares in closed form, and the likelihood is normal with those two variances; so all shapes and all
draws of a bootstrap are a few matrix products.

Axes: N runs, S scales, J shapes, P draws.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import root_scalar

from analysis.emergence.scores import NUM_CURVE_PARAMS, Scores, observe
from analysis.emergence.shapes import Array, Flags, logistic

ROUNDS = 2
MOST_DISPERSION = 1e4


@dataclass(frozen=True)
class Rise:
    """A curve: floor + height * logistic, with seeds that jitter along x."""

    floor: float
    height: float
    midpoint: float
    width: float
    jitter: float

    def at(self, x: Array) -> Array:
        """Score of a run without jitter."""
        return self.floor + self.height * logistic(x, self.midpoint, self.width)

    def draw(self, scores: Scores, dispersion: float, draws: int, rng: np.random.Generator) -> Array:
        """New scores of the same runs, (P, N)."""
        size = (draws, len(scores.x_N))
        truth_PN = self.at(scores.x_N + self.jitter * rng.standard_normal(size))
        return observe(truth_PN, scores, dispersion, rng)


@dataclass(frozen=True)
class Weighed:
    """The shapes with a variance for every scale, as it is where the truth is near a reference curve.

    A likelihood is comparable between data that are weighed by one reference: the variances are no property of the
    data at hand, so that a bootstrap treats the data as it treats its draws.
    """

    scores: Scores
    mean_JS: Array
    weight_JS: Array

    @staticmethod
    def near(scores: Scores, reference_S: Array, dispersion: float) -> "Weighed":
        """Variances from every shape's own best fit to the reference."""
        mean_JS, variance_JS = scores.shapes.mean_JS, scores.shapes.variance_JS
        plain_S = scores.count_S / scores.base_variance(reference_S, dispersion)
        floor_J, height_J = _least_squares(mean_JS, plain_S, reference_S)
        fitted_JS = floor_J[:, None] + height_J[:, None] * mean_JS
        base_JS = scores.base_variance(fitted_JS, dispersion)
        return Weighed(scores, mean_JS, 1 / (height_J[:, None] ** 2 * variance_JS + base_JS))

    @cached_property
    def _gram(self) -> tuple[Array, Array, Array, Array]:
        """Weighted sums of 1, the mean curve and its square, and the determinant; (J,) each."""
        first_JS = self.weight_JS * self.mean_JS
        ones_J, firsts_J, seconds_J = (
            sums @ self.scores.count_S for sums in (self.weight_JS, first_JS, first_JS * self.mean_JS)
        )
        determinant_J = ones_J * seconds_J - firsts_J**2
        # A rise that ends before the first scale or begins after the last is a constant.
        flat_J = determinant_J < 1e-9 * ones_J * np.maximum(seconds_J, 1e-9 * ones_J)
        return ones_J, firsts_J, seconds_J, np.where(flat_J, np.inf, determinant_J)

    def log_likelihood(self, score_PN: Array) -> Array:
        """Of every draw under every shape with its best floor and height, (P, J); a fall counts as a constant."""
        sum_PS, square_PS = self.scores.sums(score_PN)
        ones_J, firsts_J, _, determinant_J = self._gram
        first_PJ = sum_PS @ self.weight_JS.T
        second_PJ = sum_PS @ (self.weight_JS * self.mean_JS).T
        second_PJ -= first_PJ * (firsts_J / ones_J)
        np.maximum(second_PJ, 0.0, out=second_PJ)
        second_PJ *= second_PJ
        second_PJ *= ones_J / determinant_J
        first_PJ *= first_PJ
        first_PJ /= ones_J
        second_PJ += first_PJ
        second_PJ -= square_PS @ self.weight_JS.T
        second_PJ += np.log(self.weight_JS) @ self.scores.count_S
        second_PJ *= 0.5
        return second_PJ

    def coefficients(self, score_N: Array) -> tuple[Array, Array, Array, Array]:
        """Floor and height under every shape, and their standard errors, (J,) each; the height of a fall is below 0."""
        ones_J, firsts_J, seconds_J, determinant_J = self._gram
        (sum_S,), _ = self.scores.sums(score_N[None])
        first_J, second_J = self.weight_JS @ sum_S, (self.weight_JS * self.mean_JS) @ sum_S
        height_J = (ones_J * second_J - firsts_J * first_J) / determinant_J
        floor_J = (first_J - firsts_J * height_J) / ones_J
        return floor_J, height_J, np.sqrt(seconds_J / determinant_J), np.sqrt(ones_J / determinant_J)


def _least_squares(mean_JS: Array, weight_S: Array, target_S: Array) -> tuple[Array, Array]:
    """Floor and height of every shape under weights common to all."""
    total = weight_S.sum()
    middle_J = mean_JS @ weight_S / total
    spread_J = (mean_JS**2) @ weight_S - total * middle_J**2
    level = weight_S @ target_S / total
    cross_J = mean_JS @ (weight_S * (target_S - level))
    height_J = np.where(spread_J > 1e-9 * total, cross_J / np.maximum(spread_J, 1e-12 * total), 0.0)
    return level - height_J * middle_J, height_J


@dataclass(frozen=True)
class Fit:
    """The likelihood of the scores under every shape, and how much more they scatter than items and jitter explain.

    `dispersion` multiplies the binomial variance, at least one; without items it is the variance itself.
    """

    scores: Scores
    dispersion: float
    weighed: Weighed
    log_likelihood_J: Array

    @property
    def likeliest(self) -> Rise:
        """The likeliest curve of all."""
        return self.best(np.ones(len(self.log_likelihood_J), dtype=bool))

    def best(self, among_J: Flags) -> Rise:
        """The likeliest curve of those shapes."""
        j = int(np.argmax(np.where(among_J, self.log_likelihood_J, -np.inf)))
        floor_J, height_J, _, _ = self.weighed.coefficients(self.scores.score_N)
        shapes = self.scores.shapes
        height = max(float(height_J[j]), 0.0)
        floor = float(floor_J[j]) if height else float(self.scores.score_N.mean())
        return Rise(floor, height, *(float(part[j]) for part in (shapes.midpoint_J, shapes.width_J, shapes.jitter_J)))


def fit(scores: Scores, among_J: Flags, dispersion: float | None = None) -> Fit:
    """Fits every shape; the variances are those near the likeliest of `among_J`, the dispersion is found unless given.

    Needs two scales or more.
    """
    found = dispersion if dispersion is not None else _first_dispersion(scores)
    reference_S = scores.mean_S
    weighed = Weighed.near(scores, reference_S, found)
    for _ in range(ROUNDS):
        log_likelihood_J = weighed.log_likelihood(scores.score_N[None])[0]
        j = int(np.argmax(np.where(among_J, log_likelihood_J, -np.inf)))
        floor_J, height_J, _, _ = weighed.coefficients(scores.score_N)
        height = max(height_J[j], 0.0)
        floor = floor_J[j] if height else scores.score_N.mean()
        reference_S = floor + height * scores.shapes.mean_JS[j]
        if dispersion is None:
            found = _dispersion(scores, reference_S, height**2 * scores.shapes.variance_JS[j])
        weighed = Weighed.near(scores, reference_S, found)
    return Fit(scores, found, weighed, weighed.log_likelihood(scores.score_N[None])[0])


def _first_dispersion(scores: Scores) -> float:
    if scores.num_items_N is not None:
        return 1.0
    (sum_S,), (square_S,) = scores.sums(scores.score_N[None])
    within = float((square_S - sum_S**2 / scores.count_S).sum())
    degrees = len(scores.score_N) - scores.num_scales
    range_square = float(np.ptp(scores.score_N)) ** 2
    return max(within / degrees if degrees > 0 else 0.01 * range_square, 1e-6 * range_square, 1e-12)


def _dispersion(scores: Scores, fitted_S: Array, jitter_S: Array) -> float:
    """At which squared residuals over their variance add up to the degrees of freedom."""
    (sum_S,), (square_S,) = scores.sums(scores.score_N[None])
    residual_S = square_S - 2 * fitted_S * sum_S + fitted_S**2 * scores.count_S
    degrees = max(1, len(scores.score_N) - NUM_CURVE_PARAMS)
    if scores.num_items_N is not None and not scores.shows_dispersion:
        return 1.0

    def excess(log_dispersion: float) -> float:
        variance_S = jitter_S + scores.base_variance(fitted_S, float(np.exp(log_dispersion)))
        return float((residual_S / variance_S).sum()) - degrees

    span = max(float(np.ptp(scores.score_N)) ** 2, 1e-6)
    low, high = (
        (0.0, np.log(MOST_DISPERSION)) if scores.num_items_N is not None else (np.log(1e-8 * span), np.log(span))
    )
    if excess(low) <= 0:
        return float(np.exp(low))
    if excess(high) >= 0:
        return float(np.exp(high))
    return float(np.exp(root_scalar(excess, bracket=(low, high), method="brentq", xtol=1e-3).root))
