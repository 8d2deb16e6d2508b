"""Paired timing: the interval covers what it says, the control finds nothing where nothing is."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from evals.inference import protocol
from evals.inference.protocol import CONTROLS, MOST_TURNS, Pairs, control, interleaved, median_interval, take_turns

CPU = torch.device("cpu")
REPETITIONS = 2_000


@pytest.fixture
def false_alarms(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, np.ndarray], float]:
    """Share of controls whose interval leaves out 1: of so many pairs, call after call slower by the given factors.

    The calls' seconds are simulated: log-normal, and a tenth of them are held up.
    """

    def share(num_pairs: int, slower: np.ndarray) -> float:
        generator = np.random.default_rng(0)
        num_calls = REPETITIONS * num_pairs * 2
        held_up = np.where(generator.random(num_calls) < 0.1, generator.exponential(0.5, num_calls), 0.0)
        seconds = np.exp(0.1 * generator.standard_normal(num_calls) + held_up) * np.resize(slower, num_calls)
        clock = iter(seconds.tolist())
        monkeypatch.setattr(protocol, "ORDERS", generator)
        monkeypatch.setattr(protocol, "timed", lambda work, device: next(clock))
        intervals = [take_turns(int, int, num_pairs, CPU).ratio()[1] for _ in range(REPETITIONS)]
        return float(np.mean([not low <= 1 <= high for low, high in intervals]))

    return share


@pytest.mark.parametrize(("num_pairs", "nominal"), [(7, 0.0156), (9, 0.0391), (11, 0.0117), (15, 0.0352), (21, 0.0266)])
@pytest.mark.parametrize(
    "slower",
    [
        np.ones(1),
        np.linspace(1, 1.5, 97),  # a machine that grows slower again and again
        np.array([1, 1.05]),  # the second call of a turn
        np.array([2, 1, 1, 1]),  # every fourth: what comes round with two turns
    ],
    ids=["even", "drift", "second", "fourth"],
)
def test_false_alarms_are_as_rare_as_the_sign_test_says(
    false_alarms: Callable[[int, np.ndarray], float], slower: np.ndarray, num_pairs: int, nominal: float
) -> None:
    """Within three standard errors of the repetitions, whatever else the machine does."""
    error = 3 * (nominal * (1 - nominal) / REPETITIONS) ** 0.5
    assert false_alarms(num_pairs, slower) == pytest.approx(nominal, abs=error)


def test_the_interval_is_of_order_statistics() -> None:
    assert median_interval(np.arange(9.0)) == (4.0, (1.0, 7.0))
    assert median_interval(np.arange(11.0)) == (5.0, (1.0, 9.0))
    assert median_interval(np.arange(40.0))[1] == (13.0, 26.0)
    assert median_interval(np.arange(5.0)) == (2.0, (0.0, 4.0))


def test_ratio_of_known_seconds() -> None:
    ratio, (low, high) = Pairs([2.0, 2.2, 4.2, 1.9, 20.0], [1.0, 1.1, 2.0, 1.0, 10.0]).ratio()
    assert ratio == 2.0
    assert (low, high) == (1.9, 2.1)


def test_works_take_turns_whose_order_is_drawn() -> None:
    heard: list[str] = []
    works = [partial(heard.append, name) for name in "abc"]
    seconds = interleaved(works, 100, CPU)
    turns = ["".join(heard[start : start + 3]) for start in range(0, 300, 3)]
    assert {"".join(sorted(turn)) for turn in turns} == {"abc"}
    assert len(set(turns)) == 6
    assert [len(own) for own in seconds] == [100, 100, 100]
    assert all(one > 0 for own in seconds for one in own)


@pytest.mark.parametrize(("least_seconds", "num_turns"), [(0.0, 3), (0.2, 7), (10.0, MOST_TURNS)])
def test_short_work_takes_turns_until_its_seconds_are_over(
    least_seconds: float, num_turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of works that take 1/64 s each: 7 turns of two of them are the first to make a fifth of a second.

    What later turns take changes nothing: no slow one may end a series that it then is part of.
    """
    clock = iter([1 / 64] * 2 + [100.0] * 100)
    monkeypatch.setattr(protocol, "timed", lambda work, device: next(clock))
    seconds = interleaved([int, int], 3, CPU, least_seconds)
    assert [len(own) for own in seconds] == [num_turns] * 2


def test_the_control_runs_one_work_on_both_sides() -> None:
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1

    told = control(work, 7, CPU)
    assert calls == CONTROLS * 2 * 7
    assert len(told["ratios"]) == told["repetitions"] == CONTROLS
    assert 0 <= told["false_alarms"] <= CONTROLS
    assert told["detectable"] >= 1
