"""Forecasts and the choice of the next runs, against closed forms and brute force."""

import numpy as np
import pytest

from analysis.design import Candidates, candidates, choose_runs, forecast_draws
from analysis.forecast import Forecaster
from analysis.laws import HOFFMANN
from analysis.noise import Compute, NoiseDraws

NOISE = 0.004
RANGES = {"params": (2e4, 4e5), "tokens": (1e6, 8e6), "flops": (1e11, 2e13)}


@pytest.fixture(scope="module")
def forecaster(truth) -> Forecaster:
    """A law whose draws are normal around it, so that conditional variances are exact."""
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((5, 5)) * [0.3, 0.3, 0.05, 0.02, 0.02]
    return Forecaster(truth, truth.theta_K + rng.standard_normal((4000, 5)) @ spread, known_noise(4000), 1.0, 0, RANGES)


def known_noise(draws: int) -> NoiseDraws:
    """A run's standard deviation is NOISE, everywhere and in every draw."""
    return NoiseDraws(np.full(draws, NOISE), np.zeros(draws), np.zeros(draws), Compute(24.0, 26.0, 28.0))


def test_the_best_run_spends_its_budget_at_the_laws_optimum(forecaster, truth):
    found = forecaster.best(1e15)
    params, tokens = truth.optimal(1e15)
    assert (found["params"], found["tokens"]) == pytest.approx((float(params), float(tokens)))
    assert 6 * found["params"] * found["tokens"] == pytest.approx(1e15)
    assert found["loss"] == pytest.approx(float(truth.loss(params, tokens)))
    assert found["pi95"][0] < found["loss"] < found["pi95"][1]
    for name in ("params", "tokens"):
        assert found[f"{name}_ci95"][0] < found[name] < found[f"{name}_ci95"][1]


def test_interval_without_doubt_about_the_law_is_the_noise_of_a_run(truth):
    certain = Forecaster(truth, np.tile(truth.theta_K, (20000, 1)), known_noise(20000), 1.5, 0, RANGES)
    found = certain.at(1e5, 3e6)
    half = (np.log(found["pi95"][1]) - np.log(found["pi95"][0])) / 2
    assert half == pytest.approx(1.5 * 1.96 * NOISE, rel=0.03)


def test_serving_makes_the_model_smaller_and_longer_trained(forecaster, truth):
    alone = forecaster.best(1e15)
    before = alone["params"]
    for served in (1e8, 5e8, 2e9):
        found = forecaster.served(1e15, served)
        assert found["params"] < before
        assert 6 * found["params"] * found["tokens"] + 2 * found["params"] * served == pytest.approx(1e15, rel=1e-6)
        for factor in (0.9, 1.1):  # nothing beside it is better
            params = factor * found["params"]
            tokens = (1e15 / params - 2 * served) / 6
            assert float(truth.loss(params, tokens)) >= found["loss"]
        before = found["params"]


def test_far_forecasts_say_so(forecaster):
    near, far = forecaster.best(5e13), forecaster.best(1e19)
    assert forecaster.warnings(near) == []
    assert any("times the largest compute of the fit" in warning for warning in forecaster.warnings(far))


def test_the_first_run_leaves_the_least_conditional_variance(forecaster):
    """Against the textbook: condition the joint normal of forecast and measurement, candidate by candidate."""
    flops, among = 1e15, candidates(forecaster)
    target = forecast_draws(forecaster, flops)
    left = []
    for log_params, log_tokens in zip(among.log_params_C, among.log_tokens_C, strict=True):
        logs = {"params": np.array([log_params]), "tokens": np.array([log_tokens])}
        measured = HOFFMANN.log_loss(forecaster.theta_draws_PK, logs)[:, 0]
        joint = np.cov(np.stack([target, measured]))
        left.append(joint[0, 0] - joint[0, 1] ** 2 / (joint[1, 1] + NOISE**2))
    (run,) = choose_runs(forecaster, flops, 1e30, 1)
    best = int(np.argmin(left))
    assert run["params"] == pytest.approx(np.exp(among.log_params_C[best]))
    assert run["tokens"] == pytest.approx(np.exp(among.log_tokens_C[best]))
    assert run["remaining_sd"] == pytest.approx(np.sqrt(left[best] / target.var(ddof=1)), rel=1e-6)


def test_measuring_the_same_again_and_again_ends_at_the_law(forecaster, truth):
    """One candidate, many runs of it: what is left is what its loss cannot say of the forecast."""
    flops = 1e15
    params, tokens = truth.optimal(flops)
    itself = Candidates(np.log([float(params)]), np.log([float(tokens)]))
    runs = choose_runs(forecaster, flops, 1e30, 40, itself)
    spread = [run["remaining_sd"] for run in runs]
    assert spread == sorted(spread, reverse=True)
    before = float(forecast_draws(forecaster, flops).var(ddof=1))
    expected = 1 / (1 / before + 40 / NOISE**2)  # a normal mean measured forty times
    assert spread[-1] == pytest.approx(np.sqrt(expected / before), rel=1e-6)


def test_runs_keep_to_the_budget(forecaster):
    among = candidates(forecaster)
    budget = 20 * float(among.flops_C.min())
    runs = choose_runs(forecaster, 1e15, budget, 3)
    assert len(runs) == 3
    assert sum(run["flops"] for run in runs) <= budget
    with pytest.raises(ValueError, match="does not pay for 3 runs: give"):
        choose_runs(forecaster, 1e15, 2.9 * float(among.flops_C.min()), 3)


def test_a_law_file_is_read_back_whole(sweep_law, truth):
    forecaster = Forecaster.of(sweep_law)
    assert forecaster.fitted.params == pytest.approx(sweep_law["params"])
    assert forecaster.theta_draws_PK.shape == (sweep_law["bootstrap"]["draws"], 5)
    low, high = np.exp(np.percentile(forecaster.theta_draws_PK[:, 2], (2.5, 97.5)))
    assert sweep_law["ci95"]["E"] == pytest.approx([low, high], rel=0.01)
    for broken, message in (({"law": "hoffmann"}, "no params, draws"), ({**sweep_law, "law": "x"}, "the law 'x'")):
        with pytest.raises(ValueError, match=message):
            Forecaster.of(broken)
    with pytest.raises(ValueError, match="fixed-n is no law of params and tokens alone"):
        Forecaster.of({**sweep_law, "law": "fixed-n"})
