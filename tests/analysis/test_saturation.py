"""Curves whose end is known: the form is told, and where it ends."""

import numpy as np
import pandas as pd
import pytest

from analysis.laws import LAWS, Fitted
from analysis.points import complete
from analysis.saturation import elasticity, fit_forms, saturation_of, saturation_tokens

TRUTHS = {
    "power": Fitted.of(LAWS["power"], {"B": 12.0, "beta": 0.12}),
    "fixed-n": Fitted.of(LAWS["fixed-n"], {"B": 3000.0, "E": 1.9, "beta": 0.6}),
    "stops": Fitted.of(LAWS["stops"], {"B": 12.0, "beta": 0.12, "D_s": 4e6}),
}
TOKENS = np.geomspace(2.5e5, 2.56e8, 11)


def curve(truth: Fitted, noise: float, seed: int, num_seeds: int = 2) -> pd.DataFrame:
    """A size's branches under one law: a shift a cell, and as much again a branch."""
    rng = np.random.default_rng(seed)
    rows = []
    for cell in range(num_seeds):
        shift = noise * rng.standard_normal()
        logs = {"tokens": np.log(TOKENS)}
        loss = np.exp(
            truth.law.log_loss(truth.theta_K[None], logs)[0] + shift + noise * rng.standard_normal(len(TOKENS))
        )
        table = pd.DataFrame({"params": 1e4, "tokens": TOKENS, "loss": loss}).pipe(complete)
        rows.append(table.assign(cell=f"w0016-s{cell}", size=16))
    return pd.concat(rows, ignore_index=True)


def verdict_of(table: pd.DataFrame) -> str:
    return saturation_of(table, draws=40, starts=12, seed=0)["verdict"]


@pytest.mark.parametrize("form", TRUTHS)
def test_the_form_is_told(form):
    verdicts = [verdict_of(curve(TRUTHS[form], 0.002, seed)) for seed in range(8)]
    assert verdicts.count(form) >= 6
    assert set(verdicts) <= {form, "undetermined"}


def test_noise_that_hides_the_form_leaves_it_undetermined():
    verdicts = [verdict_of(curve(TRUTHS["stops"], 0.15, seed, 1)) for seed in range(6)]
    assert verdicts.count("undetermined") >= 4


@pytest.mark.parametrize("eps", [0.05, 0.02, 0.01])
def test_where_the_elasticity_falls_below_eps(eps):
    """With a floor: beta B D^-beta = eps L, so that D = (B (beta - eps) / (eps E))^(1 / beta)."""
    truth = TRUTHS["fixed-n"]
    expected = (3000.0 * (0.6 - eps) / (eps * 1.9)) ** (1 / 0.6)
    assert saturation_tokens(truth, eps, 1e12) == pytest.approx(expected, rel=1e-4)
    assert elasticity(truth, expected) == pytest.approx(eps, rel=1e-4)
    assert saturation_tokens(TRUTHS["power"], eps, 1e9) is None
    stop = saturation_tokens(TRUTHS["stops"], eps, 1e9)
    assert stop is not None
    assert 2e6 < stop < 1e7


def test_intervals_hold_the_truth_and_what_is_not_reached_says_so():
    inside = asked = 0
    for seed in range(6):
        found = saturation_of(curve(TRUTHS["fixed-n"], 0.002, seed), draws=60, starts=12, seed=0)
        for entry in found["d_sat"]:
            expected = saturation_tokens(TRUTHS["fixed-n"], entry["eps"], 1e12)
            low, high = entry["ci95"]
            assert expected is not None
            asked += 1
            inside += low is not None and low <= expected <= (np.inf if high is None else high)
            assert entry["reached"] == (entry["tokens"] is not None and entry["tokens"] <= TOKENS[-1])
    assert inside >= 0.85 * asked
    endless = saturation_of(curve(TRUTHS["power"], 0.002, 0), draws=60, starts=12, seed=0)
    assert endless["verdict"] == "power"
    assert all(entry["tokens"] is None and not entry["reached"] for entry in endless["d_sat"])


def test_too_few_token_counts_are_refused():
    table = curve(TRUTHS["power"], 0.002, 0)
    with pytest.raises(ValueError, match="4 token counts cannot tell three forms of curve apart; train 5 or more"):
        fit_forms(table[table["tokens"].isin(TOKENS[:4])], 4, 0)
