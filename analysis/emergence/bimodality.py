"""Do the seeds of a scale fall into two groups? (Zhao, Saphra et al. 2025: a breakthrough may be a matter of chance.)

On the arcsine-root scale, where a binomial share has the variance 1 / (4 items), two groups with one variance are
compared with a single normal at every cut of the sorted scores; neither variance is less than the items make it. The
statistic is the greatest log-likelihood ratio over cuts and scales. Null draws have each scale's own mean and variance,
half of them normal and half uniform, which of all distributions with one peak is the closest to two (Hartigan and
Hartigan 1985): normal ones alone call a broad peak two groups too often.

Axes: P draws, N seeds of a scale, K cuts.
"""

import numpy as np

from analysis.emergence.scores import Scores
from analysis.emergence.shapes import Array

LEAST_SEEDS = 4
DRAWS = 499


def bimodality_test(scores: Scores, rng: np.random.Generator) -> float | None:
    """p-value of one group at every scale; None where no scale has LEAST_SEEDS seeds, or scores have no items."""
    if scores.num_items_N is None:
        return None
    greatest_P = np.full(DRAWS + 1, -np.inf)
    for member_N in scores.member_NS.T.astype(bool):
        if member_N.sum() < LEAST_SEEDS:
            continue
        root_N = np.arcsin(np.sqrt(np.clip(scores.score_N[member_N], 0.0, 1.0)))
        floor = float((0.25 / scores.num_items_N[member_N]).mean())
        spread = np.sqrt(max(float(root_N.var(ddof=1)), floor))
        drawn_PN = root_N.mean() + spread * one_peak(DRAWS, len(root_N), rng)
        ratio_P = two_groups(np.concatenate([root_N[None], drawn_PN]), floor)
        greatest_P = np.maximum(greatest_P, ratio_P)
    if np.isinf(greatest_P[0]):
        return None
    return float((greatest_P >= greatest_P[0] - 1e-12).mean())


def one_peak(draws: int, num: int, rng: np.random.Generator) -> Array:
    """Draws of variance one, (draws, num)."""
    normal = rng.standard_normal((draws // 2, num))
    uniform = np.sqrt(12) * (rng.random((draws - draws // 2, num)) - 0.5)
    return np.concatenate([normal, uniform])


def two_groups(root_PN: Array, least_variance: float) -> Array:
    """Log-likelihood of the best two groups over one, (P,)."""
    root_PN = np.sort(root_PN, axis=1)
    num = root_PN.shape[1]
    left_K = np.arange(1, num)
    sum_PK = np.cumsum(root_PN, axis=1)[:, :-1]
    total_P1, square_P1 = root_PN.sum(axis=1, keepdims=True), (root_PN**2).sum(axis=1, keepdims=True)
    within_PK = square_P1 - sum_PK**2 / left_K - (total_P1 - sum_PK) ** 2 / (num - left_K)
    single_P = (square_P1 - total_P1**2 / num)[:, 0]
    return _log_likelihood(within_PK.min(axis=1), num, least_variance) - _log_likelihood(single_P, num, least_variance)


def _log_likelihood(squares: Array, num: int, least_variance: float) -> Array:
    variance = np.maximum(squares / num, least_variance)
    return -0.5 * (num * np.log(variance) + squares / variance)
