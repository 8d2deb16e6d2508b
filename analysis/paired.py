"""Two arms on the same items: who scores more, and by how much, with what the items' draw leaves open.

Scores that are right or wrong have score intervals, graded ones the bootstrap: `mean_interval` and `contrast`.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import optimize, stats

from analysis.laws import Array

DRAWS = 10_000
LEVEL = 0.95
Z = float(stats.norm.ppf((1 + LEVEL) / 2))
TAILS = (1 - LEVEL) / 2, (1 + LEVEL) / 2


def mean_interval(scores: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% of the mean of scores between 0 and 1: Wilson's where each is right or wrong, else the bootstrap."""
    values = np.asarray(scores, float)
    if _is_binary(values):
        found = stats.binomtest(int(values.sum()), len(values)).proportion_ci(LEVEL, "wilson")
        return float(found.low), float(found.high)
    return _bootstrap(values, (0, 1), seed)


def contrast(one: Sequence[float], other: Sequence[float], seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Mean difference of scores between 0 and 1 on the same items, and 95% of it.

    Tango's score interval where every score is right or wrong, else the paired bootstrap. Raises ValueError where the
    two are not of the same items.
    """
    own, theirs = _same_items(one, other)
    differences = own - theirs
    if _is_binary(own) and _is_binary(theirs):
        interval = _tango(int((differences > 0).sum()), int((differences < 0).sum()), len(differences))
    else:
        interval = _bootstrap(differences, (-1, 1), seed)
    return float(differences.mean()), interval


def ratio(one: Sequence[float], other: Sequence[float], seed: int = 0) -> tuple[float, tuple[float, float]]:
    """How many times the mean of `other` that of `one` is, and 95% of it by the paired bootstrap.

    Both are amounts on the same items, not all 0; they have no scale, and no width is left where they do not vary.
    """
    own, theirs = _same_items(one, other)
    weights = _weights(len(own) + 1, seed)[:, :-1]
    low, high = np.quantile((weights @ own) / (weights @ theirs), TAILS)
    return float(own.mean() / theirs.mean()), (float(low), float(high))


def contrasts(rows: Sequence[dict[str, Any]], arms: Sequence[str]) -> list[dict[str, Any]]:
    """Each of `arms` against every other arm at each task and length where both were run on as many items.

    An arm that took no tokens failed before it was answered once: it is compared with none.
    """
    found = []
    for row in rows:
        if row["arm"] not in arms:
            continue
        for other in rows:
            same = all(row[name] == other[name] for name in ("task", "length_windows", "num_items"))
            if not same or other["arm"] == row["arm"] or other["profile"] not in (None, row["profile"]):
                continue
            if not row["tokens"] or not other["tokens"]:
                continue
            if other["arm"] in arms and other["arm"] < row["arm"]:
                continue  # told the other way round
            difference, interval = contrast(row["scores"], other["scores"])
            times, times_interval = ratio(row["tokens_by_item"], other["tokens_by_item"])
            found.append(
                {
                    "task": row["task"],
                    "length_windows": row["length_windows"],
                    "arm": row["arm"],
                    "profile": row["profile"],
                    "against": other["arm"],
                    "num_items": row["num_items"],
                    "difference": difference,
                    "ci95": list(interval),
                    "tokens_ratio": times,
                    "tokens_ratio_ci95": list(times_interval),
                }
            )
    return found


def _same_items(one: Sequence[float], other: Sequence[float]) -> tuple[Array, Array]:
    if len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} values: give those of the same items")
    return np.asarray(one, float), np.asarray(other, float)


def _is_binary(values: Array) -> bool:
    return bool(np.isin(values, (0, 1)).all())


def _tango(gained: int, lost: int, num_items: int) -> tuple[float, float]:
    """The differences that the score test of paired shares does not reject (Tango 1998, Statistics in Medicine 17:891).

    gained, lost: items that one side alone has right.
    """
    found = (gained - lost) / num_items

    def excess(difference: float) -> float:
        """How far this lies from what was found, beyond what the test allows; the share lost is the likeliest."""
        linear = (2 * num_items - gained + lost) * difference - gained - lost
        root = math.sqrt(max(0.0, linear**2 + 8 * num_items * lost * difference * (1 - difference)))
        variance = (root - linear) / 2 + num_items * difference * (1 - difference)
        return num_items * abs(found - difference) - Z * math.sqrt(max(0.0, variance))

    def furthest(end: float) -> float:
        if found == end:
            return end
        return float(optimize.root_scalar(excess, bracket=(found + math.copysign(1e-9, end), end)).root)

    return furthest(-1.0), furthest(1.0)


def _bootstrap(values: Array, scale: tuple[float, float], seed: int) -> tuple[float, float]:
    """Of the mean, with one more item at that end of the scale to which an end of the interval lies.

    Without it, values that do not vary would have no width; with it, n that are all the same leave open that a share of
    1 - 0.025^(1/n) of all items lies at the end of the scale. The interval is that of Learned-Miller and Thomas (2019,
    arXiv 1905.06208); of values that lie at the ends alone it is Clopper's and Pearson's.
    """
    weights = _weights(len(values) + 1, seed)
    low, high = (np.quantile(weights @ np.append(values, end), tail) for end, tail in zip(scale, TAILS, strict=True))
    return float(low), float(high)


@lru_cache(1)
def _weights(num_items: int, seed: int) -> Array:
    """Of items in each of DRAWS resamples, that sum to 1: the Bayesian bootstrap (Rubin 1981, Ann. Statist. 9:130)."""
    drawn = np.random.default_rng(seed).standard_exponential((DRAWS, num_items))
    return drawn / drawn.sum(1, keepdims=True)
