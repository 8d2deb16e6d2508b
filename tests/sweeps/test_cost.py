"""Prices against what training then spends: steps, bytes, FLOPs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from models.ladder import Shape
from sweeps import cost
from sweeps.tokens import load_tokens
from sweeps.train import Loop, train_cell

SHORT, LONG = 61_440, 163_840


@pytest.mark.usefixtures("one_thread")
def test_the_steps_foreseen_are_those_that_training_takes(workplace, monkeypatch) -> None:
    taken = 0
    advance = Loop.advance

    def counted(loop, cooldown):
        nonlocal taken
        taken += 1
        return advance(loop, cooldown)

    monkeypatch.setattr(Loop, "advance", counted)
    # From nothing; with a count between two trained ones; with one below; with nothing left to do.
    for tokens in ([SHORT, LONG], [SHORT, 102_400, LONG], [40_960, SHORT, LONG]):
        workplace.set("suites.law.grid", [{"sizes": [16], "tokens": tokens}])
        foreseen = sum(cost.steps_to_train(workplace.job()).values())
        taken = 0
        train_cell(workplace.job())
        assert taken == foreseen
    assert not workplace.job().pending_steps()


def test_flops_are_those_of_the_loop(workplace) -> None:
    job = workplace.job()
    loop = Loop(job.cell, job.recipe, load_tokens(job.data))
    loop.model.set_attn_implementation("eager")  # Whose products the counter sees.
    with FlopCounterMode(display=False) as counter:
        for _ in range(3):
            loop.advance(None)
    assert cost.branch_flops(job.cell, job.recipe, 3) == counter.get_total_flops()


def test_bytes_are_those_on_disk(trained) -> None:
    job = trained.job()
    states = sum(path.stat().st_size for path in (job.directory / "trunk").glob("*.pt"))
    weights = sum(len(trained.weights(tokens)) for tokens in (SHORT, LONG))
    foreseen = sum(cost.branch_bytes(job.cell, job.recipe) for _ in job.cell.steps)
    assert foreseen == pytest.approx(states + weights, rel=0.15)  # A model this small is all headers.


def test_seconds_are_one_start_and_a_step_for_a_step(workplace) -> None:
    job = workplace.job()
    probe = cost.Probe(build=3.0, first_step=5.0, step=0.25, branch_end=7.0, cold=False)
    # 256 steps of the trunk, cooldowns of 24 and 64, two ends.
    assert cost.job_seconds(job, probe) == 3 + 5 + 0.25 * (256 + 24 + 64) + 2 * 7


@pytest.mark.usefixtures("one_thread")
def test_a_probe_measures_and_leaves_nothing(workplace, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cold, warm = cost.measure(workplace.job())
    assert (cold.cold, warm.cold) == (True, False)
    for probe in (cold, warm):
        assert min(probe.build, probe.first_step, probe.step, probe.branch_end) > 0
        assert probe.step < 0.5
    assert list(tmp_path.iterdir()) == []
    assert not (workplace.path / "runs").exists()


@pytest.mark.usefixtures("one_thread")
def test_a_probe_takes_no_more_tokens_than_the_corpus_has(workplace, tmp_path) -> None:
    job = workplace.job()
    small = shutil.copytree(job.data, tmp_path / "small")
    with (small / "train.bin").open("r+b") as file:
        file.truncate(2 * (40 * job.recipe.training.batch_tokens + 1))
    job = replace(job, data=small, cell=replace(job.cell, steps=(40,)))
    _, warm = cost.measure(job)
    assert warm.step > 0
    train_cell(job)
    assert not job.pending_steps()


@pytest.mark.usefixtures("one_thread")
def test_a_probe_that_diverges_is_timed_and_leaves_nothing(workplace, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, warm = cost.measure(workplace.job(learning_rate=1e30))
    assert min(warm.step, warm.branch_end) > 0
    assert list(tmp_path.iterdir()) == []


def test_probes_are_kept_for_the_same_machine_and_recipe(tmp_path: Path) -> None:
    cold = cost.Probe(3.0, 5.0, 0.25, 7.0, cold=True)
    probes = {Shape(16): (cold, replace(cold, cold=False)), Shape(16, 8): (cold, cold)}
    path = tmp_path / "probes.json"
    assert cost.read_probes(path, "here") == {}
    cost.write_probes(path, "here", probes)
    assert cost.read_probes(path, "here") == probes
    assert cost.read_probes(path, "elsewhere") == {}
    path.write_text(path.read_text()[:-20])
    assert cost.read_probes(path, "here") == {}


def test_the_plan_prices_what_is_pending_and_probes_once(workplace) -> None:
    workplace.set("suites.law.grid", [{"sizes": [16, 32], "tokens": [SHORT, LONG]}])
    made = workplace.scalelab("plan", "--json", "-")
    assert made.returncode == 0, made.stderr
    assert "probing 2 sizes" in made.stderr
    plan = json.loads(made.stdout)
    rows, totals = plan["cells"], plan["totals"]
    assert [(row["cell"], row["branch"]) for row in rows] == [
        (f"w{width:04d}-s0", f"t{tokens}") for width in (16, 32) for tokens in (SHORT, LONG)
    ]
    assert {row["state"] for row in rows} == {"pending"}
    assert (totals["cells"], totals["branches"], totals["pending"], totals["done"]) == (2, 4, 4, 0)
    assert totals["flops"] == sum(row["flops_to_train"] for row in rows) < sum(row["flops"] for row in rows)
    assert totals["core_seconds"] == pytest.approx(sum(row["predicted_seconds"] for row in rows))
    assert totals["wall_seconds"] == pytest.approx(totals["core_seconds"])  # One worker.
    assert not (workplace.path / "runs").exists()

    kept = (workplace.path / ".cache" / "probes.json").stat()
    again = workplace.scalelab("plan")
    assert again.returncode == 0
    assert again.stderr == ""
    assert "4 points in 2 cells" in " ".join(again.stdout.split())
    assert (workplace.path / ".cache" / "probes.json").stat().st_mtime_ns == kept.st_mtime_ns
