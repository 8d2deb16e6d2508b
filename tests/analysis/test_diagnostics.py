"""Every diagnostic on tables that call for it and on tables that do not."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.diagnostics import DROPPED, MIN_TABLE_FOR_DROPS, diagnose, floor_unidentified, starts_disagree
from analysis.fit import MIN_LEVELS
from analysis.laws import HOFFMANN, Fitted
from analysis.params import FitParams
from analysis.points import complete, validate_points
from analysis.predict import estimate
from analysis.scaling import fit_law

FAST = FitParams(starts=8, bootstrap=100)
HELD_OUT = {"num_cells": 4}  # what was held out is nothing to the other diagnostics


def findings(points: pd.DataFrame, params: FitParams = FAST, heldout: dict | None = HELD_OUT) -> dict[str, dict]:
    """The findings by name, each of which says something and what to do."""
    found = diagnose(points, estimate(points, params), params, heldout)
    for finding in found:
        assert set(finding) == {"name", "severity", "message", "remedy"}
        assert finding["severity"] in ("note", "warning")
        assert finding["message"].strip()
        assert finding["remedy"].strip()
    assert len({finding["name"] for finding in found}) == len(found)
    return {finding["name"]: finding for finding in found}


def independent_runs(law: Fitted, noise: float = 0.004, seed: int = 0) -> pd.DataFrame:
    """A table from elsewhere, a run a row, without cells, FLOPs or seeds."""
    params, tokens = (a.ravel() for a in np.meshgrid(np.geomspace(2e4, 2e6, 7), np.geomspace(1e6, 3e7, 6)))
    loss = law.loss(params, tokens) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(params)))
    return validate_points(complete(pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})))


def noisy(points: pd.DataFrame, noise: float, seed: int = 0) -> pd.DataFrame:
    errors = noise * np.random.default_rng(seed).standard_normal(len(points))
    return points.assign(loss=points["loss"] * np.exp(errors))


def test_a_good_sweep_gives_rise_to_nothing(sweep_law):
    assert sweep_law["diagnostics"] == []


def test_warnings_come_first(simulate):
    found = list(findings(simulate(num_seeds=1), heldout=None).values())
    assert [finding["severity"] for finding in found] == ["warning", "note"]


@pytest.mark.proof
@pytest.mark.parametrize("table", ["two seeds", "one seed", "independent runs"])
def test_false_alarms_are_seldom(table, simulate, truth):
    """Over clean tables nothing is said to be wrong more often than once in twenty.

    What the table is too small to tell, the design decides: those findings are no alarms.
    """
    counted, few_starts = Counter(), FitParams(starts=3, bootstrap=100)
    for seed in range(40):
        if table == "independent runs":
            points = independent_runs(truth, seed=seed)
        else:
            points = simulate(num_seeds=2 if table == "two seeds" else 1, seed=seed)
        counted.update(findings(points, few_starts).keys())
    assert counted["single-seed"] == (0 if table == "two seeds" else 40)
    too_small = ("single-seed", "optimum-at-edge", "exponent-loose", "floor-unidentified")
    alarms = {name: count for name, count in counted.items() if name not in too_small}
    assert max(alarms.values(), default=0) <= 2, counted


def test_starts_disagree_where_noise_drowns_the_law(sweep):
    """In some sweeps: which of them have a second minimum the last bits of a processor's arithmetic can decide."""
    found = [starts_disagree(estimate(noisy(sweep, noise, seed), FAST)) for noise in (0.1, 0.3) for seed in range(6)]
    disagree = [finding for finding in found if finding is not None]
    assert disagree
    assert all("of 8 starts" in finding.message for finding in disagree)


@pytest.mark.parametrize("estimator", ["huber", "l1", "least-squares"])
@pytest.mark.parametrize("law", ["hoffmann", "kaplan", "interaction"])
def test_starts_agree_on_a_good_sweep(law, estimator, sweep):
    params = FitParams(law=law, estimator=estimator, starts=16, bootstrap=100)
    assert starts_disagree(estimate(sweep, params)) is None


