"""Where a rise lies and how wide it is, with 95% intervals.

An interval holds 95% of the likelihood over all shapes weighed by `Shapes.prior_J`;
its end is open where the scores allow the narrowest or the widest rise there is. The simulation says how often
intervals hold the truth.

Axes: J shapes, W widths.
"""

from dataclasses import dataclass

import numpy as np

from analysis.emergence.mixture import mixture_log_likelihood
from analysis.emergence.rise import Fit, Rise, fit
from analysis.emergence.scores import Scores
from analysis.emergence.shapes import Array, Flags, width_edges

TAIL = 0.025
NEGLIGIBLE = 20.0  # log-likelihood of the normal approximation below its greatest that no interval sees
LIGHT = 1e-5  # share of the greatest weight
GRID = 300
EDGE = 0.02  # share of the midpoints' range at either end where an interval counts as open
AXIS_DECADES = 4.0  # an axis other than compute is stretched to so many decades, as wide as the shapes are made for
NOTABLE_RISE = 0.2
HALF_CHI_SQUARE = 1.92  # half the 95% point of chi-square with one degree of freedom


@dataclass(frozen=True)
class Estimate:
    """A number between the ends of its 95% interval; None where the scores set no end."""

    value: float
    low: float | None
    high: float | None

    def mapped(self, scale: float, offset: float = 0.0) -> "Estimate":
        """offset + scale * number, for a positive scale."""
        ends = (None if end is None else offset + scale * end for end in (self.low, self.high))
        return Estimate(offset + scale * self.value, *ends)


def powers(log10: Estimate) -> list[float | None]:
    """The ends of an interval of a logarithm."""
    return [None if end is None else 10**end for end in (log10.low, log10.high)]


@dataclass(frozen=True)
class Place:
    """Midpoint (log10) and 10-90% width (decades) of a rise.

    `width` is one run's, `pooled_width` that of the mean over seeds, some of which run ahead.
    """

    midpoint: Estimate
    width: Estimate
    pooled_width: Estimate


def place_of(fitted: Fit) -> Place:
    """Medians of the likelihood, and what holds 95% of it. A width's low end of 0 is a step."""
    shapes, log_likelihood_J = fitted.scores.shapes, fitted.log_likelihood_J
    kept_J = log_likelihood_J > log_likelihood_J.max() - NEGLIGIBLE
    log_mixture_J = mixture_log_likelihood(fitted, kept_J)
    weight_J = shapes.prior_J[kept_J] * np.exp(log_mixture_J - log_mixture_J.max())
    heavy_J = weight_J > LIGHT * weight_J.max()
    at_J, weight_J = np.flatnonzero(kept_J)[heavy_J], weight_J[heavy_J] / weight_J[heavy_J].sum()
    widths = np.unique(shapes.width_J)
    edges = width_edges(widths)
    midpoint = _estimate(shapes.midpoint_J[at_J], shapes.step_J[at_J], weight_J)
    step_J = np.diff(np.log(edges))[np.searchsorted(widths, shapes.width_J[at_J])]
    width = _estimate(np.log(shapes.width_J[at_J]), step_J, weight_J)
    pooled = _estimate(np.log(shapes.pooled_width_J[at_J]), step_J, weight_J)
    margin = EDGE * float(np.ptp(shapes.midpoint_J))
    inside = (float(shapes.midpoint_J.min()) + margin, float(shapes.midpoint_J.max()) - margin)
    return Place(_open_ended(midpoint, *inside), _width(width, edges), _width(pooled, edges))


def _estimate(value_J: Array, step_J: Array, weight_J: Array) -> Estimate:
    """Median and 95% interval of a mixture of boxes, each `step` wide."""
    grid = np.linspace((value_J - step_J / 2).min(), (value_J + step_J / 2).max(), GRID)
    share_GJ = np.clip((grid[:, None] - value_J) / step_J + 0.5, 0.0, 1.0)
    low, middle, high = np.interp([TAIL, 0.5, 1 - TAIL], share_GJ @ weight_J, grid)
    return Estimate(float(middle), float(low), float(high))


def _open_ended(estimate: Estimate, least: float, most: float) -> Estimate:
    """Without the ends that lie beyond the least or the most that the shapes can tell."""
    low, high = estimate.low, estimate.high
    return Estimate(
        estimate.value,
        None if low is None or low < least else low,
        None if high is None or high > most else high,
    )


def _width(log_width: Estimate, edges: Array) -> Estimate:
    """In decades; an end within the narrowest shapes is 0, one within the widest is open."""
    ends = _open_ended(log_width, float(np.log(edges[1])), float(np.log(edges[-2])))
    low, high = (None if end is None else float(np.exp(end)) for end in (ends.low, ends.high))
    return Estimate(float(np.exp(ends.value)), 0.0 if low is None else low, high)


def along(x_N: Array, scores: Scores) -> Place:
    """The place of the rise along another axis, of which `x_N` is the logarithm; needs two different values."""
    low, stretch = float(x_N.min()), float(np.ptp(x_N)) / AXIS_DECADES
    stretched = Scores((x_N - low) / stretch, scores.score_N, scores.num_items_N)
    everything_J: Flags = np.ones(len(stretched.shapes.width_J), dtype=bool)
    place = place_of(fit(stretched, everything_J))
    return Place(place.midpoint.mapped(stretch, low), place.width.mapped(stretch), place.pooled_width.mapped(stretch))


def amplitude(scores: Scores, curve: Rise) -> float:
    """How much the curve rises between the first and the last scale."""
    first, last = curve.at(scores.places[0][[0, -1]])
    return float(last - first)


def excludes_rise(fitted: Fit, rise: float = NOTABLE_RISE) -> bool:
    """Whether every curve that rises so much from the first scale to the last is too unlikely (95%)."""
    _, height_J, _, error_J = fitted.weighed.coefficients(fitted.scores.score_N)
    mean_JS = fitted.scores.shapes.mean_JS
    share_J = mean_JS[:, -1] - mean_JS[:, 0]
    asked_J = rise / np.maximum(share_J, 1e-3)
    beyond_J = np.maximum(height_J, 0.0) < asked_J
    lost_J = 0.5 * ((asked_J - height_J) / np.maximum(error_J, 1e-12)) ** 2 * beyond_J
    lost_J -= 0.5 * (np.minimum(height_J, 0.0) / np.maximum(error_J, 1e-12)) ** 2 * beyond_J
    log_likelihood_J = np.where(share_J > 1e-2, fitted.log_likelihood_J - lost_J, -np.inf)
    return bool(log_likelihood_J.max() < fitted.log_likelihood_J.max() - HALF_CHI_SQUARE)
