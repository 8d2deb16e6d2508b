"""Paired comparisons: intervals that hold the truth as often as they say, and pairs that are of the same items."""

import numpy as np
import pytest

from analysis.paired import contrast, contrasts, mean_interval


def row(arm: str, scores: list[float], profile: str | None = None, **fields: object) -> dict:
    shared = {"task": "count", "length_windows": 4, "num_items": len(scores), "tokens": 100.0}
    return {**shared, "arm": arm, "profile": profile, "scores": scores, **fields}


def test_all_right_leaves_as_much_open_as_wilson_says() -> None:
    z2 = 1.959964**2  # with n of n right the lower end is n / (n + z^2)
    assert mean_interval([1.0] * 20) == pytest.approx((20 / (20 + z2), 1.0))
    assert mean_interval([0.0] * 20) == pytest.approx((0.0, z2 / (20 + z2)))


def test_an_interval_is_as_wide_as_a_normal_one() -> None:
    scores = (np.arange(400) % 4 == 0).astype(float)
    low, high = mean_interval(scores.tolist())
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.005)


def test_paired_intervals_hold_the_truth() -> None:
    """Two arms that share what makes an item hard, 0.1 apart: 95% of 300 draws, within three deviations."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        hard = rng.random(100)
        difference, (low, high) = contrast(
            (hard < 0.6).astype(float), (hard < rng.choice([0.4, 0.6], 100)).astype(float)
        )
        assert low <= difference <= high
        held += low <= 0.1 <= high
    assert 0.91 <= held / 300 <= 0.99


def test_only_the_same_items_are_compared() -> None:
    with pytest.raises(ValueError, match="3 and 2 scores: give those of the same items"):
        contrast([1, 0, 1], [1, 0])


def test_who_is_compared_with_whom() -> None:
    """Each pair once, in one profile, on as many items of a task and length; with nobody who read nothing."""
    rows = [
        row("rlm-1", [1, 1], "sealed"), row("rlm-2", [1, 0], "sealed", tokens=400.0), row("rlm-1", [0, 1], "open"),
        row("bm25", [0, 1], tokens=50.0), row("direct", [0, 1, 1]), row("dense", [0, 1], length_windows=1),
        row("summary", [0, 0], tokens=0.0),
    ]  # fmt: skip
    found = contrasts(rows, ("rlm-1", "rlm-2"))
    assert [(one["arm"], one["profile"], one["against"], one["difference"], one["tokens_ratio"]) for one in found] == [
        ("rlm-1", "sealed", "rlm-2", 0.5, 0.25),
        ("rlm-1", "sealed", "bm25", 0.5, 2.0),
        ("rlm-2", "sealed", "bm25", 0.0, 8.0),
        ("rlm-1", "open", "bm25", 0.0, 2.0),
    ]
