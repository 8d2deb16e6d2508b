"""The forecast of larger runs against curves whose continuation is known."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.emergence import forecast_table
from analysis.emergence.forecast import FITTED_SHARE, WIDEST

SCALES, SEEDS, ITEMS = np.linspace(10.0, 13.0, 10), 3, 200


def nats_of(x: float, midpoint: float, width: float, level: float = 2.0) -> float:
    """A logistic fall of the nats in log10 compute, from `level` to zero; `width` from 90 to 10%."""
    return level / (1 + math.exp((x - midpoint) * 2 * math.log(9) / width))


def table_of(midpoint: float, width: float, seed: int, noise: float = 0.1, tokens: float = 4.0) -> pd.DataFrame:
    """Runs of one task whose exact match is that of `tokens` independent tokens."""
    rng, rows = np.random.default_rng(seed), []
    for x in SCALES:
        for number in range(SEEDS):
            nats = nats_of(x, midpoint, width) * math.exp(noise * rng.normal())
            score = rng.binomial(ITEMS, math.exp(-tokens * nats)) / ITEMS
            rows.append((f"task {midpoint}", "exact_match", 10**x, number, score, ITEMS, 0.0, -nats))
    names = ["task", "metric", "compute", "seed", "value", "num_items", "chance", "continuous"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def test_the_cut_leaves_the_lowest_scales_to_fit() -> None:
    found = forecast_table(table_of(11.0, 3.0, 0), {})
    assert found["cut_compute"] == pytest.approx(10 ** SCALES[int(FITTED_SHARE * 10) - 1])
    assert {row["compute"] for row in found["rows"]} == set((10 ** SCALES[7:]).tolist())
    assert found["num_pairs"] == 3 * SEEDS


def test_a_smooth_fall_is_forecast_better_than_persistence_and_covered() -> None:
    errors, persistence, inside = [], [], []
    for seed in range(20):
        found = forecast_table(table_of(11.2, 3.0, seed), {})
        truth = [nats_of(math.log10(row["compute"]), 11.2, 3.0) for row in found["rows"]]
        errors += [abs(row["predicted"] - t) for row, t in zip(found["rows"], truth, strict=True)]
        persistence += [abs(row["persistence"] - t) for row, t in zip(found["rows"], truth, strict=True)]
        inside += [row["pi95"][0] <= row["observed"] <= row["pi95"][1] for row in found["rows"]]
    assert np.mean(errors) < 0.05
    assert np.mean(errors) < 0.3 * np.mean(persistence)
    assert np.mean(inside) > 0.9


def test_scores_follow_from_the_nats() -> None:
    found = forecast_table(table_of(11.2, 3.0, 0), {})
    for row in found["rows"]:
        assert row["score_predicted"] == pytest.approx(math.exp(-4.0 * row["predicted"]), abs=0.1)


def test_a_fall_that_has_only_begun_is_beyond_a_forecast_and_so_flagged() -> None:
    table = table_of(12.2, 0.6, 0)
    found = forecast_table(table, {("task 12.2", "exact_match"): "emergent"})
    (task,) = found["tasks"]
    assert task["widest_interval"] > WIDEST
    assert not task["can_be_forecast"]
    assert not task["risen_below_cut"]
    assert (found["num_pairs"], found["mean_absolute_error"]) == (0, None)
    assert (found["num_emergent_above_cut"], found["num_emergent_beyond_forecast"]) == (1, 1)
    assert found["num_emergent_predicted"] == 0


def test_what_rose_below_the_cut_needs_no_foresight() -> None:
    found = forecast_table(table_of(10.8, 0.6, 0), {("task 10.8", "exact_match"): "emergent"})
    (task,) = found["tasks"]
    assert task["risen_below_cut"]
    assert task["probability_of_rise"] > 0.95
    assert found["num_emergent_above_cut"] == 0


def test_without_likelihoods_nothing_is_forecast() -> None:
    without = table_of(11.0, 3.0, 0).drop(columns="continuous")
    assert forecast_table(without, {})["rows"] == []
    positive = table_of(11.0, 3.0, 0).assign(continuous=0.5)
    assert forecast_table(positive, {})["tasks"] == []


def test_the_same_table_gives_the_same_forecast_whatever_stands_beside_it() -> None:
    first, second = table_of(11.0, 3.0, 0), table_of(11.4, 2.0, 1)
    alone = forecast_table(first, {})
    beside = forecast_table(pd.concat([second, first]), {})
    assert [row for row in beside["rows"] if row["task"] == "task 11.0"] == alone["rows"]
