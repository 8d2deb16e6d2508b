"""What each kind says of numbers that moved: the committed baseline against copies of itself that were changed."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from experiments.check import detector, golden, inference, law, speed
from experiments.check.row import Row, failing_first, missing_rows
from experiments.check.run import compare, require_comparable
from experiments.check.speed import Launch

CELL = "documents/w0016-s0"


@pytest.fixture
def kinds(root: Path) -> dict[str, Any]:
    return json.loads((root / "experiments/archive/baseline.json").read_text())["kinds"]


def failing(rows: list[Row]) -> dict[str, str]:
    return {row.name: row.verdict for row in rows if row.fails}


@pytest.mark.parametrize("module", [golden, law, detector, inference], ids=lambda module: module.__name__)
@pytest.mark.parametrize("exactly", [True, False])
def test_a_baseline_is_the_same_as_itself(kinds, module, exactly: bool) -> None:
    kept = kinds[module.__name__.rpartition(".")[2]]
    rows = module.compare(kept, copy.deepcopy(kept), exactly)
    assert len(rows) > 4
    assert failing(rows) == {}
    assert all(row.reason for row in rows)


def test_golden_is_exact_at_home_and_within_a_tolerance_elsewhere(kinds) -> None:
    now = copy.deepcopy(kinds["golden"])
    branch = next(iter(now["cells"][CELL]["validation"]))
    now["cells"][CELL]["validation"][branch] *= 1 + 1e-6
    now["cells"][CELL]["curves"]["trunk"][0][2] *= 1 + 1e-5  # a gradient norm
    assert failing(golden.compare(kinds["golden"], now, exactly=True)) == {
        f"{CELL}/{branch}": "regressed",
        f"{CELL}/gradient_norm": "changed",
    }
    assert failing(golden.compare(kinds["golden"], now, exactly=False)) == {}
    now["cells"][CELL]["validation"][branch] *= 1 - 1e-4
    assert failing(golden.compare(kinds["golden"], now, exactly=False)) == {f"{CELL}/{branch}": "changed"}


def test_golden_names_the_step_where_a_curve_moved_most(kinds) -> None:
    now = copy.deepcopy(kinds["golden"])
    now["cells"][CELL]["curves"]["trunk"][1][3] *= 1.02  # the rate of the second line
    (row,) = (row for row in golden.compare(kinds["golden"], now, exactly=False) if row.fails)
    assert row.name == f"{CELL}/learning_rate"
    assert "at trunk step 40" in row.reason
    assert row.present == pytest.approx(1.02 * float(row.baseline or 0))


def test_golden_says_when_a_cell_diverged_or_is_gone(kinds) -> None:
    now = copy.deepcopy(kinds["golden"])
    branch = next(iter(now["cells"][CELL]["validation"]))
    now["cells"][CELL]["validation"][branch] = None
    del now["cells"]["text/w0032-s1"]
    found = failing(golden.compare(kinds["golden"], now, exactly=False))
    assert found == {f"{CELL}/{branch}": "regressed", "text/w0032-s1": "incomparable"}


def test_another_text_is_not_compared_and_says_what_to_do(kinds) -> None:
    now = copy.deepcopy(kinds["golden"]) | {"text": "0" * 16}
    (row,) = golden.compare(kinds["golden"], now, exactly=True)
    assert (row.name, row.verdict) == ("data/package", "incomparable")
    assert "--update" in row.reason
    tokens = copy.deepcopy(kinds["golden"])
    tokens["tokens"]["text"] = "other"
    assert failing(golden.compare(kinds["golden"], tokens, exactly=True)) == {"data/text": "changed"}


def test_a_law_moves_in_three_steps(kinds) -> None:
    now = copy.deepcopy(kinds["law"])
    values = now["tables"]["seeds"]["values"]
    low, high = values["alpha"][1]
    values["alpha"][0] += 0.01 * (high - low)
    values["beta"][0] = values["beta"][1][1] + 1e-3
    values["E"][1] = [end * 1.0005 for end in values["E"][1]]
    values["forecast"][1][1] += 0.5 * (values["forecast"][1][1] - values["forecast"][1][0])
    assert failing(law.compare(kinds["law"], now, exactly=True)) == {
        "seeds/alpha": "changed",
        "seeds/beta": "regressed",
        "seeds/E width": "changed",
        "seeds/forecast width": "regressed",
    }


def test_the_truth_lies_in_the_intervals_of_the_baseline(kinds) -> None:
    """The tables are simulated: an estimator that is right holds what made them."""
    for table in kinds["law"]["tables"].values():
        for name, truth in table["truth"].items():
            low, high = table["values"][name][1]
            assert low <= truth <= high


def test_a_table_that_is_refused_is_a_regression(kinds) -> None:
    now = copy.deepcopy(kinds["law"])
    now["tables"]["seeds"] = {"refused": "points: the runs do not identify beta"}
    assert failing(law.compare(kinds["law"], now, exactly=True)) == {"seeds": "regressed"}


def test_the_checkouts_law_is_skipped_where_it_is_of_other_points_and_judged_where_not(kinds) -> None:
    now = copy.deepcopy(kinds["law"])
    now["checkout"]["beta"][0] = 5.0
    assert failing(law.compare(kinds["law"], now, exactly=True)) == {"checkout/beta": "regressed"}
    now["checkout"] = None
    (row,) = (row for row in law.compare(kinds["law"], now, exactly=True) if row.verdict == "skipped")
    assert "this checkout has no results/law.json" in row.reason


def test_labels_that_went_wrong_regress_and_others_change(kinds) -> None:
    now = copy.deepcopy(kinds["detector"])
    smooth = [name for name in now if name.endswith(("linear", "power"))]
    now[smooth[0]] = now[smooth[0]].replace("smooth", "emergent")
    assert failing(detector.compare(kinds["detector"], now, exactly=False)) == {"errors/smooth": "regressed"}
    now = copy.deepcopy(kinds["detector"])
    now[smooth[0]] = now[smooth[0]].replace("smooth", "undetermined", 1)
    assert failing(detector.compare(kinds["detector"], now, exactly=True)) == {"errors/smooth": "changed"}
    assert failing(detector.compare(kinds["detector"], now, exactly=False)) == {}


def test_most_labels_of_the_baseline_are_right(kinds) -> None:
    for name, labels in kinds["detector"].items():
        truth = detector.TRUTHS[name.partition(": ")[2]]
        wrong = sum(detector.is_wrong(truth, label) for label in labels.split())
        assert truth not in ("flat", "smooth") or wrong <= 3, name


def test_counts_are_exact_and_know_which_way_is_worse(kinds) -> None:
    now = dict(kinds["inference"])
    now["static-cache/forwards_per_token"] += 1 / 40
    now["speculative-model/tokens_per_verification"] *= 1.1
    now["int8-dynamic/weight_bytes"] -= 1
    now["prefix/share_found"] *= 0.9
    assert failing(inference.compare(kinds["inference"], now, exactly=False)) == {
        "static-cache/forwards_per_token": "regressed",
        "speculative-model/tokens_per_verification": "changed",
        "int8-dynamic/weight_bytes": "changed",
        "prefix/share_found": "regressed",
    }


def test_counts_of_the_baseline_are_what_arithmetic_says(kinds) -> None:
    """Three layers 96 wide with six heads of 16, 260 tokens, a cache of 128 places for three prompts."""
    counts = kinds["inference"]
    assert counts["static-cache/forwards_per_token"] == 1
    assert counts["static-cache/read_per_token"] == (24 + 39) / 40
    assert counts["float32/state_bytes_per_token"] == 2 * 3 * 96 * 4
    assert counts["static-cache/bytes"] == 3 * 128 * counts["float32/state_bytes_per_token"]
    body = 3 * (4 * 96 * 96 + 3 * 96 * 256 + 2 * 96) + 96
    rotary = 2 * 8  # frequencies of heads 16 wide, and the same as they were at first
    assert counts["float32/weight_bytes"] == 4 * (body + 2 * 260 * 96 + rotary)
    assert counts["serve-sequential/forwards_per_token"] == 1


def test_an_alarm_of_speed_stands_where_two_launches_raise_it() -> None:
    quiet = {clock: [0.1 + 1e-4 * n for n in range(48)] for clock in speed.CLOCKS}
    slow, other = quiet | {"cpu": [1.2 * value for value in quiet["cpu"]]}, Launch("decode", 10, quiet, quiet)
    alarm, calm = Launch("train", 10, quiet, slow), Launch("train", 10, quiet, quiet)
    assert failing(speed.compare([alarm, other, alarm])) == {"train/cpu_seconds_per_step": "regressed"}
    assert failing(speed.compare([calm, other, alarm, alarm])) == {"train/cpu_seconds_per_step": "regressed"}
    rows = speed.compare([alarm, other, calm])
    assert failing(rows) == {}
    assert "not confirmed" in rows[1].reason
    verdicts = [row.verdict for row in speed.compare([Launch("train", 10, slow, quiet), other])]
    assert verdicts == ["same", "faster", "same", "same"]


def test_another_launch_is_asked_where_it_could_change_the_verdict() -> None:
    quiet = {clock: [0.1 + 1e-4 * n for n in range(48)] for clock in speed.CLOCKS}
    by = {
        ratio: {"wall": quiet["wall"], "cpu": [ratio * value for value in quiet["cpu"]]} for ratio in (1.02, 1.08, 1.2)
    }
    calm, doubtful, alarm = (Launch("train", 10, quiet, present) for present in by.values())
    for launches, is_open in (
        ([], True),
        ([calm], False),
        ([doubtful], True),
        ([alarm], True),
        ([alarm, alarm], False),
        ([doubtful, calm], False),
        ([doubtful, alarm], True),
        ([alarm, calm, calm], False),
    ):
        assert speed.is_open(launches) == is_open


def test_what_fails_stands_first() -> None:
    rows = [Row("law", str(n), 1, 1, verdict, "") for n, verdict in enumerate(("same", "changed", "regressed"))]
    assert [row.verdict for row in failing_first(rows)] == ["regressed", "changed", "same"]
    gone, new = missing_rows("law", ["a"], ["b"])
    assert {gone.name, new.name} == {"a", "b"}
    assert gone.fails
    assert new.fails


def test_an_older_baseline_is_compared_as_far_as_it_goes(kinds) -> None:
    """Of fewer kinds, cells, branches, curves and parameters than are measured now, in lines of fewer columns."""
    now, machine = copy.deepcopy(kinds), {"processor": "p", "cpu_capability": "c", "threads": 1}
    branch = next(iter(kinds["golden"]["cells"][CELL]["validation"]))
    del kinds["inference"], kinds["golden"]["tokens"]["documents"], kinds["golden"]["cells"][CELL]["validation"][branch]
    lines = kinds["golden"]["cells"]["text/w0032-s0"]["curves"]["trunk"]
    kinds["golden"]["cells"]["text/w0032-s0"]["curves"]["trunk"] = [line[:-1] for line in lines]
    few = next(name for name in kinds["detector"] if name.endswith(": flat"))
    kinds["detector"][few] = kinds["detector"][few].rpartition(" ")[0]
    kinds["law"]["tables"]["seeds"] = {"refused": "points: the runs do not identify beta"}
    del kinds["law"]["checkout"]["beta"], kinds["law"]["tables"]["laptop grid"]["heldout_width"]
    rows = compare({"machine": {}, "versions": {}, "kinds": kinds}, now, machine)
    assert failing(rows) == dict.fromkeys(
        [
            "data/documents", f"{CELL}/{branch}", "text/w0032-s0/curves", "seeds", "checkout/beta", few, "inference",
            "laptop grid/held-out width",
        ],
        "incomparable",
    )  # fmt: skip
    assert all("check --update" in row.reason for row in rows if row.fails)


@pytest.mark.parametrize("fault", ["refused", "nan"])
def test_what_no_later_check_could_use_becomes_no_baseline(kinds, fault: str) -> None:
    machine = {"processor": "p", "cpu_capability": "c", "threads": 1}
    require_comparable(kinds, machine)
    if fault == "refused":
        kinds["law"]["tables"]["seeds"] = {"refused": "points: the runs do not identify beta"}
    else:
        kinds["inference"]["static-cache/forwards_per_token"] = float("nan")
    with pytest.raises(ValueError, match=r"--update: (law seeds: points: the runs|inference static-cache/forwards)"):
        require_comparable(kinds, machine)
