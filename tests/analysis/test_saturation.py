"""Curves whose end is known: the form is told, and where it ends."""

import numpy as np
import pandas as pd
import pytest

from analysis.laws import LAWS, Fitted
from analysis.params import FitParams
from analysis.points import complete
from analysis.saturation import elasticity, fit_saturation, saturation_tokens, study

TRUTHS = {
    "power": Fitted.of(LAWS["power"], {"B": 12.0, "beta": 0.12}),
    "fixed-n": Fitted.of(LAWS["fixed-n"], {"B": 3000.0, "E": 1.9, "beta": 0.6}),
    "stops": Fitted.of(LAWS["stops"], {"B": 12.0, "beta": 0.12, "D_s": 4e6}),
}
TOKENS = np.geomspace(2.5e5, 2.56e8, 11)
SETTINGS = FitParams(starts=12, bootstrap=100)


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
    return study(table, None, SETTINGS).verdict


def tokens_of(truth: Fitted, eps: float, longest: float) -> float:
    return float(saturation_tokens(truth.law, truth.theta_K[None], eps, (TOKENS[0], longest))[0])


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
    assert tokens_of(truth, eps, 1e12) == pytest.approx(expected, rel=1e-3)
    found = elasticity(truth.law, truth.theta_K[None], np.log([expected, 10 * expected]))[0]
    assert found[0] == pytest.approx(eps, rel=1e-4)
    assert found[1] < eps
    assert np.isinf(tokens_of(TRUTHS["power"], eps, 1e9))
    assert 2e6 < tokens_of(TRUTHS["stops"], eps, 1e9) < 1e7


def test_intervals_hold_the_truth_and_what_is_not_reached_says_so():
    inside = asked = 0
    for seed in range(6):
        found = study(curve(TRUTHS["fixed-n"], 0.002, seed), None, SETTINGS).to_dict()
        for entry in found["d_sat"]:
            expected = tokens_of(TRUTHS["fixed-n"], entry["eps"], 1e12)
            low, high = entry["ci95"]
            asked += 1
            inside += low is not None and low <= expected <= (np.inf if high is None else high)
            assert entry["reached"] == (entry["tokens"] is not None and entry["tokens"] <= TOKENS[-1])
    assert inside >= 0.85 * asked
    endless = study(curve(TRUTHS["power"], 0.002, 0), None, SETTINGS).to_dict()
    assert endless["verdict"] == "power"
    assert all(entry["tokens"] is None and not entry["reached"] for entry in endless["d_sat"])


def test_too_few_token_counts_are_refused():
    table = curve(TRUTHS["power"], 0.002, 0)
    with pytest.raises(ValueError, match="5 token counts cannot tell three forms of curve apart; train 6 or more"):
        study(table[table["tokens"].isin(TOKENS[:5])], None, SETTINGS)


def family(data: str, seed: int) -> pd.DataFrame:
    """Three sizes with a floor, whose D_sat grows as N^0.8 (B scales as N^(0.8 beta), E is common)."""
    tables = []
    for index, num_params in enumerate((2e3, 8e3, 3.2e4)):
        factor = 3000.0 * (num_params / 2e3) ** (0.8 * 0.6)
        truth = Fitted.of(LAWS["fixed-n"], {"B": factor, "E": 1.9, "beta": 0.6})
        unique = TOKENS if data == "fresh" else np.minimum(TOKENS, TOKENS[2])
        table = curve(truth, 0.001, 10 * seed + index)
        rename = {"cell": table["cell"] + f"-{data}-{index}", "params": num_params, "unique_tokens": np.tile(unique, 2)}
        tables.append(table.assign(**rename))
    return pd.concat(tables, ignore_index=True)


def test_d_sat_against_size_on_fresh_and_on_repeated_tokens():
    table = pd.concat([family("fresh", 1), family("epochs", 2)], ignore_index=True)
    found = fit_saturation(table, SETTINGS)
    assert [(size["params"], size["data"]) for size in found["sizes"]] == [
        (num_params, data) for num_params in (2e3, 8e3, 3.2e4) for data in ("epochs", "fresh")
    ]
    assert {size["unique_tokens"] for size in found["sizes"]} == {None, TOKENS[2]}
    reached = [law for law in found["law"] if law["eps"] in (0.05, 0.03)]
    assert {law["data"] for law in reached} == {"fresh", "epochs"}
    for law in reached:
        assert law["num_sizes"] == 3
        low, high = law["ci95"]["p"]
        assert low < 0.8 < high
        assert high - low < 0.3
        assert law["k"] * 8e3 ** law["p"] == pytest.approx(tokens_of_middle(law["eps"]), rel=0.1)


def tokens_of_middle(eps: float) -> float:
    """D_sat of family's middle size in closed form."""
    return (3000.0 * 4 ** (0.8 * 0.6) * (0.6 - eps) / (eps * 1.9)) ** (1 / 0.6)


