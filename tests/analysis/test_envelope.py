"""Approach 1 against laws whose envelope is known."""

import numpy as np
import pandas as pd
import pytest

from analysis import figures_isoflop
from analysis.envelope import fit_envelope, training_curves
from analysis.frontier import predicted_loss

A, B, E = 480.0, 2100.0, 1.8
SIZES = 1e7 * 1.5 ** np.arange(12)


def best_params(flops, alpha, beta):
    """Hoffmann et al. (2022), equation 4."""
    return (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))


def curve_table(alpha=0.35, beta=0.35, sizes=SIZES, span=64.0, rows=13, noise=0.0, seeds=1, seed=0):
    """Runs of every size from 1 / sqrt(span) to sqrt(span) times the tokens that suit it; one effect a run."""
    rng, table = np.random.default_rng(seed), []
    for num_params in sizes:
        # The compute at which this size is the best one.
        flops = 6 * (num_params / best_params(6.0, alpha, beta)) ** ((alpha + beta) / beta)
        num_tokens = flops / 6 / num_params * np.geomspace(span**-0.5, span**0.5, rows)
        for run in range(seeds):
            loss = (E + A * num_params**-alpha + B * num_tokens**-beta) * np.exp(noise * rng.standard_normal())
            columns = {"tokens": num_tokens, "flops": 6 * num_params * num_tokens, "loss": loss}
            table.append(pd.DataFrame(columns).assign(cell=f"{num_params:.3g}-{run}", params=num_params))
    return pd.concat(table, ignore_index=True)


@pytest.mark.parametrize(("alpha", "beta"), [(0.35, 0.35), (0.3, 0.4), (0.5, 0.25)])
def test_exponents_return(alpha, beta):
    found = fit_envelope(curve_table(alpha, beta), draws=20, noise=1e-6).to_dict()
    assert found["exponents"]["a"] == pytest.approx(beta / (alpha + beta), abs=0.01)
    assert found["exponents"]["b"] == pytest.approx(alpha / (alpha + beta), abs=0.01)
    np.testing.assert_allclose([optimum["params"] for optimum in found["optima"]], SIZES[1:-1])
    for optimum in found["optima"]:
        assert optimum["params"] == pytest.approx(best_params(optimum["flops"], alpha, beta), rel=0.05)
        assert 6 * optimum["params"] * optimum["tokens"] == pytest.approx(optimum["flops"], rel=1e-3)


def test_the_loss_is_predicted_at_more_compute():
    found = fit_envelope(curve_table(noise=0.0005), draws=20).to_dict()
    flops = 4 * max(optimum["flops"] for optimum in found["optima"])
    num_params = best_params(flops, 0.35, 0.35)
    expected = E + A * num_params**-0.35 + B * (flops / 6 / num_params) ** -0.35
    assert predicted_loss(found, flops) == pytest.approx(expected, rel=0.005)


def test_branch_ends_of_every_cell_are_enough():
    """Four cooldown branches a cell, a factor of two apart, as a sweep of this project has them."""
    found = fit_envelope(curve_table(span=8.0, rows=4), draws=20, noise=1e-6).to_dict()
    assert found["exponents"]["a"] == pytest.approx(0.5, abs=0.02)


def test_seeds_are_averaged_and_never_picked():
    table = curve_table()
    lucky, unlucky = (
        table.assign(cell=table["cell"] + name, loss=table["loss"] * factor)
        for name, factor in (("a", 0.99), ("b", 1 / 0.99))
    )
    one = fit_envelope(table, draws=20, noise=1e-6).to_dict()
    both = fit_envelope(pd.concat([lucky, unlucky]), draws=20, noise=1e-6).to_dict()
    assert both["loss"]["params"] == pytest.approx(one["loss"]["params"])
    assert both["exponents"]["a"] == pytest.approx(one["exponents"]["a"])


def test_noise_between_runs_is_measured_and_widens():
    """A run moves as a whole, so it is the curves of different sizes that show it."""
    found = [fit_envelope(curve_table(noise=0.001, seed=seed), draws=20).noise for seed in range(8)]
    assert np.mean(found) == pytest.approx(0.001, rel=0.35)
    wide, narrow = (fit_envelope(curve_table(), draws=100, noise=noise).to_dict() for noise in (2e-3, 2e-4))
    assert np.ptp(wide["exponents"]["a_ci95"]) > 2 * np.ptp(narrow["exponents"]["a_ci95"])


@pytest.mark.proof
def test_intervals_cover():
    inside = []
    for seed in range(60):
        table = curve_table(noise=0.001, seed=seed)
        low, high = fit_envelope(table, draws=100, noise=0.001).to_dict()["exponents"]["a_ci95"]
        inside.append(low <= 0.5 <= high)
    assert np.mean(inside) >= 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t[t["params"] < 4e7],
            "2 sizes are best between a smaller and a larger one, 3 are needed; train more",
        ),
        (lambda t: t.drop(columns="cell"), "lacks the column cell; approach 1 needs to know which rows are of one run"),
        (lambda t: t.drop_duplicates("cell"), "no cell has two rows, so there are no curves; give rows along each run"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "a cell has two rows at the same FLOPs; drop the duplicate"),
        (lambda t: t.drop(columns="tokens"), "lacks the column tokens; give params, tokens, flops, loss"),
        (lambda t: t.assign(loss=-t["loss"]), "loss holds a value that is not finite and above zero"),
        (lambda t: t.assign(flops=np.inf), "flops holds a value that is not finite and above zero"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        fit_envelope(change(curve_table()), draws=20, noise=1e-6)


def test_three_curves_at_a_time_do_not_tell_their_noise():
    with pytest.raises(ValueError, match="nowhere do four sizes share a compute"):
        fit_envelope(curve_table(span=1.5, rows=3), draws=20)


def test_the_envelope_is_drawn():
    table = curve_table(noise=0.001)
    approach = fit_envelope(table, draws=20).to_dict()
    figure = figures_isoflop.training_envelope(table, approach)
    log_flops, curves = training_curves(table)
    assert [trace.name for trace in figure.data[: 2 * len(curves) : 2]] == [f"{size:.2g}" for size in SIZES]
    share = [len(trace.x) / len(log_flops) for trace in figure.data[1 : 2 * len(curves) : 2]]
    np.testing.assert_allclose([part for part in share if part], [optimum["share"] for optimum in approach["optima"]])
    assert len(figures_isoflop.optimal_runs(approach).data) == 6
