"""What the scores of one task and metric say, before it is made a label."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.emergence.detect import FlatTest, flat_test, ratio_test
from analysis.emergence.estimate import Place, amplitude, excludes_rise, place_of
from analysis.emergence.rise import Fit, Rise, fit
from analysis.emergence.scores import Scores
from analysis.emergence.shapes import BOUNDARY

ALPHA = 0.05
MIN_SCALES = 4
SCALES_ON_A_SIDE = 2
CHANCE_TOLERANCE = 0.05
CHANCE_ERRORS = 3.0
SATURATED_SHARE = 0.9  # of the way from chance to a score of one


@dataclass(frozen=True)
class Shape:
    """p-values of a rise: that it is smooth (`p_sharp`, small where it is sharp), and that it is sharp (`p_smooth`)."""

    p_sharp: float
    p_smooth: float

    @property
    def sharp(self) -> bool:
        """Whether it takes less than a decade."""
        return self.p_sharp <= ALPHA

    @property
    def smooth(self) -> bool:
        """Whether it takes a decade or more."""
        return self.p_smooth <= ALPHA


@dataclass(frozen=True)
class Counterpart:
    """The continuous metric of the same runs: does it jump too? One that does not rise says nothing.

    A jump starts from a plateau that was seen: a gain that was under way at the first scales is sharp only in that it
    ends, as a log-likelihood does that has nowhere left to go.
    """

    scores: Scores
    rises: bool
    shape: Shape
    curve: Rise
    place: Place

    @property
    def jumps(self) -> bool:
        """Whether it rises sharply from a plateau."""
        return self.rises and self.shape.sharp and self.sees_plateau

    @property
    def sees_plateau(self) -> bool:
        """Whether enough scales lie below the first hundredth of its rise, a width below its midpoint."""
        start = self.place.midpoint.value - self.place.width.value
        return int((self.scores.places[0] < start).sum()) >= SCALES_ON_A_SIDE

    @property
    def gains_smoothly(self) -> bool:
        """Whether a rise of a decade or more, or one without a plateau, is what it looks like."""
        return self.rises and (self.shape.smooth or not self.sees_plateau or self.curve.width >= BOUNDARY)


@dataclass(frozen=True)
class Evidence:
    """One curve: its fit, whether it rises, where and how sharply (None where it does not), and its counterpart.

    `counterpart` is None where there is none, or where no sharp rise asks for it.
    """

    scores: Scores
    chance: float
    fitted: Fit
    curve: Rise
    flat: FlatTest
    place: Place | None
    shape: Shape | None
    counterpart: Counterpart | None

    @property
    def rises(self) -> bool:
        """Whether a constant is refuted by a rise."""
        return self.flat.p_rise <= ALPHA

    @property
    def falls(self) -> bool:
        """Whether a constant is refuted by a fall, and not by a rise."""
        return not self.rises and self.flat.p_fall <= ALPHA

    @cached_property
    def amplitude(self) -> float:
        """Rise of the likeliest curve over the scales that were run."""
        return amplitude(self.scores, self.curve)

    @property
    def smooth(self) -> bool:
        """Whether the rise takes a decade or more: sharp ones are refuted, or the width's interval leaves none."""
        if self.shape is None or self.place is None or self.shape.sharp:
            return False
        return self.shape.smooth or (self.place.width.low or 0.0) >= BOUNDARY

    @property
    def excludes_notable_rise(self) -> bool:
        """Whether a rise worth the name would have been seen."""
        return excludes_rise(self.fitted)

    @property
    def saturated(self) -> bool:
        """Whether all scales lie next to the best score there is."""
        return bool(self.scores.mean_S.min() >= self.chance + SATURATED_SHARE * (1 - self.chance))

    @property
    def scales_beside(self) -> tuple[int, int]:
        """Scales below and above the threshold."""
        midpoint = self.curve.midpoint if self.place is None else self.place.midpoint.value
        below = int((self.scores.places[0] < midpoint).sum())
        return below, self.scores.num_scales - below

    @cached_property
    def plateau(self) -> tuple[float, float]:
        """Where the likeliest curve starts from, and how far from chance that may be."""
        _, _, error_J, _ = self.fitted.weighed.coefficients(self.scores.score_N)
        error = float(error_J[int(np.argmax(self.fitted.log_likelihood_J))])
        return self.curve.floor, max(CHANCE_TOLERANCE, CHANCE_ERRORS * error)


def examine(scores: Scores, continuous: Scores | None, chance: float, rng: np.random.Generator) -> Evidence:
    """Fits and tests a curve of MIN_SCALES scales or more; `continuous` is its counterpart in the same runs."""
    fitted = fit_freely(scores)
    flat = flat_test(scores, fitted, rng)
    rises = flat.p_rise <= ALPHA
    shape, place = (shape_of(fitted, rng), place_of(fitted)) if rises else (None, None)
    counterpart = None
    if shape is not None and shape.sharp and continuous is not None and continuous.num_scales >= MIN_SCALES:
        other = fit_freely(continuous)
        varies = bool(np.ptp(continuous.score_N) > 0)
        gains = varies and flat_test(continuous, other, rng).p_rise <= ALPHA
        counterpart = Counterpart(continuous, gains, shape_of(other, rng), other.likeliest, place_of(other))
    return Evidence(scores, chance, fitted, fitted.likeliest, flat, place, shape, counterpart)


def fit_freely(scores: Scores) -> Fit:
    """Under every shape."""
    return fit(scores, np.ones(len(scores.shapes.width_J), dtype=bool))


def shape_of(fitted: Fit, rng: np.random.Generator) -> Shape:
    """Sharp, smooth, or neither."""
    sharp_J = fitted.scores.shapes.sharp_J
    return Shape(ratio_test(fitted, ~sharp_J, rng), ratio_test(fitted, sharp_J, rng))