def test_a_size_with_too_few_token_counts_is_left_out_and_named():
    table = family("fresh", 0)
    short = table.drop(table.index[(table["params"] == 2e3) & ~table["tokens"].isin(TOKENS[:5])])
    found = fit_saturation(short, SETTINGS)
    assert [size["params"] for size in found["sizes"]] == [8e3, 3.2e4]
    assert found["skipped"] == [
        {
            "params": 2e3,
            "unique_tokens": None,
            "reason": "5 token counts cannot tell three forms of curve apart; train 6 or more",
        }
    ]
    assert found["law"] == []
    with pytest.raises(ValueError, match=r"points: 5 token counts cannot tell .* train 6 or more"):
        fit_saturation(short[short["params"] == 2e3], SETTINGS)


def shared_noise(num_sweeps: int) -> list[dict]:
    """D_sat laws of simulated families whose truth is N^0.8."""
    tables = [family("fresh", seed) for seed in range(num_sweeps)]
    return [fit_saturation(table, SETTINGS)["law"][0] for table in tables]


@pytest.mark.proof
def test_the_interval_of_the_law_holds_the_truth():
    """Draws of different sizes are apart: with one stream for all of them the coverage was 80%."""
    laws = shared_noise(40)
    inside = sum(law["ci95"]["p"][0] <= 0.8 <= law["ci95"]["p"][1] for law in laws)
    assert inside >= 35


def test_draws_of_two_sizes_are_independent():
    table = family("fresh", 3)
    first, second = (
        study(table[table["params"] == size], None, SETTINGS, index) for index, size in ((0, 2e3), (1, 8e3))
    )
    drawn = np.corrcoef(np.log(first.drawn_EP[0]), np.log(second.drawn_EP[0]))[0, 1]
    assert abs(drawn) < 0.35


@pytest.mark.proof
@pytest.mark.parametrize(("form", "num_cells"), [("fixed-n", 2), ("fixed-n", 1), ("stops", 2)])
def test_intervals_cover_d_sat(form, num_cells):
    expected, inside = tokens_of(TRUTHS[form], 0.05, 1e12), 0
    for seed in range(40):
        entry = study(curve(TRUTHS[form], 0.004, seed, num_cells), None, SETTINGS).to_dict()["d_sat"][0]
        low, high = entry["ci95"]
        inside += low is not None and low <= expected <= (np.inf if high is None else high)
    assert inside >= 35


def test_a_short_and_a_long_cell_are_weighed_by_what_they_share():
    """Unbalanced cells: the level of a cell is its own, its slope everybody's. Plain least squares mixes the two."""
    truth, errors = TRUTHS["fixed-n"], {"cells": [], "runs": []}
    expected = tokens_of(truth, 0.05, 1e12)
    for seed in range(12):
        table = curve(truth, 0.0, 0)
        rng = np.random.default_rng(seed)
        shift = {cell: 0.02 * rng.standard_normal() for cell in table["cell"].unique()}
        noise = table["cell"].map(shift) + 0.001 * rng.standard_normal(len(table))
        table = table.assign(loss=table["loss"] * np.exp(noise))
        first = table["cell"] == table["cell"].iloc[0]
        table = table[first | table["tokens"].isin(TOKENS[6:])].reset_index(drop=True)
        for name, cells in (("cells", table["cell"]), ("runs", [f"run-{row}" for row in table.index])):
            found = study(table.assign(cell=cells), None, SETTINGS)
            errors[name].append(np.log(found.tokens_E[0] / expected))
    assert np.sqrt(np.mean(np.square(errors["cells"]))) < 0.6 * np.sqrt(np.mean(np.square(errors["runs"])))


def test_a_loss_that_rises_again_says_so():
    table = curve(TRUTHS["stops"], 0.002, 0)
    assert not study(table, None, SETTINGS).rises
    late = table["tokens"] > TOKENS[7]
    rising = table.assign(loss=table["loss"] * np.where(late, (table["tokens"] / TOKENS[7]) ** 0.03, 1.0))
    assert study(rising, None, SETTINGS).rises


def test_what_was_below_eps_before_the_first_run_says_so():
    flat = curve(Fitted.of(LAWS["power"], {"B": 3.0, "beta": 0.02}), 0.0005, 0)
    entry = study(flat, None, SETTINGS).to_dict()["d_sat"][0]
    assert entry["tokens"] == TOKENS[0]
    assert entry["reached"]


def test_runs_that_did_not_finish_are_counted():
    table = family("fresh", 0)
    table.loc[0, "status"] = "diverged"
    done = table[table["status"] == "done"]
    done.attrs["num_dropped"] = 1
    assert fit_saturation(done, SETTINGS)["num_dropped"] == 1
