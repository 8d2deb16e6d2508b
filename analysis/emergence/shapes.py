"""Rises to compare with: logistic curves in x = log10(compute), seen through seeds that run ahead or behind.

A run at x behaves as one at x + jitter would (normal, standard deviation in decades): seeds differ most where the curve
is steep. A shape is therefore two curves for a rise of one: the mean over seeds and the variance between them. Its
width is a single run's: the decades that the logistic takes from 10% to 90% of its rise.

Axes: S scales, J shapes, Z places of the jitter's normal distribution.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

TEN_TO_NINETY = 2 * float(np.log(9.0))  # of a logistic with scale one
BOUNDARY = 1.0  # decades: a rise that takes less is sharp
SHARP_WIDTHS = (0.03, 0.1, 0.2, 0.32, 0.46, 0.6, 0.74, 0.88)
SMOOTH_RATIO = 1.2
WIDEST = 8.0  # decades; on a wide range twice the range: within it that is a straight line
JITTERS = (0.03, 0.06, 0.1, 0.16, 0.25, 0.4, 0.65)
STEP_LIKE = 0.3  # decades: rises much narrower than this look alike between two scales
NUM_MIDPOINTS = 64
NORMAL_TEN_TO_NINETY = 2 * float(ndtri(0.9))
JITTER_Z = ndtri((np.arange(32) + 0.5) / 32)


@dataclass(frozen=True)
class Shapes:
    """Every shape on the scales `x_S`, and what of the space of shapes each stands for (`prior_J`, sum one).

    A shape stands for midpoints `step_J` apart. `pooled_width_J` is the width of the mean over seeds, which jitter
    widens: exact for a step and for no jitter, squares added in between.

    The prior is uniform in the midpoint, over JITTERS and in the logarithm of width + STEP_LIKE.
    """

    x_S: Array
    midpoint_J: Array
    step_J: Array
    width_J: Array
    jitter_J: Array
    prior_J: Array
    mean_JS: Array
    variance_JS: Array

    @property
    def pooled_width_J(self) -> Array:
        """10-90% width of the mean over seeds, in decades."""
        return np.hypot(self.width_J, NORMAL_TEN_TO_NINETY * self.jitter_J)

    @property
    def sharp_J(self) -> Flags:
        """Those that take less than BOUNDARY decades."""
        return self.width_J < BOUNDARY

    @property
    def steadiest_J(self) -> Flags:
        """Those of the least jitter: every mean curve once."""
        return self.jitter_J == JITTERS[0]


@lru_cache(maxsize=64)
def shapes_on(places: tuple[float, ...]) -> Shapes:
    """The shapes on at least two scales, in ascending decades; sharp ones have their midpoint inside the range."""
    x_S = np.array(places)
    low, span = x_S[0], x_S[-1] - x_S[0]
    widest = max(WIDEST, 2 * span)
    smooth = np.geomspace(BOUNDARY, widest, 1 + int(np.ceil(np.log(widest / BOUNDARY) / np.log(SMOOTH_RATIO))))
    widths = np.concatenate([SHARP_WIDTHS, smooth])
    edges = width_edges(widths)
    edges[0] = 0.0
    shares = np.diff(np.log(edges + STEP_LIKE))
    pieces = []
    for width, share in zip(widths, shares, strict=True):
        step = span / NUM_MIDPOINTS if width < BOUNDARY else max(span / NUM_MIDPOINTS, width / 12)
        beyond = 0.0 if width < BOUNDARY else span / 2
        midpoints = np.linspace(low - beyond, low + span + beyond, 1 + int(np.ceil((span + 2 * beyond) / step)))
        prior = share / len(midpoints) / len(JITTERS)
        gap = midpoints[1] - midpoints[0]
        pieces.append(np.column_stack([midpoints, np.full((len(midpoints), 3), [gap, width, prior])]))
    midpoint_J, step_J, width_J, prior_J = np.tile(np.concatenate(pieces), (len(JITTERS), 1)).T
    jitter_J = np.repeat(JITTERS, len(midpoint_J) // len(JITTERS))
    mean_JS, variance_JS = moments(x_S, midpoint_J, width_J, jitter_J)
    return Shapes(x_S, midpoint_J, step_J, width_J, jitter_J, prior_J / prior_J.sum(), mean_JS, variance_JS)


def width_edges(widths: Array) -> Array:
    """Where one width of the grid ends and the next begins; one more than there are widths."""
    middles = np.sqrt(widths[1:] * widths[:-1])
    return np.concatenate([[widths[0] ** 2 / middles[0]], middles, [widths[-1] ** 2 / middles[-1]]])


def logistic(x: Array, midpoint: Array | float, width: Array | float) -> Array:
    """A rise from 0 to 1 that takes `width` from 10% to 90%."""
    return expit(TEN_TO_NINETY * (x - midpoint) / width)


def moments(x_S: Array, midpoint_J: Array, width_J: Array, jitter_J: Array) -> tuple[Array, Array]:
    """Mean and variance over seeds of a rise of one, both (J, S)."""
    total_JS, square_JS = np.zeros((2, len(midpoint_J), len(x_S)))
    for z in JITTER_Z:
        value_JS = logistic(x_S + z * jitter_J[:, None], midpoint_J[:, None], width_J[:, None])
        total_JS += value_JS
        square_JS += value_JS**2
    mean_JS = total_JS / len(JITTER_Z)
    return mean_JS, np.maximum(square_JS / len(JITTER_Z) - mean_JS**2, 0.0)
