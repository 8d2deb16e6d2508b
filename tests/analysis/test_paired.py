"""Paired comparisons: intervals that hold the truth as often as they say, and pairs that are of the same items."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from analysis.paired import contrast, contrasts, mean_interval, ratio

SMALL = (16, 40)  # items, as of rows at a thousand windows and at 64


def row(arm: str, scores: list[float], profile: str | None = None, tokens: float = 100.0, **fields: object) -> dict:
    tokens_by_item = [tokens] * len(scores)
    shared = {"task": "count", "length_windows": 4, "num_items": len(scores), "tokens": tokens}
    told = {"tokens_by_item": tokens_by_item, "arm": arm, "profile": profile, "scores": scores}
    return {**shared, **told, **fields}


def right(number: int, num_items: int) -> list[float]:
    return [1.0] * number + [0.0] * (num_items - number)


def pairs(gained: int, lost: int, num_items: int) -> tuple[list[float], list[float]]:
    """Scores of two arms that answer alike but for these."""
    return right(gained, num_items), [0.0] * gained + right(lost, num_items - gained)


def test_all_right_leaves_as_much_open_as_wilson_says() -> None:
    z2 = 1.959964**2  # with n of n right the lower end is n / (n + z^2)
    assert mean_interval([1.0] * 20) == pytest.approx((20 / (20 + z2), 1.0))
    assert mean_interval([0.0] * 20) == pytest.approx((0.0, z2 / (20 + z2)))


@pytest.mark.parametrize("num_items", SMALL)
def test_more_right_answers_never_lower_an_end(num_items: int) -> None:
    ends = np.array([mean_interval(right(number, num_items)) for number in range(num_items + 1)])
    assert (np.diff(ends, axis=0) > 0).all()


@pytest.mark.parametrize("num_items", SMALL)
def test_shares_near_the_ends_are_held(num_items: int) -> None:
    """Exactly, by the binomial law: 95% in the mean over shares up to 0.2 from an end, and nowhere much less."""
    lows, highs = np.array([mean_interval(right(number, num_items)) for number in range(num_items + 1)]).T
    shares = np.linspace(0.005, 0.2, 40)
    held = []
    for share in [*shares, *(1 - shares)]:
        inside = (lows <= share) & (share <= highs)
        held.append(stats.binom.pmf(np.arange(num_items + 1), num_items, share)[inside].sum())
    assert np.mean(held) > 0.945
    assert min(held) > 0.83, "Wilson's, as Brown, Cai and DasGupta (2001) show"


@pytest.mark.parametrize("num_items", SMALL)
def test_differences_of_paired_shares_are_held(num_items: int) -> None:
    """Exactly, by the multinomial law, of the shares that one side alone has right, which are few or nearly all."""
    places = [(gained, lost) for gained in range(num_items + 1) for lost in range(num_items + 1 - gained)]
    lows, highs = np.array([contrast(*pairs(*place, num_items))[1] for place in places]).T
    counts = np.array([(*place, num_items - sum(place)) for place in places])
    held = []
    for gained in (0, 0.01, 0.02, 0.05, 0.1, 0.3, 0.9, 0.95):
        for lost in (0, 0.01, 0.02, 0.05):
            inside = (lows <= gained - lost + 1e-9) & (gained - lost <= highs + 1e-9)
            law = stats.multinomial(num_items, [gained, lost, max(0, 1 - gained - lost)])
            held.append(law.pmf(counts)[inside].sum())
    assert np.mean(held) > 0.95
    assert min(held) > 0.92


def test_a_paired_difference_is_tangos() -> None:
    """Airway hyper-responsiveness before and after (Bentur et al. 2009), as Fagerland et al. (2014) give it."""
    difference, interval = contrast(*pairs(1, 7, 21))
    assert difference == pytest.approx(-6 / 21)
    assert interval == pytest.approx((-0.517, -0.026), abs=0.0005)


@pytest.mark.parametrize(("gained", "low"), [(16, 0.6128), (0, -0.1936)])
def test_pairs_that_all_differ_alike_leave_something_open(gained: int, low: float) -> None:
    """2n / (n + z^2) - 1 where one side alone has all right, z^2 / (n + z^2) to both sides where there is no other."""
    difference, interval = contrast(*pairs(gained, 0, 16))
    assert (difference, interval) == (gained / 16, pytest.approx((low, 1.0 if gained else -low), abs=1e-4))


def test_graded_scores_that_do_not_vary_leave_a_rule_of_three_open() -> None:
    open_share = 1 - 0.025 ** (1 / 40)
    low, high = mean_interval([0.5] * 40)
    assert (low, high) == pytest.approx((0.5 - 0.5 * open_share, 0.5 + 0.5 * open_share), abs=0.002)
    difference, (low, high) = contrast([0.75] * 40, [0.25] * 40)
    assert difference == 0.5
    assert (low, high) == pytest.approx((0.5 - 1.5 * open_share, 0.5 + 0.5 * open_share), abs=0.004)


def test_a_higher_graded_score_never_lowers_an_end() -> None:
    scores = [0.0] * 39 + [0.1]
    ends = []
    for place in range(40):
        scores[place] += 0.4
        ends.append(mean_interval(scores))
    assert (np.diff(ends, axis=0) > 0).all()


def rare(rng: np.random.Generator, num_items: int) -> np.ndarray:
    """Nothing, but for one item in thirty, which is nearly right."""
    return np.where(rng.random(num_items) < 1 / 30, 0.75, 0.0)


def skewed(rng: np.random.Generator, num_items: int) -> np.ndarray:
    return rng.beta(0.2, 2, num_items)


@pytest.mark.parametrize("num_items", SMALL)
@pytest.mark.parametrize(("draw", "mean"), [(rare, 0.025), (skewed, 1 / 11)])
def test_graded_means_and_differences_near_the_ends_are_held(
    draw: Callable[[np.random.Generator, int], np.ndarray], mean: float, num_items: int
) -> None:
    """95% of 100 draws, within three deviations: of the mean, of as much below 1, and of two arms that are alike."""
    rng, held = np.random.default_rng(0), np.zeros(3)
    for _ in range(100):
        one, other = draw(rng, num_items).tolist(), draw(rng, num_items).tolist()
        found = (mean_interval(one), mean_interval([1 - score for score in one]), contrast(one, other)[1])
        held += [low <= truth <= high for (low, high), truth in zip(found, (mean, 1 - mean, 0), strict=True)]
    assert held.min() >= 88


def test_graded_intervals_of_many_items_are_as_wide_as_normal_ones() -> None:
    scores = (np.arange(400) % 4 / 3).tolist()
    low, high = mean_interval(scores)
    half = 1.96 * np.std(scores) / 20
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.003)


def test_a_ratio_of_means_is_held() -> None:
    """Of amounts that share what makes an item dear, twice the other's: 95% of 200 draws, within three deviations."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        dear = rng.lognormal(5, 0.5, 100)
        found, (low, high) = ratio(
            (2 * dear * rng.lognormal(0, 0.2, 100)).tolist(), (dear * rng.lognormal(0, 0.2, 100)).tolist()
        )
        assert low < found < high
        held += low <= 2 <= high
    assert 0.90 <= held / 200 <= 0.995


def test_only_the_same_items_are_compared() -> None:
    with pytest.raises(ValueError, match="3 and 2 values: give those of the same items"):
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
