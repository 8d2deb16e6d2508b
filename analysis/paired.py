"""Two arms on the same items: who scores more, and by how much, with what the items' draw leaves open."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from analysis.laws import Array

DRAWS = 10_000
LEVEL = 0.95


def mean_interval(scores: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% of the mean of scores between 0 and 1, by the bootstrap over items.

    Where all are right, or none, a bootstrap knows no spread: then Wilson's interval of that share.
    """
    values = np.asarray(scores, float)
    if np.ptp(values) == 0 and values[0] in (0, 1):
        found = stats.binomtest(int(values.sum()), len(values)).proportion_ci(LEVEL, "wilson")
        return float(found.low), float(found.high)
    low, high = np.quantile(_means(values, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def contrast(one: Sequence[float], other: Sequence[float], seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Mean difference on the same items, and 95% of it by the paired bootstrap.

    Raises ValueError where the two are not of the same items.
    """
    if len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} scores: give those of the same items")
    differences = np.asarray(one, float) - np.asarray(other, float)
    low, high = np.quantile(_means(differences, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(differences.mean()), (float(low), float(high))


def _means(values: Array, seed: int) -> Array:
    """Of DRAWS resamples."""
    places = np.random.default_rng(seed).integers(len(values), size=(DRAWS, len(values)))
    return values[places].mean(1)


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
                    "tokens_ratio": row["tokens"] / other["tokens"],
                }
            )
    return found
