"""What the summary says: its numbers are the results', and it says so where there is nothing to say."""

import copy
import json
from pathlib import Path
from statistics import mean

import pandas as pd
import pytest

from analysis.answers import (
    emergence_answer,
    inference_answer,
    law_answer,
    listed,
    longcontext_answer,
    mean_with_ends,
    saturation_answer,
)


@pytest.fixture(scope="module")
def results(root: Path) -> dict:
    """The committed results."""
    return {path.stem: json.loads(path.read_text()) for path in (root / "results").glob("*.json")}


@pytest.fixture
def changed(results: dict) -> dict:
    return copy.deepcopy(results)


def test_a_law_without_a_held_out_part_or_a_budget_still_has_an_answer(changed: dict) -> None:
    law = changed["law"]
    assert law_answer(law).value == f"{law['heldout']['mean_abs_rel_error']:.2%}"
    law |= {"heldout": None, "exponents": None, "law": "kaplan"}
    told = law_answer(law)
    assert told.value == f"{law['num_points']} runs"
    assert told.sentence == f"Loss follows L = {law['formula']}, N parameters and D tokens."


def test_a_size_that_has_not_stopped_says_how_far_it_was_followed(changed: dict) -> None:
    found = changed["saturation"]
    for size in found["sizes"]:
        for entry in size["d_sat"]:
            entry["reached"] = False
    told = saturation_answer(found)
    assert told.value.startswith("> ")
    assert "had not stopped improving by its longest run; 0 of 3 sizes" in told.sentence
    assert "lowers the loss by less than 3.4%" in told.sentence  # 1 - 2 to the power of -0.05
    assert saturation_answer({"eps": [0.05], "sizes": []}).sentence == "No size has runs enough to say."


def test_abilities_are_counted_by_label(changed: dict, root: Path) -> None:
    table, found = pd.read_csv(root / "results/emergence_scores.csv"), changed["emergence"]
    told = emergence_answer(table, found)
    assert told.value == "1 of 6"
    assert told.sentence.startswith(
        "Emergent: induction direct, at 402G FLOPs (361G to 490G). Of 6 abilities 1 emergent"
    )
    for row in found["rows"]:
        row["label"] = "flat"
    assert emergence_answer(table, found).value == "0 of 6"
    assert emergence_answer(table, found).sentence == "Of 6 abilities 6 flat."


def test_a_gain_lies_beyond_what_the_control_cannot_tell(changed: dict) -> None:
    table = changed["inference"]
    best = max((row for row in table["rows"] if row["status"] == "ok"), key=lambda row: row["ci95"][0])
    assert inference_answer(table).value == f"{best['ratio']:.3g} times"
    table["control"]["detectable"] = 1000
    told, num_techniques = inference_answer(table), len({r["technique"] for r in table["rows"] if r["status"] == "ok"})
    assert (told.value, told.beneath) == (f"0 of {num_techniques}", "techniques gain")
    assert told.sentence.startswith("Nothing measured gains beyond doubt. All ")
    assert "surest" not in told.sentence
    for row in table["rows"]:
        row["status"] = "incorrect"
    assert "No technique has a speed" in inference_answer(table).sentence


def test_long_contexts_average_the_compared_tasks(changed: dict) -> None:
    table = changed["longcontext"]
    own = [row for row in table["rows"] if row["arm"] == "rlm-1" and row["length_windows"] == 64]
    assert longcontext_answer(table).value == f"{mean(row['accuracy'] for row in own):.2f} of 1"
    table["contrasts"] = []
    assert "compared with no baseline at 64 windows" in longcontext_answer(table).sentence


def test_a_mean_is_as_sure_as_its_parts_together() -> None:
    middle, (low, high) = mean_with_ends([(0.5, (0.2, 0.9)), (0.7, (0.3, 0.7))])
    assert middle == pytest.approx(0.6)
    assert (low, high) == (pytest.approx(0.6 - 0.25), pytest.approx(0.6 + 0.2))


def test_names_are_listed_as_a_sentence_has_them() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b"], list("abc"), list("abcdef"))] == [
        "", "a", "a and b", "a, b and c", "a, b, c, d and 2 more",
    ]  # fmt: skip
