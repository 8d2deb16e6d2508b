"""The learning rate: its end points, no jump anywhere, and no cooldown inside the warm-up."""

import itertools
import math

import pytest

from sweeps.schedule import Fork, fork, rate_factor

WARMUP = 20


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("end", [2 * WARMUP, 2 * WARMUP + 1, 101, 5000])
def test_a_fork_leaves_the_share_and_never_enters_the_warm_up(end: int, share: float) -> None:
    left = fork(end, share, WARMUP)
    assert left.end == end
    assert WARMUP <= left.start < end
    assert abs((end - left.start) - share * end) <= 0.5 or left.start == WARMUP


def test_warm_up_rises_in_equal_steps_to_the_peak_and_stays() -> None:
    factors = [rate_factor(step, WARMUP) for step in range(200)]
    rises = [after - before for before, after in itertools.pairwise(factors[:WARMUP])]
    assert factors[0] == pytest.approx(1 / WARMUP)
    assert rises == pytest.approx([1 / WARMUP] * (WARMUP - 1))
    assert set(factors[WARMUP - 1 :]) == {1.0}


def test_a_branch_is_the_trunk_until_its_fork_and_then_falls_to_nothing() -> None:
    branch = fork(500, 0.2, WARMUP)
    assert branch == Fork(400, 500)
    factors = [rate_factor(step, WARMUP, branch) for step in range(500)]
    assert factors[:401] == [rate_factor(step, WARMUP) for step in range(401)]
    cooled = factors[400:]
    assert all(after < before for before, after in itertools.pairwise(cooled))
    # A quarter of the way down time, half of the way down the rate; the step that would have rate 0 is not taken.
    assert rate_factor(425, WARMUP, branch) == pytest.approx(0.5)
    assert rate_factor(499, WARMUP, branch) == pytest.approx(1 - math.sqrt(0.99))
    assert rate_factor(500, WARMUP, branch) == 0.0


@pytest.mark.parametrize("num_steps", [10, 100, 1000])
def test_the_cooldown_tends_to_a_continuous_curve(num_steps: int) -> None:
    branch = Fork(WARMUP, WARMUP + num_steps)
    factors = [rate_factor(step, WARMUP, branch) for step in range(WARMUP - 1, branch.end + 1)]
    jumps = [before - after for before, after in itertools.pairwise(factors)]
    assert max(jumps) <= 1 / math.sqrt(num_steps) + 1e-12
    assert sum(jumps) == pytest.approx(1.0)


def test_the_shortest_run_allowed_is_a_run() -> None:
    for warmup in (1, 2, 3):
        branch = fork(2 * warmup, 0.2, warmup)
        assert all(0 < rate_factor(step, warmup, branch) <= 1 for step in range(branch.end))
