"""Scores of runs at several scales, and the noise that a test of finitely many items gives them.

Axes: N runs, S scales, P draws.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.emergence.shapes import Array, Shapes, shapes_on

MERGED_DECADES = 3  # decimals: computes that agree to a thousandth of a decade are one scale
NUM_CURVE_PARAMS = 5  # floor, height, midpoint, width, jitter
LEAST_DEGREES = 8  # runs beyond those parameters from which overdispersion is estimated; with fewer there is none


@dataclass(frozen=True)
class Scores:
    """Runs of one task and metric: x = log10(compute) and score; `num_items_N` None for a metric without items.

    A mean of item scores within [0, 1] varies at most as a binomial share does.
    """

    x_N: Array
    score_N: Array
    num_items_N: Array | None

    @cached_property
    def places(self) -> tuple[Array, NDArray[np.intp]]:
        """Distinct scales in ascending order, and the scale of every run."""
        x_S, scale_N = np.unique(np.round(self.x_N, MERGED_DECADES), return_inverse=True)
        return x_S, scale_N

    @property
    def num_scales(self) -> int:
        """How many different computes there are."""
        return len(self.places[0])

    @property
    def shows_dispersion(self) -> bool:
        """Whether there are enough runs to tell overdispersion from a curve that fits badly."""
        return len(self.score_N) - NUM_CURVE_PARAMS >= LEAST_DEGREES

    @cached_property
    def member_NS(self) -> Array:
        """One where the run is of the scale."""
        x_S, scale_N = self.places
        return np.eye(len(x_S))[scale_N]

    @cached_property
    def count_S(self) -> Array:
        """Runs of each scale."""
        return self.member_NS.sum(axis=0)

    @cached_property
    def mean_S(self) -> Array:
        """Mean score of each scale."""
        return self.score_N @ self.member_NS / self.count_S

    @cached_property
    def shapes(self) -> Shapes:
        """The shapes on these scales."""
        return shapes_on(tuple(self.places[0].tolist()))

    @cached_property
    def per_item_S(self) -> Array:
        """Mean of 1 / num_items at each scale; one for a metric without items."""
        inverse_N = np.ones_like(self.score_N) if self.num_items_N is None else 1 / self.num_items_N
        return inverse_N @ self.member_NS / self.count_S

    def base_variance(self, fitted: Array, dispersion: float) -> Array:
        """Variance of a run's score that no jitter makes, at fitted scores (..., S).

        With items it is the binomial's, half an item added to both sides so that a score of 0 or 1 keeps some.
        """
        if self.num_items_N is None:
            return np.full_like(fitted, dispersion)
        share = (np.clip(fitted, 0.0, 1.0) + 0.5 * self.per_item_S) / (1 + self.per_item_S)
        return dispersion * share * (1 - share) * self.per_item_S

    def sums(self, score_PN: Array) -> tuple[Array, Array]:
        """Sums of scores and of their squares by scale, (P, S)."""
        return score_PN @ self.member_NS, score_PN**2 @ self.member_NS


def observe(truth_PN: Array, scores: Scores, dispersion: float, rng: np.random.Generator) -> Array:
    """What a test of these items makes of true scores."""
    if scores.num_items_N is None:
        return truth_PN + np.sqrt(dispersion) * rng.standard_normal(truth_PN.shape)
    share_PN = np.clip(truth_PN, 0.0, 1.0)
    seen_PN = rng.binomial(scores.num_items_N.astype(np.int64), share_PN) / scores.num_items_N
    return np.clip(share_PN + np.sqrt(dispersion) * (seen_PN - share_PN), 0.0, 1.0)
