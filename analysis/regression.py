"""Is this revision worse than that one? Tests that ask for significance and for an effect that matters, both.

Seconds are compared by Mann and Whitney's test and the median of the rounds' ratios, errors on the same cases by
McNemar's exact test and their share, numbers that are computed again by how far they moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ALPHA = 0.01
LEAST_SLOWDOWN = 0.10  # of the median ratio
LEAST_ERRORS = 0.02  # of the cases
ERRORS_ALPHA = 0.05


@dataclass(frozen=True)
class SpeedTest:
    """Median over rounds of present over baseline seconds, and one-sided p-values that present is slower, faster."""

    ratio: float
    p_slower: float
    p_faster: float

    @property
    def slower(self) -> bool:
        """Whether the present side is slower, by enough."""
        return self.p_slower <= ALPHA and self.ratio >= 1 + LEAST_SLOWDOWN

    @property
    def faster(self) -> bool:
        """Whether the baseline is slower, by as much."""
        return self.p_faster <= ALPHA and 1 / self.ratio >= 1 + LEAST_SLOWDOWN


def speed_test(baseline: Sequence[float], present: Sequence[float]) -> SpeedTest:
    """Of seconds for the same work, an entry a round, in which both sides had a turn."""
    if len(baseline) != len(present) or not len(baseline):
        raise ValueError(f"{len(baseline)} and {len(present)} rounds: give both sides of each round")
    old, new = np.asarray(baseline, float), np.asarray(present, float)
    p_slower, p_faster = (float(stats.mannwhitneyu(new, old, alternative=way).pvalue) for way in ("greater", "less"))
    return SpeedTest(float(np.median(new / old)), p_slower, p_faster)


@dataclass(frozen=True)
class ErrorTest:
    """Cases that only the present side has wrong, those that only the baseline has, of how many, and the p-value."""

    newly_wrong: int
    newly_right: int
    num_cases: int
    p_value: float

    @property
    def worse(self) -> bool:
        """Whether there are more errors than before, by enough."""
        more = (self.newly_wrong - self.newly_right) / self.num_cases
        return self.p_value <= ERRORS_ALPHA and more >= LEAST_ERRORS


def error_test(baseline_wrong: Sequence[bool], present_wrong: Sequence[bool]) -> ErrorTest:
    """McNemar's test, exact and one-sided: of the cases on which the two differ, how many went wrong (McNemar 1947)."""
    if len(baseline_wrong) != len(present_wrong) or not len(baseline_wrong):
        raise ValueError(f"{len(baseline_wrong)} and {len(present_wrong)} cases: give the same ones on both sides")
    pairs = list(zip(baseline_wrong, present_wrong, strict=True))
    lost, won = sum(now and not was for was, now in pairs), sum(was and not now for was, now in pairs)
    p_value = float(stats.binomtest(lost, lost + won, 0.5, alternative="greater").pvalue) if lost + won else 1.0
    return ErrorTest(lost, won, len(pairs), p_value)


def relative_difference(baseline: float, present: float) -> float:
    """How far the present value lies from the baseline's, over the latter's size; from zero, how far it lies."""
    return abs(present - baseline) / (abs(baseline) or 1.0)


def inside(value: float, ends: Sequence[float]) -> bool:
    """Whether a value lies in a closed interval."""
    low, high = ends
    return low <= value <= high
