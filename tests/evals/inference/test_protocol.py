"""Paired timing: the interval covers what it says, the control finds nothing where nothing is."""

import numpy as np
import pytest
import torch

from evals.inference import protocol
from evals.inference.protocol import CONTROLS, MOST_TURNS, Pairs, control, interleaved, median_interval

CPU = torch.device("cpu")
REPETITIONS = 4_000


def false_alarms(num_pairs: int, drift: float, order: float, seed: int = 0) -> float:
    """Share of controls whose interval leaves out 1, the same work on both sides, on simulated seconds.

    Noise is log-normal with a heavy tail (a tenth of the calls are held up); `drift` is by what factor the machine is
    slower at the end than at the beginning, `order` by what factor the second of a pair is faster.
    """
    generator = np.random.default_rng(seed)
    shape = (REPETITIONS, num_pairs, 2)
    held_up = np.where(generator.random(shape) < 0.1, generator.exponential(0.5, shape), 0.0)
    seconds = np.exp(0.1 * generator.standard_normal(shape) + held_up)
    seconds *= np.linspace(1, drift, num_pairs * 2).reshape(num_pairs, 2)
    seconds[..., 1] /= order
    first, second = seconds[..., 0], seconds[..., 1]
    even = np.arange(num_pairs) % 2 == 0
    ratios = np.where(even, first / second, second / first)
    intervals = [median_interval(row)[1] for row in ratios]
    return float(np.mean([not low <= 1 <= high for low, high in intervals]))


@pytest.mark.parametrize(("num_pairs", "nominal"), [(7, 0.0156), (9, 0.0391), (11, 0.0117), (15, 0.0352), (21, 0.0266)])
def test_false_alarms_are_as_rare_as_the_sign_test_says(num_pairs: int, nominal: float) -> None:
    """Within three standard errors of 4,000 repetitions."""
    error = 3 * (nominal * (1 - nominal) / REPETITIONS) ** 0.5
    assert false_alarms(num_pairs, drift=1.0, order=1.0) == pytest.approx(nominal, abs=error)


def test_a_drift_or_a_favoured_place_gives_no_more_of_them() -> None:
    """A machine that grows slower by half, and a second call that is a twentieth faster: turns make up for both."""
    assert false_alarms(9, drift=1.5, order=1.0) < 0.05
    assert false_alarms(9, drift=1.0, order=1.05) < 0.05


def test_the_interval_is_of_order_statistics() -> None:
    assert median_interval(np.arange(9.0)) == (4.0, (1.0, 7.0))
    assert median_interval(np.arange(11.0)) == (5.0, (1.0, 9.0))
    assert median_interval(np.arange(40.0))[1] == (13.0, 26.0)
    assert median_interval(np.arange(5.0)) == (2.0, (0.0, 4.0))


def test_ratio_of_known_seconds() -> None:
    ratio, (low, high) = Pairs([2.0, 2.2, 4.2, 1.9, 20.0], [1.0, 1.1, 2.0, 1.0, 10.0]).ratio()
    assert ratio == 2.0
    assert (low, high) == (1.9, 2.1)


def test_works_take_turns_and_the_order_is_reversed() -> None:
    heard: list[str] = []
    seconds = interleaved([lambda: heard.append("a"), lambda: heard.append("b"), lambda: heard.append("c")], 3, CPU)
    assert "".join(heard) == "abccbaabc"
    assert [len(own) for own in seconds] == [3, 3, 3]
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
