"""Strict scores: right answers in their spellings, wrong ones, and outputs that read nothing."""

from statistics import mean
from typing import Any

import pytest

from evals.longcontext import oolong, ruler
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.scorers import exact, members, number, pairs, score
from evals.longcontext.task import items
from evals.longcontext.tasks import TASKS
from tests.evals.longcontext.degenerate import degenerate_outputs

EVERY_TASK = {**TASKS, **ruler.TASKS, **oolong.TASKS}
PAIRS = "0 3 1 4 - 2 2 0 1 , 0 0 0 7 - 4 4 4 4"


@pytest.mark.parametrize("windows", [1, 4])
@pytest.mark.parametrize("task", EVERY_TASK)
def test_degenerate_outputs_stay_at_their_floors(task: str, windows: int, lexicon: Lexicon) -> None:
    drawn = items(EVERY_TASK[task], lexicon, windows, 40, seed=3)
    assert all(score(item, item.gold) == 1 for item in drawn)
    outputs = [degenerate_outputs(item) for item in drawn]
    for column in zip(*outputs, strict=True):
        scores = [score(item, one.output) for item, one in zip(drawn, column, strict=True)]
        declared = mean(one.floor for one in column)
        spread = (declared * (1 - declared) / len(scores)) ** 0.5
        assert mean(scores) <= declared + 3 * spread, column[0].name
        if not declared:
            assert max(scores) == 0, column[0].name


def test_recall_of_substrings_would_not_stand_it(lexicon: Lexicon) -> None:
    """What the floors are for: RULER's own score of an echo is 1."""
    for name in ("niah_multivalue", "vt", "cwe"):
        for item in items(ruler.TASKS[name], lexicon, 1, 4, seed=0):
            assert all(one in item.context for one in item.gold.split(", "))
            assert score(item, item.context) == 0


@pytest.mark.parametrize(
    ("gold", "output", "expected"),
    [
        ("storm", "storm", 1),
        ("storm", " Storm\n", 1),
        ("storm", "the storm", 0),
        ("storm", "storm fruit", 0),
        ("storm", "", 0),
        ("storm", None, 0),
        ("4 7 1", "471", 1),
        ("4 7 1", 471, 1),
        ("0 7 1", "71", 0),
        ("4 7 1", "4 7", 0),
        ("4 7 1", "47 1", 0),
    ],
)
def test_exact(gold: str, output: Any, expected: float) -> None:
    assert exact(gold, output) == expected


@pytest.mark.parametrize(
    ("gold", "output", "expected"),
    [
        ("2 7", "27", 1),
        ("2 7", "2 7", 1),
        ("2 7", 26, 0.75),
        ("2 7", "27 lines", 1),
        ("2 7", "25.0", 0.75**2),
        ("2 7", "26 27", 0),
        ("2 7", "2 7 , 2 7", 0),
        ("2 7", "", 0),
        ("2 7", "none", 0),
        ("3", "-3", 0.75**6),
        ("2 7", "9" * 5000, 0),
        ("2 7", "9" * 12, 0),
    ],
)
def test_number(gold: str, output: Any, expected: float) -> None:
    assert number(gold, output) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (PAIRS, 1),
        ("2201 - 0314 , 7-4444", 1),
        ([("0314", "2201"), ("0007", "4444")], 1),
        ([(314, 2201), (7, 4444)], 1),
        ({("2 2 0 1", "0 3 1 4"), ("0 0 0 7", "4 4 4 4")}, 1),
        ([(["0", "3", "1", "4"], ["2", "2", "0", "1"])], 2 / 3),
        ("0314 - 2201", 2 / 3),
        ("0314 - 2201 , 0007 - 4444 , 1 - 2", 4 / 5),
        ("0314 - 2201 , 0314 - 2201 , 0007 - 4444", 1),
        ("0314 2201 0007 4444", 0),
        ("the pairs are 0314 - 2201", 0),
        ("0314 - 0007", 0),
        ([3, 4], 0),
        ([(1, 2, 3)], 0),
        ("", 0),
        ("none", 0),
        ([], 0),
        (None, 0),
    ],
)
def test_pairs(output: Any, expected: float) -> None:
    assert pairs(PAIRS, output) == pytest.approx(expected)


def test_too_many_pairs_are_worth_nothing() -> None:
    many = [(0, number) for number in range(1, 13)]
    assert pairs(PAIRS, [("0314", "2201"), ("0007", "4444"), *many]) == pytest.approx(4 / 16)
    assert pairs(PAIRS, [("0314", "2201"), ("0007", "4444"), *many, (0, 99)]) == 0


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("ALPHA, beta", 1),
        ("beta\nalpha\n", 1),
        (["alpha", "beta"], 1),
        ("alpha", 2 / 3),
        ("alpha, beta, gamma", 4 / 5),
        ("alphabeta", 0),
        ("", 0),
        ("alpha beta " + " ".join(map(str, range(12))), 4 / 16),
        ("alpha beta " + " ".join(map(str, range(13))), 0),
    ],
)
def test_members(output: Any, expected: float) -> None:
    assert members("alpha, beta", output) == pytest.approx(expected)
