"""Two sides compared: what differs by more than noise is told, what does not is not."""

import copy
import math

import numpy as np
import pandas as pd
import pytest

from analysis.comparison import Side, compare, compare_saturation, difference, ratio
from analysis.inference import analyse
from analysis.page import Section
from analysis.pages_comparison import comparison_groups
from analysis.scaling import fit_law
from tests.analysis.conftest import QUICK, simulated_sweep
from tests.analysis.inference_rows import inference_table
from tests.analysis.longcontext_rows import longcontext_table


def test_a_difference_of_two_normal_estimates_has_the_width_of_both() -> None:
    told = difference(1.0, (1.0 - 0.3, 1.0 + 0.3), 2.0, (2.0 - 0.4, 2.0 + 0.4))
    assert told["difference"] == 1
    assert told["ci95"] == pytest.approx([0.5, 1.5])
    assert told["moved"]
    assert not difference(1.0, (0.7, 1.3), 1.4, (1.0, 1.8))["moved"]


def test_an_open_end_stays_open_and_one_end_suffices() -> None:
    told = difference(1.0, (0.9, 1.1), 3.0, (2.5, None))
    assert told["ci95"] == [pytest.approx(2 - math.hypot(0.5, 0.1)), None]
    assert told["moved"]
    assert difference(1.0, (None, None), 3.0, (2.5, 3.5))["ci95"] == [None, None]
    assert not difference(1.0, (None, None), 3.0, (2.5, 3.5))["moved"]


def test_ratios_are_judged_in_logarithms() -> None:
    told = ratio(2.0, (1.0, 4.0), 8.0, (4.0, 16.0))
    assert told["ratio"] == pytest.approx(4)
    reach = 2 ** math.sqrt(2)
    assert told["ci95"] == pytest.approx([4 / reach, 4 * reach])
    assert told["moved"]


def test_laws_are_judged_by_draws_that_do_not_share_their_noise(sweep: pd.DataFrame, sweep_law: dict) -> None:
    """Against itself nothing moves, and the interval of a difference is as wide as that of two independent draws."""
    side = Side("here", law=(sweep, sweep_law))
    found = compare(side, side)["law"]
    assert found["judged_by"] == "draws"
    assert found["same_inputs"]
    alpha = next(row for row in found["rows"] if row["name"] == "alpha")
    low, high = sweep_law["ci95"]["alpha"]
    assert alpha["difference"] == 0
    assert np.diff(alpha["ci95"])[0] == pytest.approx(math.sqrt(2) * (high - low), rel=0.2)
    assert not any(row["moved"] for row in found["rows"])


def test_a_law_that_is_another_moves_and_one_of_other_seeds_does_not(
    sweep: pd.DataFrame, sweep_law: dict, truth
) -> None:
    again = simulated_sweep(seed=1)
    higher = sweep.assign(loss=sweep["loss"] + 0.3)
    sides = {"again": again, "higher": higher}
    moved = {}
    for name, runs in sides.items():
        law = fit_law(runs, QUICK, {"points": name})
        for one in (law, {**law, "draws": []}):
            rows = compare(Side("here", law=(sweep, sweep_law)), Side(name, law=(runs, one)))["law"]["rows"]
            moved.setdefault(name, []).append({row["name"] for row in rows if row["moved"]})
    assert moved["again"] == [set(), set()]
    assert all("E" in names and "alpha" not in names for names in moved["higher"])


def test_speeds_and_scores_that_changed_are_told_alone() -> None:
    table = inference_table()
    table |= analyse(table)
    other = copy.deepcopy(table)
    measured = [row for row in other["rows"] if row["status"] == "ok"]
    measured[0] |= {"ratio": 9 * measured[0]["ratio"], "ci95": [9 * end for end in measured[0]["ci95"]]}
    measured[1] |= {"status": "incorrect"}
    other["rows"].remove(measured[2])
    contexts = longcontext_table()
    changed = copy.deepcopy(contexts)
    changed["rows"][0] |= {"accuracy": 0.0, "ci95": [0.0, 0.05]}
    here = Side("here", inference=table, longcontext=contexts, params={"a.b": "1", "c": "2", "d": "3"})
    there = Side("there", inference=other, longcontext=changed, params={"a.b": "1", "c": "4", "e": "5"})
    found = compare(here, there)
    speeds = [row for row in found["inference"]["rows"] if row["moved"]]
    assert [row["ratio"] for row in speeds] == [pytest.approx(9)]
    assert [(row["here"], row["there"]) for row in found["inference"]["statuses"]] == [("ok", "incorrect")]
    assert len(found["inference"]["only_here"]) == 1
    assert found["inference"]["only_there"] == []
    before = contexts["rows"][0]["accuracy"]
    assert [row["difference"] for row in found["longcontext"]["rows"] if row["moved"]] == [pytest.approx(-before)]
    assert found["law"] == {"missing": ["here", "there"]}
    assert found["params"] == [
        {"name": "c", "here": "2", "there": "4"},
        {"name": "d", "here": "3", "there": None},
        {"name": "e", "here": None, "there": "5"},
    ]
    groups = {group.name: group for group in comparison_groups(here, there, found)}
    (section,) = groups["law"].sections
    assert section == Section("Not compared", "here and there have no results of it.")
    assert groups["inference"].answer is not None
    assert groups["inference"].answer.value == f"1 of {len(found['inference']['rows'])}"
    (settings,) = [part for part in groups["settings"].sections if part.title == "Params that differ"]
    assert [row[0] for row in settings.rows] == ["c", "d", "e"]


def test_a_saturation_point_that_one_side_does_not_reach_is_told_in_words() -> None:
    def side(*tokens: float | None) -> tuple[pd.DataFrame, dict]:
        entries = [
            {"eps": eps, "tokens": at, "ci95": [at and 0.8 * at, at and 1.2 * at], "reached": at is not None}
            for eps, at in zip((0.05, 0.02, 0.01), tokens, strict=True)
        ]
        size = {"params": 1000.0, "unique_tokens": None, "data": "fresh", "verdict": "fixed-n", "d_sat": entries}
        return pd.DataFrame(), {"sizes": [size | {"shortest_tokens": 1e5, "longest_tokens": 2e6}]}

    found = compare_saturation(side(4e5, 1e6, None), side(4e5, None, None))
    assert [(row["name"], row["ratio"]) for row in found["rows"]] == [("1,000 parameters, fresh, eps 0.05", 1)]
    assert found["curves"] == [{"name": "1,000 parameters, fresh, eps 0.02", "here": "1M", "there": "> 2M"}]
    (other_way,) = compare_saturation(side(4e5, None, None), side(4e5, 1e6, None))["curves"]
    assert (other_way["here"], other_way["there"]) == ("> 2M", "1M")