def test_the_published_runs_depend_on_five_of_them(reference_data):
    """Besiroglu et al. (2024) left the five highest losses of Hoffmann et al. out, and beta fell from .453 to .367."""
    table = pd.read_csv(reference_data / "chinchilla_epoch.csv")
    points = validate_points(complete(table))
    assert len(points) == 245
    message = findings(points, FitParams(starts=8))["exclusion-sensitivity"]["message"]
    assert "the 5 highest losses beta is 0.453, without 0.367" in message
    kept = validate_points(complete(table.nsmallest(240, "loss")))
    assert "exclusion-sensitivity" not in findings(kept, FitParams(starts=8))


def with_stray_run(points):
    stray = points.copy()
    stray.loc[stray["loss"].idxmax(), "loss"] *= 1.1
    return stray


def test_one_stray_run_is_found(sweep):
    stray = with_stray_run(sweep)
    quadratic = FitParams(estimator="least-squares", starts=8, bootstrap=100)
    assert "with the highest loss" in findings(stray, quadratic)["exclusion-sensitivity"]["message"]
    assert "exclusion-sensitivity" not in findings(sweep, quadratic)


def test_no_run_is_left_out_of_a_small_table_or_of_its_third_size(simulate, sweep):
    small = simulate(widths=(24, 48, 96), num_seeds=1)
    assert len(small) < MIN_TABLE_FOR_DROPS
    quadratic = FitParams(estimator="least-squares", starts=8, bootstrap=100)
    assert "exclusion-sensitivity" not in findings(with_stray_run(small), quadratic)
    few_of_the_least = sweep[(sweep["size"] > 40) | (sweep["cell"].eq("w024-s0"))]
    three = few_of_the_least[few_of_the_least["size"].isin((24, 64, 80, 96))].query("size != 96")
    assert len(three) >= MIN_TABLE_FOR_DROPS
    # Its five highest losses hold the whole least size: a law of the other two is none, and is not asked for.
    highest = three["loss"].nlargest(max(DROPPED))
    assert three.drop(highest.index)["size"].nunique() < MIN_LEVELS <= three["size"].nunique()
    assert "exclusion-sensitivity" not in findings(validate_points(three))


def test_near_sizes_leave_an_exponent_loose(simulate):
    found = findings(simulate(widths=(40, 44, 48, 52), cell_noise=0.01))
    assert "alpha" in found["exponent-loose"]["message"]


def test_the_same_numbers_stand_in_finding_and_law(simulate, quick):
    law = fit_law(simulate(widths=(40, 44, 48, 52), cell_noise=0.01), quick)
    (finding,) = (finding for finding in law["diagnostics"] if finding["name"] == "exponent-loose")
    low, high = law["ci95"]["alpha"]
    assert f"alpha {low:.2g} to {high:.2g}" in finding["message"]


def test_a_floor_of_nothing_is_said_to_be_unidentified(simulate, truth):
    without_floor = Fitted.of(HOFFMANN, truth.params | {"E": 1e-5})
    assert "floor-unidentified" in findings(simulate(law=without_floor))


def test_a_floor_at_the_end_of_its_range_is_unidentified(sweep):
    """Losses that fall below the sum of powers: the estimate is nothing, and its interval cannot reach below it."""
    fitted = estimate(sweep.assign(loss=sweep["loss"] - 1.2), FAST)
    assert fitted.solution.unidentified == ["E"]
    finding = floor_unidentified(fitted)
    assert finding is not None
    assert finding.message.startswith("E is 6.1e-06, 6.1e-06 to ")


def test_a_law_without_a_floor_has_none_to_identify(sweep):
    assert floor_unidentified(estimate(sweep, FitParams(law="kaplan", starts=8, bootstrap=100))) is None


def test_narrow_compute(simulate):
    found = findings(simulate(widths=(24, 32, 40, 48)))
    assert found["narrow-compute"]["message"] == "the runs span 1.5 decades of compute"
    assert "narrow-compute" not in findings(simulate(widths=(24, 32, 64, 96)))


