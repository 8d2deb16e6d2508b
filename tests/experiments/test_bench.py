import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from experiments.bench import cli
from experiments.bench.coordinates import activations, slopes
from experiments.bench.grid import LOSS_TOLERANCE as GRID_LOSS_TOLERANCE
from experiments.bench.grid import compare_losses, shrink
from experiments.bench.pairs import CALIBRATION_STEPS, Launch, Side, paired_ratio, take_turns
from experiments.bench.rates import RatesBench, best_rate, run, show, spread, status_of, width_row
from experiments.bench.rates_figure import write_figure
from experiments.bench.sides import Rows, hugging_face_trainer, matmul_gflops, train_ours
from experiments.bench.train import LOSS_TOLERANCE
from experiments.bench.train import width_row as train_row
from experiments.project import Project
from sweeps import store
from sweeps.grid import Cell, Training
from sweeps.schedule import Fork, rate_factor
from sweeps.tokens import load_tokens

TRAINING = Training(sequence_length=16, batch_tokens=64, learning_rate=0.01, warmup_steps=5, compile=False)
RECIPE = store.Recipe(TRAINING, 260, "data", "validation", "cpu", "code")
CELL = Cell("law", "decoder", 16, 0, (), unique_tokens=4096)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A token store of random bytes, without the files that the loops do not read."""
    tokens = np.random.default_rng(0).integers(4, 260, 8192).astype(np.uint16)
    tokens.tofile(tmp_path / "train.bin")
    tokens[:64].tofile(tmp_path / "validation.bin")
    np.save(tmp_path / "validation.offsets.npy", np.array([0, 64], np.uint64))
    manifest = {"schema_version": 2, "layout": "text", "vocab_size": 260, "digest": "data", "validation": {"bytes": 63}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_ratio_of_known_samples() -> None:
    launches = [Launch(20, {"a": [2.0 * s, 2.2 * s, 2.1 * s, 1.9 * s], "b": [s, s, s, s]}, {}) for s in (1.0, 1.5, 0.7)]
    ratio, (low, high) = paired_ratio(launches, "a", "b")
    assert ratio == pytest.approx(2.05)
    assert 1.9 <= low < ratio < high <= 2.2
    assert paired_ratio(launches, "b", "b") == (1.0, (1.0, 1.0))


# The command line with benchmarks small enough for a test, and a grid of which no loss may differ at all.
TINY = """
from functools import partial
from experiments.__main__ import main
from experiments.bench import grid, rates, train
grid.LOSS_TOLERANCE = 0.0
train.TrainBench = partial(
    train.TrainBench, widths=(16,), launches=1, rounds=2, round_seconds=0.01, grid_flops=5e9
)
rates.RatesBench = partial(
    rates.RatesBench, widths=(16,), seeds=(0,), tokens=20_480, rates_each_side=1, coordinate_widths=(16, 32)
)
main()
"""


def tiny_bench(workplace, verb: str) -> tuple[int, dict[str, Any]]:
    """Exit code and result of `bench VERB --json -`, whose standard output must be JSON and nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", TINY, "bench", verb, "--json", "-"],
        cwd=workplace.path,
        env={**os.environ, "PYTHONPATH": str(workplace.root)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.proof
def test_both_sides_compute_the_same_losses_in_turns_and_about_the_same_grid(workplace) -> None:
    code, result = tiny_bench(workplace, "train")
    (row,), (used,), grid = result["widths"], result["utilisation"], result["grid"]
    assert row["status"] == "ok"
    assert row["max_loss_difference"] < LOSS_TOLERANCE / 100
    assert len({tuple(losses) for losses in row["first_losses"].values()}) <= 2
    assert row["ours"] > 0
    assert row["same_settings"]["trainer"] > 0
    assert row["ci95"][0] <= row["ratio"] <= row["ci95"][1]
    assert used["utilisation"] > 0
    assert len(grid["points"]) == 2
    assert grid["max_loss_difference"] < GRID_LOSS_TOLERANCE
    assert (grid["status"], code) == ("incorrect", 1)


def test_the_losses_of_every_launch_count() -> None:
    def launch(theirs: float) -> Launch:
        reports = {
            name: {"losses": [5.5, theirs if name == "trainer" else 5.4], "warmup_seconds": 1.0}
            for name in ("ours", "trainer", "trainer_same_settings", "control")
        }
        return Launch(20, {name: [1.0, 1.1] for name in reports}, reports)

    assert train_row(16, [launch(5.4), launch(5.4)], 64)["status"] == "ok"
    row = train_row(16, [launch(5.4), launch(5.3)], 64)
    assert row["status"] == "incorrect"
    assert row["max_loss_difference"] == pytest.approx(0.1)


def test_losses_of_the_grid_may_differ_by_rounding_alone() -> None:
    assert compare_losses([2.0, 1.02], [2.0, 1.0]) == {
        "status": "ok",
        "max_loss_difference": pytest.approx(0.02),
    }
    assert compare_losses([2.0, 1.06], [2.0, 1.0])["status"] == "incorrect"
    assert compare_losses([2.0, None], [2.0, 1.0]) == {"status": "diverged", "max_loss_difference": None}


def test_a_side_takes_its_turns_round_by_round(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    launch = take_turns([Side("ours", train_ours, (CELL, RECIPE, data))], 2, 0.01)
    assert launch.steps >= CALIBRATION_STEPS
    assert len(launch.seconds["ours"]) == 2
    assert min(launch.seconds["ours"]) > 0
    assert len(launch.reports["ours"]["losses"]) > 1
    assert all(4 < loss < 7 for loss in launch.reports["ours"]["losses"])  # near log 260 for random bytes


def test_a_side_that_fails_ends_the_measurement(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    with pytest.raises(RuntimeError, match="ours ended early"):
        take_turns([Side("ours", train_ours, (CELL, RECIPE, data / "missing"))], 1, 0.01)


def test_rows_are_the_batches(data: Path) -> None:
    batches = load_tokens(data).windows(16, 4, 0)
    rows = Rows(batches, 3)
    assert len(rows) == 12
    inputs_BT, targets_BT = batches.batch(2)
    assert torch.equal(torch.stack([rows[8 + i]["input_ids"] for i in range(4)]), torch.from_numpy(inputs_BT))
    assert torch.equal(torch.stack([rows[8 + i]["shift_labels"] for i in range(4)]), torch.from_numpy(targets_BT))


def test_trainer_follows_our_schedule_to_its_end(data: Path, tmp_path: Path) -> None:
    run = Fork(8, 10)
    trainer = hugging_face_trainer(CELL, RECIPE, load_tokens(data), run, False, [], tmp_path / "out")
    trainer.args.logging_steps = 1
    trainer.train()
    rates = [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]
    assert trainer.state.global_step == run.end
    ratio = CELL.width / 64
    expected = [TRAINING.learning_rate / ratio * rate_factor(step, TRAINING.warmup_steps, run) for step in range(10)]
    assert rates == pytest.approx(expected)


def test_small_grid_keeps_proportions() -> None:
    cells = [Cell("law", "decoder", width, seed, (1000, 2000)) for width in (16, 32, 48, 64, 96) for seed in (0, 1)]
    grid = shrink(cells, RECIPE, 1e10)
    assert {cell.width for cell in grid.cells} == {16, 48, 96}
    assert {cell.steps for cell in shrink(cells, RECIPE, 1.0).cells} == {(2,)}
    assert sum(grid.flops(*point) for point in grid.points) == pytest.approx(1e10, rel=0.01)
    assert all(abs(cell.steps[1] - 2 * cell.steps[0]) <= 1 for cell in grid.cells)
    assert shrink(cells, RECIPE, 1e30).cells == [cell for cell in cells if cell.width in (16, 48, 96)]
    costs = [grid.flops(*point) for point in grid.points]
    assert costs == sorted(costs, reverse=True)


def test_best_rate_is_the_minimum_of_a_parabola() -> None:
    rates = [0.001 * 2**power for power in range(7)]
    losses: list[float | None] = [2 + 0.1 * (math.log(rate) - math.log(0.009)) ** 2 for rate in rates]
    assert best_rate(rates, losses) == pytest.approx(0.009)
    losses[-1] = None
    assert best_rate(rates, losses) == pytest.approx(0.009)
    assert best_rate(rates, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == pytest.approx(rates[0])
    row = width_row(32, rates, {0: losses, 1: losses})
    assert row["grid_best"] == 0.008
    assert row["mean_losses"][-1] is None


def test_a_best_rate_at_the_edge_of_the_grid_is_marked() -> None:
    rates = [0.001 * 2**power for power in range(7)]

    def row(width: int, best: float) -> dict[str, Any]:
        losses: list[float | None] = [2 + 0.1 * (math.log(rate) - math.log(best)) ** 2 for rate in rates]
        return width_row(width, rates, {0: losses, 1: losses})

    within, above, below = row(32, 0.009), row(64, 10.0), row(128, 1e-6)
    assert [found["at_edge"] for found in (within, above, below)] == [False, True, True]
    assert status_of([within, within]) == "ok"
    # Of true best rates far apart, held within the grid, nothing else would tell.
    assert spread([above["best_rate"], above["best_rate"]]) == 1.0
    assert status_of([within, above]) == status_of([below]) == "edge"
    told = shown([within, above])
    assert "0.064 (edge)" in told
    assert "may lie beyond the grid" in told


def test_a_width_of_which_every_run_diverged_loses_no_other() -> None:
    rates = [0.001, 0.002, 0.004]
    kept, lost = width_row(32, rates, {0: [2.2, 2.0, 2.1]}), width_row(64, rates, {0: [None, None, None]})
    assert (lost["best_rate"], lost["grid_best"], lost["best_rate_by_seed"]) == (None, None, {"0": None})
    assert status_of([kept, lost]) == "diverged"
    told = shown([kept, lost])
    assert "2.000" in told
    assert "every rate of a width diverged: lower learning_rate" in told


def shown(rows: list[dict[str, Any]]) -> str:
    """What `bench rates` prints of these widths."""
    coordinates = {"mup": {"slopes": {"logits": 0.0}}, "standard": {"slopes": {"logits": 0.5}}}
    factor = spread([row["best_rate"] for row in rows])
    text = io.StringIO()
    show(
        {"widths": rows, "status": status_of(rows), "within_factor": factor, "coordinates": coordinates},
        Console(file=text, width=200),
    )
    return text.getvalue()


def test_rates_refuse_what_cannot_run_before_anything_runs(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as inside:
        inside.chdir(workplace.path)
        with pytest.raises(ValueError, match=r"trains 99999744 tokens, the corpus has \d+: raise corpus.max_bytes"):
            run(RatesBench(tokens=100_000_000), Project.here(), Console(stderr=True))
    assert {path.name for path in workplace.path.iterdir()} == {"data", "params.yaml"}
    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU: nothing to refuse")
    workplace.set("executor.device", "cuda")
    assert "executor.device is 'cuda' and torch sees no GPU" in workplace.refusal("bench", "rates")


def test_rates_end_with_1_at_the_edge_and_leave_no_figure_of_standard_output(workplace) -> None:
    workplace.set("suites.law.training.learning_rate", 1e-4)  # So low that the highest rate is the best.
    code, result = tiny_bench(workplace, "rates")
    (row,) = result["widths"]
    assert (row["grid_best"], row["at_edge"]) == (result["rates"][-1], True)
    assert (result["status"], code) == ("edge", 1)
    assert not list(workplace.path.glob("*.html"))


def test_mup_keeps_activations_where_the_standard_parametrisation_does_not(data: Path, tmp_path: Path) -> None:
    widths = [32, 64, 128]
    found = {kind: [activations(kind, w, RECIPE, data, 5) for w in widths] for kind in ("mup", "standard")}
    mup, standard = slopes(widths, found["mup"]), slopes(widths, found["standard"])
    assert abs(mup["layer.2"]) < 0.2 < 1 < standard["layer.2"]
    assert all(value == 0.0 for one in found["mup"] for value in one["logits"][:1])
    coordinates = {"widths": widths, "steps": 5} | {
        kind: {"activations": {site: [one[site] for one in by_width] for site in by_width[0]}, "slopes": slope}
        for (kind, by_width), slope in zip(found.items(), (mup, standard), strict=True)
    }
    rates = [0.004, 0.008, 0.016]
    rows = [width_row(width, rates, {0: [2.0, 1.9, 2.1]}) for width in widths[:2]]
    rows.append(width_row(widths[2], rates, {0: [None, None, None]}))
    page = write_figure({"rates": rates, "widths": rows, "coordinates": coordinates}, tmp_path / "rates.html")
    assert "mean absolute activation" in page.read_text()


def test_rates_are_symmetric_in_the_logarithm() -> None:
    bench = RatesBench()
    rates = bench.rates(0.01)
    assert rates[bench.rates_each_side] == pytest.approx(0.01)
    assert rates[0] * rates[-1] == pytest.approx(0.01**2)


def test_peak_is_measured() -> None:
    assert all(gflops > 0 for gflops in matmul_gflops(64).values())


@pytest.mark.parametrize("verb", ["train", "rates"])
def test_dry_run_says_what_would_run(verb: str, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((root / "experiments/presets/smoke.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, [verb, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "widths 32, 64, 128" in done.output
    assert list(tmp_path.iterdir()) == [tmp_path / "params.yaml"]


def test_command_line_imports_nothing_heavy(root: Path) -> None:
    code = "import sys, experiments.bench.cli; print(*{'torch', 'numpy', 'rich.table', 'plotly'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
