"""The guard's statistics: against scipy's own and closed forms, and how often they cry wolf."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.regression import ALPHA, ErrorTest, error_test, inside, relative_difference, speed_test

ROUNDS = 48


def noisy(rng: np.random.Generator, factor: float = 1.0) -> tuple[list[float], list[float]]:
    """Rounds of a machine on which others work: slow minutes fall on both sides, hiccups on one."""
    drift = np.exp(0.3 * np.sin(np.arange(ROUNDS) / 7 + rng.uniform(0, 6)))
    sides = [drift * np.exp(0.15 * rng.standard_normal(ROUNDS)) * (1 + (rng.random(ROUNDS) < 0.1)) for _ in range(2)]
    return sides[0].tolist(), (factor * sides[1]).tolist()


def test_the_same_speed_raises_no_alarm_and_a_fifth_more_does() -> None:
    rng = np.random.default_rng(0)
    assert sum(speed_test(*noisy(rng)).slower for _ in range(500)) == 0
    assert sum(speed_test(*noisy(rng, 1.3)).slower for _ in range(200)) >= 150
    assert not any(speed_test(*noisy(rng, 1.3)).faster for _ in range(200))
    quiet = [1.0 + 0.001 * n for n in range(ROUNDS)], [1.2 + 0.001 * n for n in range(ROUNDS)]
    assert speed_test(*quiet).slower
    assert speed_test(*quiet[::-1]).faster


def test_significance_without_an_effect_that_matters_is_none() -> None:
    old = [1.0 + 1e-4 * n for n in range(ROUNDS)]
    found = speed_test(old, [1.05 * value for value in old])
    assert found.p_slower < ALPHA / 1000
    assert not found.slower
    assert found.ratio == pytest.approx(1.05)


def test_an_effect_without_significance_is_none() -> None:
    found = speed_test([1.0, 5.0, 2.0], [1.3, 6.0, 2.6])
    assert found.ratio == pytest.approx(1.3)
    assert not found.slower
    assert found.p_slower == stats.mannwhitneyu([1.3, 6.0, 2.6], [1.0, 5.0, 2.0], alternative="greater").pvalue


def test_mcnemar_is_the_binomial_of_the_pairs_that_differ() -> None:
    was, now = [False] * 10 + [True] * 2 + [False] * 88, [True] * 10 + [False] * 2 + [False] * 88
    found = error_test(was, now)
    tail = sum(math.comb(12, k) for k in range(10, 13)) / 2**12
    assert found == ErrorTest(10, 2, 100, pytest.approx(tail))
    assert found.worse
    assert not error_test(now, was).worse
    assert error_test(was, was).p_value == 1


def test_many_errors_of_very_many_cases_are_no_effect() -> None:
    was, now = [False] * 1000, [True] * 10 + [False] * 990
    found = error_test(was, now)
    assert found.p_value < 0.01
    assert not found.worse


def test_sides_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 rounds"):
        speed_test([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="0 and 0 cases"):
        error_test([], [])


def test_differences_and_ends() -> None:
    assert relative_difference(-2.0, -2.1) == pytest.approx(0.05)
    assert relative_difference(0.0, 0.5) == 0.5
    assert inside(1.0, [1.0, 2.0])
    assert not inside(float("nan"), [1.0, 2.0])
