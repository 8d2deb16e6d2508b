"""The likelihood of scores under a shape without the normal approximation: a run's lead is integrated out.

Near a step, seeds are either below it or above; a normal density with the right variance says too much about where it
lies. So what intervals are made of is a mixture over the leads that a run may have, at the floor and height of the
weighted fit. It is computed for the shapes that the fit leaves, on the scores alone: tests, which need a likelihood
for every draw of a bootstrap, keep the normal one.

Axes: N runs, S scales, K shapes, Z leads.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from analysis.emergence.rise import Fit
from analysis.emergence.shapes import Array, Flags, logistic

BLOCK = 256  # shapes at a time, which bounds memory
LEAD_Z = ndtri((np.arange(16) + 0.5) / 16)


def mixture_log_likelihood(fitted: Fit, kept_J: Flags) -> Array:
    """Log-likelihood of the scores under each of the kept shapes, (K,)."""
    indices = np.flatnonzero(kept_J)
    floor_J, height_J, _, _ = fitted.weighed.coefficients(fitted.scores.score_N)
    height_J = np.maximum(height_J, 0.0)
    floor_J = np.where(height_J > 0, floor_J, fitted.scores.score_N.mean())
    blocks = [indices[first : first + BLOCK] for first in range(0, len(indices), BLOCK)]
    return np.concatenate([_block(fitted, block, floor_J[block], height_J[block]) for block in blocks])


def _block(fitted: Fit, block_K: NDArray[np.intp], floor_K: Array, height_K: Array) -> Array:
    scores, shapes = fitted.scores, fitted.scores.shapes
    x_S, scale_N = scores.places
    lead_KZ1 = shapes.jitter_J[block_K][:, None, None] * LEAD_Z[None, :, None]
    midpoint_K11, width_K11 = shapes.midpoint_J[block_K][:, None, None], shapes.width_J[block_K][:, None, None]
    curve_KZS = floor_K[:, None, None] + height_K[:, None, None] * logistic(x_S + lead_KZ1, midpoint_K11, width_K11)
    # A lead stands for those half-way to its neighbours: what the curve does between them is spread, taken as uniform.
    gap_KZS = np.gradient(curve_KZS, axis=1)
    variance_KZS = scores.base_variance(curve_KZS, fitted.dispersion) + gap_KZS**2 / 12
    precision_KZS, log_scale_KZS = 0.5 / variance_KZS, 0.5 * np.log(variance_KZS)
    log_density_KZN = (scores.score_N - curve_KZS[:, :, scale_N]) ** 2
    log_density_KZN *= -precision_KZS[:, :, scale_N]
    log_density_KZN -= log_scale_KZS[:, :, scale_N]
    greatest_KN = log_density_KZN.max(axis=1)
    np.exp(log_density_KZN - greatest_KN[:, None], out=log_density_KZN)
    return (greatest_KN + np.log(log_density_KZN.mean(axis=1))).sum(axis=1)
