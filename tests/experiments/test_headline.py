"""The few numbers of each question against the files that they are taken from."""

import json
from pathlib import Path
from statistics import mean

import pytest

from experiments.headline import HEADLINES


@pytest.mark.parametrize("question", HEADLINES)
def test_committed_numbers_are_those_of_the_committed_results(root: Path, question: str) -> None:
    found = json.loads((root / "results" / f"{question}.json").read_text())
    told = json.loads((root / "results" / "metrics" / f"{question}.json").read_text())
    assert told == HEADLINES[question](found)
    assert all(value is None or isinstance(value, int | float) for value in told.values())


def test_a_question_in_a_few_numbers(root: Path) -> None:
    found = {name: json.loads((root / "results" / f"{name}.json").read_text()) for name in HEADLINES}
    told = {name: HEADLINES[name](found[name]) for name in HEADLINES}
    assert told["law"]["alpha"] == found["law"]["params"]["alpha"]
    assert told["law"]["heldout_error"] == found["law"]["heldout"]["mean_abs_rel_error"]
    labelled = sum(value for name, value in told["emergence"].items() if name.startswith("num_") and value)
    asked = {row["task"] for row in found["emergence"]["rows"] if row["task"].endswith(("_direct", "_steps_generate"))}
    assert labelled == len(asked)
    sizes = {(size["params"], size["data"]) for size in found["saturation"]["sizes"]}
    assert len(told["saturation"]) == len(sizes)
    ratios = [row["ratio"] for row in found["inference"]["rows"] if row["status"] == "ok"]
    assert told["inference"]["best_gain"] == max(ratios)
    rows = [row for row in found["longcontext"]["rows"] if (row["arm"], row["length_windows"]) == ("rlm-1", 4)]
    assert told["longcontext"]["rlm-1_at_4"] == pytest.approx(mean(row["accuracy"] for row in rows))


def test_a_law_without_a_hold_out_has_numbers_too() -> None:
    law = {"num_points": 3, "params": {"E": 1.0}, "exponents": None, "heldout": None}
    told = HEADLINES["law"](law)
    assert (told["E"], told["alpha"], told["heldout_error"]) == (1.0, None, None)
