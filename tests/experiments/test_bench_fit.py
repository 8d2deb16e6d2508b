"""The pieces of `bench fit` and `bench coverage`; what needs the peer skips where it is not installed."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from analysis.fit import Estimator, Observations, fit
from analysis.laws import HOFFMANN
from experiments.bench import cli, coverage
from experiments.bench.chinchilla_peer import VALUES, starts
from experiments.bench.coverage import CoverageBench, missed, row_of, settings, simulate_batch
from experiments.bench.designs import SD_RANGE, Design, TrueNoise, designs, laptop_grid, rectangle
from experiments.bench.fit import OURS, PEER, THEIRS, FitBench, fit_theirs, objective, show, table_of, timed_fit
from experiments.bench.optima import check_draws
from experiments.bench.simulate import TARGETS, simulate


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    """One simulated sweep of a rectangle."""
    design = rectangle()
    noise, _ = TrueNoise(0.004, 0.002, False).draw(design, 1, np.random.default_rng(0))
    loss = design.truth.loss(design.points["params"], design.points["tokens"]) * np.exp(noise[0])
    return design.points.assign(loss=loss)


def test_the_objective_is_the_one_that_the_fit_minimised(points: pd.DataFrame) -> None:
    found = fit(Observations.of(points), HOFFMANN, Estimator(), 8, 0)
    assert objective(found.fitted.params, points, 1e-3) == pytest.approx(found.objective, rel=1e-9)
    assert objective({**found.fitted.params, "E": -9.0}, points, 1e-3) == float("inf")


def test_the_published_optimum_is_reached(reference_data: Path) -> None:
    table = pd.read_csv(reference_data / "chinchilla_epoch.csv").nsmallest(240, "loss")
    found = timed_fit(FitBench(), table)
    assert found["starts"] == 48
    assert objective(found["params"], table, 1e-3) <= 0.0010182740178007


def rounds_of(params: dict[str, float], ours: list[float], theirs: list[float]) -> list[dict]:
    worse = {**params, "E": params["E"] * 1.01}
    return [
        {
            OURS: {"params": params, "starts": 48, "cpu_seconds": mine},
            THEIRS: {"params": worse, "starts": 3125, "cpu_seconds": other},
        }
        for mine, other in zip(ours, theirs, strict=True)
    ]


def test_ratio_and_its_interval_come_from_rounds(points: pd.DataFrame) -> None:
    params = timed_fit(FitBench(starts=8), points)["params"]
    table = table_of(FitBench(), points, rounds_of(params, [0.1, 0.2, 0.1], [10.0, 10.0, 12.0]))
    assert (table["ratio"], table["ci95"]) == (pytest.approx(100), (pytest.approx(50), pytest.approx(120)))
    assert table[OURS]["objective"] < table[THEIRS]["objective"]
    assert (table["status"], table[OURS]["samples"]) == ("ok", [0.1, 0.2, 0.1])
    assert table_of(FitBench(), points, rounds_of(params, [0.3], [10.0]))["status"] == "missed"
    screen = io.StringIO()
    bootstrap = {"draws": 4000, "cpu_seconds": 2.0, "checked": 50, "starts": 100, "largest_gain": -1e-18}
    show(table | {"bootstrap": bootstrap}, Console(file=screen, width=200))
    assert "finds at best -1e-18 of an objective" in screen.getvalue()
    assert "3,125" in screen.getvalue()
    assert "100 times fewer CPU-seconds [50, 120]" in screen.getvalue()


def test_a_worse_minimum_misses(points: pd.DataFrame) -> None:
    params = timed_fit(FitBench(starts=8), points)["params"]
    swapped = [{OURS: one[THEIRS], THEIRS: one[OURS]} for one in rounds_of(params, [9.0], [0.1])]
    assert table_of(FitBench(), points, swapped)["status"] == "missed"


def test_every_draw_is_solved_again_by_scipy(points: pd.DataFrame) -> None:
    found = check_draws(points, 1e-3, draws=20, checked=3, starts=4, seed=0)
    assert (found["draws"], found["checked"], found["starts"]) == (20, 3, 4)
    assert -1e-4 < found["largest_gain"] <= 1e-12


def test_the_peer_starts_from_its_grid() -> None:
    assert list(starts()) == ["E", "a", "b", "alpha", "beta"]
    assert starts()["E"] == [1, 1.25, 1.5, 1.75, 2]
    assert all(len(values) == VALUES for values in starts().values())


def test_the_peer_fits_the_same_points(points: pd.DataFrame, root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(root)
    if not PEER.python.exists():
        pytest.skip(f"{PEER.package} is not installed: `scalelab bench fit` installs it in {PEER.environment}")
    few = tmp_path / "few_starts.py"
    few.write_text(PEER.script.read_text().replace("VALUES = 5", "VALUES = 2"))
    theirs = fit_theirs(FitBench(), points, replace(PEER, script=few))
    assert theirs["starts"] == 32
    assert theirs["cpu_seconds"] > 0
    ours = timed_fit(FitBench(), points)
    assert objective(ours["params"], points, 1e-3) <= objective(theirs["params"], points, 1e-3)


def test_designs_are_as_described() -> None:
    runs, grid, rows = designs()
    assert [(len(one.points), one.points["cell"].nunique()) for one in (runs, grid, rows)] == [
        (240, 240),
        (26, 10),
        (30, 6),
    ]
    assert [one.independent for one in (runs, grid, rows)] == [True, False, False]
    for name, low, high in (("params", 5e7, 1.6e10), ("tokens", 2e8, 3e11), ("flops", 6e18, 3e21)):
        assert runs.points[name].between(low, high).all(), name
        assert np.ptp(np.log(runs.points[name])) > 0.85 * np.log(high / low), name


@pytest.mark.parametrize("falling", [False, True])
def test_true_noise_has_the_mean_square_asked_for(falling: bool) -> None:
    design = laptop_grid()
    noise = TrueNoise(0.004, 0.002, falling)
    scale = noise.scale_N(design.points["flops"].to_numpy())
    assert np.mean(scale**2) == pytest.approx(1)
    assert scale.max() / scale.min() == pytest.approx(SD_RANGE if falling else 1)
    drawn, further = noise.draw(design, 4000, np.random.default_rng(0))
    assert np.mean(drawn**2) == pytest.approx(0.004**2 + 0.002**2, rel=0.05)
    assert further.std() == pytest.approx(scale[design.points["flops"].argmax()] * np.hypot(0.004, 0.002), rel=0.05)
    same_cell = np.flatnonzero(design.points["cell"] == design.points["cell"][0])[:2]
    first, second = drawn[:, same_cell].T
    assert np.mean(first * second) / np.sqrt(np.mean(first**2) * np.mean(second**2)) == pytest.approx(0.8, abs=0.02)


@pytest.fixture(scope="module")
def small() -> CoverageBench:
    return CoverageBench(sweeps=10, draws=100)


def index_of(bench: CoverageBench, design: Design) -> int:
    return next(i for i, setting in enumerate(settings(bench)) if setting.design.name == design.name)


def test_coverage_counts_add_up(small: CoverageBench) -> None:
    chosen = settings(small)
    assert len(chosen) == 12
    index = index_of(small, laptop_grid())
    outcomes, seconds = simulate_batch(small, index, 0)
    row = row_of(chosen[index], outcomes)
    assert seconds > 0
    assert (row["sweeps"], row["num_runs"], row["num_cells"]) == (10, 26, 10)
    assert tuple(row["targets"]) == TARGETS
    for k, (name, found) in enumerate(row["targets"].items()):
        assert found["inside"] == sum(outcome.inside[k] for outcome in outcomes), name
        assert found["coverage"] == found["inside"] / 10
        assert found["inside_not_warned"] <= min(found["inside"], 10 - found["warned"])
        assert found["median_width"] > 0
        assert found["inside"] >= 6, name
    assert json.loads(json.dumps(row)) == row


def test_the_same_seed_gives_the_same_counts(small: CoverageBench) -> None:
    index = index_of(small, rectangle())
    again, _ = simulate_batch(small, index, 0)
    assert simulate_batch(small, index, 0)[0] == again
    assert simulate_batch(replace(small, seed=small.seed + 1), index, 0)[0] != again


def test_noiseless_sweeps_are_inside_everything_or_narrow() -> None:
    outcomes = simulate(rectangle(), TrueNoise(1e-6, 1e-6, False), 3, 100, [0])
    assert all(width < 1e-3 for outcome in outcomes for width in outcome.width)
    assert not any(any(outcome.warned) for outcome in outcomes)


def test_what_misses_the_target_is_named() -> None:
    row = {"design": "rectangle", "noise": {"cell": 0.01, "branch": 0.005, "falling": True}}
    rows = [row | {"targets": {"alpha": {"coverage": 0.91}, "beta": {"coverage": 0.95}}}]
    assert missed(rows) == ["rectangle, noise 0.01 + 0.005, falling: alpha 91.0%"]


def test_every_setting_is_simulated_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    screen = io.StringIO()
    table = coverage.run(CoverageBench(sweeps=2, draws=100, levels=((0.004, 0.002),)), Console(file=screen))
    assert [row["sweeps"] for row in table["settings"]] == [2] * 6
    assert table["status"] == ("missed" if missed(table["settings"]) else "ok")
    coverage.show(table, Console(file=screen, width=200))
    assert "coverage of 95% intervals, 2 sweeps each" in screen.getvalue()


def test_the_page_tells_what_the_committed_table_has(root: Path) -> None:
    table = json.loads((root / "experiments/archive/bench/coverage.json").read_text())
    shares = [found["coverage"] for row in table["settings"] for found in row["targets"].values()]
    outside = missed(table["settings"])
    assert outside == ["laptop grid, noise 0.01 + 0.005: forecast 91.5%"]
    page = " ".join((root / "docs/law.md").read_text().split())
    assert f"Of the {len(shares)} intervals that `coverage` counts, {len(shares) - len(outside)} hold" in page
    assert "the laptop grid's forecast does in 91.5%" in page


@pytest.mark.parametrize("command", ["fit", "coverage"])
def test_dry_runs_need_nothing(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, [command, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert not list(tmp_path.iterdir())
