"""Requests under load: everyone gets the same tokens, and the clock is right."""

from itertools import pairwise

import numpy as np
import pytest

from evals.inference import load
from evals.inference.load import POLICIES, Request, Served, poisson_arrivals, serve, summary
from models import decoder
from models.ladder import Shape

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    generator = np.random.default_rng(0)
    arrivals = poisson_arrivals(16, 200.0, seed=0)
    return [
        Request(generator.integers(4, 260, generator.integers(4, 20)).tolist(), int(generator.integers(1, 12)), arrival)
        for arrival in arrivals
    ]


@pytest.fixture(scope="module")
def model():
    made = decoder.build(Shape(16), 260, 64, seed=0)
    made.lm_head.weight.data.normal_()
    return made.eval()


def test_every_policy_gives_every_request_the_same(model, requests) -> None:
    alone, static, continuous = (serve(model, requests, policy, max_rows=8) for policy in POLICIES)
    assert [one.tokens for one in alone] == [one.tokens for one in static] == [one.tokens for one in continuous]
    assert [len(one.tokens) for one in alone] == [request.num_tokens for request in requests]
    for served in (alone, static, continuous):
        for request, one in zip(requests, served, strict=True):
            assert request.arrival < one.first <= one.last


def test_one_by_one_is_in_order_and_the_clock_skips_idle_time(model, requests) -> None:
    served = serve(model, requests, "sequential", max_rows=8)
    for before, after in pairwise(served):
        assert before.last < after.first
    seldom = [Request(request.prompt, request.num_tokens, 1000.0 * index) for index, request in enumerate(requests)]
    for request, one in zip(seldom, serve(model, seldom, "continuous", max_rows=8), strict=True):
        assert request.arrival < one.first <= one.last < request.arrival + 100


def test_a_static_batch_goes_on_with_all_its_rows_to_the_end_of_the_longest(
    model, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []

    class Watched(load.Batch):
        def step(self):
            rows.append(len(self.rows))
            return super().step()

    monkeypatch.setattr(load, "Batch", Watched)
    asked = [Request([5, 6], 1, 0.0), Request([7], 6, 0.0), Request([8, 9], 3, 0.0)]
    served = serve(model, asked, "static", max_rows=2)
    assert rows == [2] * 5 + [1] * 2
    assert [len(one.tokens) for one in served] == [1, 6, 3]
    assert served[0].last < served[1].last < served[2].first
    rows.clear()
    serve(model, asked, "continuous", max_rows=2)
    assert rows[0] == 2
    assert len(rows) < 7


def test_arrivals_have_their_rate() -> None:
    arrivals = np.array(poisson_arrivals(20_000, 50.0, seed=1))
    gaps = np.diff(arrivals)
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.05)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.05)
    with pytest.raises(ValueError, match="arrival rate 0: give requests a second above 0"):
        poisson_arrivals(3, 0, seed=0)


def test_summary_of_known_times() -> None:
    requests = [Request([1], 3, 1.0), Request([1], 1, 2.0)]
    told = summary(requests, [Served([1, 2, 3], 1.5, 2.5), Served([4], 3.0, 3.0)])
    assert told["tokens_per_second"] == 2.0
    assert told["seconds_to_first_token"] == {"p50": 0.75, "p95": pytest.approx(0.975)}
    assert told["seconds_per_token"] == {"p50": 0.5, "p95": 0.5}