def test_the_best_size_was_not_trained(simulate, truth):
    """So much data that a larger model would have been the better use of the last budget."""
    found = findings(simulate(widths=(24, 32, 40, 48), tokens=(1_000_000, 10_000_000, 100_000_000)))
    flops = 6.0 * 36 * 48**2 * 1e8
    best = float(truth.optimal(flops)[0])
    assert best > 36 * 48**2
    assert f"({flops:.2g} FLOPs)" in found["optimum-at-edge"]["message"]


def test_checkpoints_passed_off_as_runs_go_together(simulate):
    """The rows of a sweep without the columns that name their trunk."""
    tokens = tuple(int(count) for count in np.geomspace(1e6, 1e7, 10))
    sweep = simulate(num_seeds=1, tokens=tokens, cell_noise=0.004, branch_noise=0.001)
    bare = validate_points(complete(sweep[["params", "tokens", "loss"]]))
    assert "correlated-rows" in findings(bare)
    assert "correlated-rows" not in findings(sweep)


def test_runs_without_noise_do_not_go_together(truth):
    """What is left of an exact law is the solver's rounding."""
    assert "correlated-rows" not in findings(independent_runs(truth, noise=0.0))


def test_two_ways_to_count_flops_in_one_table(sweep):
    mixed = sweep.assign(flops=sweep["flops"].where(sweep.index % 3 > 0, 8.0 * sweep["params"] * sweep["tokens"]))
    assert "1.23-fold" in findings(mixed)["mixed-flops"]["message"]
    # Attention changes FLOPs over 6ND from size to size: that is one way to count.
    by_size = sweep.assign(flops=sweep["flops"] * (1 + 10 / sweep["size"]))
    assert "mixed-flops" not in findings(by_size)


def test_tokens_that_were_seen_again_are_no_new_text(sweep):
    fresh = sweep.assign(unique_tokens=sweep["tokens"])
    assert "repeated-tokens" not in findings(fresh)
    again = sweep.assign(unique_tokens=np.minimum(sweep["tokens"], sweep["tokens"].max() / 4))
    found = findings(again)["repeated-tokens"]
    count = (again["tokens"] > again["unique_tokens"]).sum()
    assert found["message"].startswith(f"{count} of {len(sweep)} runs saw tokens more than once, up to 4 times")
    assert "scalelab saturation" in found["remedy"]
    assert "repeated-tokens" not in findings(again, replace(FAST, law="repeated"))


def test_no_run_has_a_second_seed(simulate):
    assert findings(simulate(num_seeds=1))["single-seed"]["severity"] == "note"
    assert "single-seed" not in findings(simulate(num_seeds=2))


def test_nothing_held_out(simulate, quick):
    few, more = (fit_law(simulate(widths=widths), quick) for widths in ((24, 48, 96), (24, 32, 48, 64, 96)))
    assert few["heldout"] is None
    assert "nothing-held-out" in {finding["name"] for finding in few["diagnostics"]}
    assert more["heldout"] is not None
    assert "nothing-held-out" not in {finding["name"] for finding in more["diagnostics"]}


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"widths": (24, 96)}, "2 sizes cannot identify a law; train at least 3"),
        ({"tokens": (1_000_000, 8_000_000)}, "2 token counts cannot identify a law; train at least 3"),
    ],
)
def test_too_little_variety_is_refused(kept, message, simulate):
    with pytest.raises(ValueError, match=message):
        fit_law(simulate(**kept), FAST)


def test_too_few_runs_are_refused(simulate):
    points = simulate(widths=(24, 48, 96), tokens=(1_000_000, 2_000_000, 4_000_000), num_seeds=1)
    with pytest.raises(ValueError, match="5 runs cannot identify 5 parameters; give at least 6"):
        fit_law(points.iloc[[0, 1, 4, 7, 8]], FAST)


@pytest.mark.parametrize("axis", ["params", "tokens"])
def test_losses_that_do_not_depend_on_an_axis_are_refused(axis, sweep, truth):
    middle = sweep.assign(**{axis: float(sweep[axis].median())})
    flat = sweep.assign(loss=truth.loss(middle["params"], middle["tokens"]))
    with pytest.raises(ValueError, match=r"the runs do not identify .*; widen the range of sizes and tokens"):
        fit_law(flat, FAST)
