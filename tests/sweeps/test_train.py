"""Training: it learns, its records are whole, and no interruption, however rude, shows in what it leaves."""

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from sweeps import store, train
from sweeps.data import load_data
from sweeps.train import Loop, train_cell

SHORT, LONG = 61_440, 163_840  # 120 and 320 steps; the branches leave the trunk at 96 and 256.
FIRST_FORK = 96
FIELDS = {
    "schema_version", "fingerprint", "suite", "family", "size", "layers", "cell", "branch", "seed", "params_total",
    "params_non_embedding", "params_with_head", "tokens", "unique_tokens", "flops", "flops_6nd", "loss", "loss_se",
    "bits_per_byte", "steps", "batch_tokens", "sequence_length", "learning_rate", "schedule", "precision", "device",
    "compile", "data_digest", "validation_digest", "revision", "versions", "status", "reason", "seconds",
    "tokens_per_second", "host", "num_devices",
}  # fmt: skip


def lines(directory: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the times."""
    return [{**line, "time": None} for line in store.read_metrics(directory)]


# What a run leaves


def test_it_learns(trained) -> None:
    short, long = trained.record(SHORT), trained.record(LONG)
    assert long["loss"] < short["loss"] < 0.65 * math.log(260)
    for record in (short, long):
        assert 0 < record["loss_se"] < 0.5
        assert record["status"] == "done"
        assert record["reason"] == ""
        # A token is a byte, and <|bos|>, which is none, is never a target.
        assert record["bits_per_byte"] == pytest.approx(record["loss"] / math.log(2), rel=1e-9)


def test_a_record_has_every_field(trained) -> None:
    for tokens in (SHORT, LONG):
        record = trained.record(tokens)
        assert set(record) == FIELDS
        assert record["tokens"] == record["steps"] * record["batch_tokens"] == record["unique_tokens"] == tokens
        assert (record["suite"], record["cell"], record["branch"]) == ("law", "w0016-s0", f"t{tokens}")
        assert (record["family"], record["size"], record["seed"], record["schema_version"]) == ("decoder", 16, 0, 1)
        assert record["flops_6nd"] == 6 * record["params_non_embedding"] * tokens < record["flops"]
        assert record["tokens_per_second"] > 0
        assert set(record["versions"]) == {"python", "torch", "transformers", "numpy"}
        manifest = json.loads((trained.path / "data" / "corpus" / "manifest.json").read_text())
        assert record["data_digest"] == manifest["digest"]
        assert record["validation_digest"] == manifest["validation_digest"]


def test_metrics_tell_the_run_from_the_trunk_to_the_end_of_the_branch(trained) -> None:
    trunk, branch = lines(trained.branch(LONG).with_name("trunk")), lines(trained.branch(LONG))
    assert [line["step"] for line in [*trunk, *branch]] == list(range(20, 321, 20))
    assert {line["learning_rate"] for line in trunk} == {0.01}
    rates = [line["learning_rate"] for line in branch]
    assert rates == sorted(rates, reverse=True)
    assert all(line["tokens"] == 512 * line["step"] for line in [*trunk, *branch])
    assert all(0 < line["gradient_norm"] < 100 for line in [*trunk, *branch])
    assert branch[-1]["loss"] < trunk[0]["loss"] - 1


def test_the_checkpoint_has_the_parameters_of_the_record(trained) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = trained.branch(LONG) / "checkpoint"
    model = AutoModelForCausalLM.from_pretrained(directory)
    assert sum(parameter.numel() for parameter in model.parameters()) == trained.record(LONG)["params_total"]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert AutoTokenizer.from_pretrained(directory)("caf\u00e9")["input_ids"] == [4 + b for b in "caf\u00e9".encode()]


# Interruptions


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_sweep_ends_with_the_bits_of_an_uninterrupted_one(trained, workplace) -> None:
    running = workplace.start("train")
    trunk = workplace.branch(SHORT).with_name("trunk")
    wait_for((workplace.path / ".cache" / "law.lock").exists)
    second = workplace.scalelab("train")
    assert second.returncode == 2
    assert second.stderr == "scalelab: another process works on law: wait for it or stop it\n"
    wait_for((workplace.branch(SHORT) / "record.json").exists)
    wait_for(lambda: lines(trunk)[-1]["step"] > FIRST_FORK)
    workers = psutil.Process(running.pid).children(recursive=True)
    assert any("spawn_main" in " ".join(worker.cmdline()) for worker in workers)
    running.kill()
    running.wait()
    wait_for(lambda: not any(map(alive, workers)), seconds=10)
    assert not workplace.branch(LONG).exists()
    before = workplace.stamps()

    done = workplace.trained()
    assert done.stdout.startswith("2 branches in 1 cells: 1 done, 1 pending\n")
    after = workplace.stamps()
    assert {name: stamp for name, stamp in after.items() if name in before} == before
    for tokens in (SHORT, LONG):
        assert workplace.weights(tokens) == trained.weights(tokens)
        assert workplace.identity(tokens) == trained.identity(tokens)
        assert lines(workplace.branch(tokens)) == lines(trained.branch(tokens))
    assert lines(trunk) == lines(trained.branch(LONG).with_name("trunk"))


class PowerCut(BaseException):
    """Ends a run at a chosen step, as nothing in it expects."""


@pytest.mark.usefixtures("one_thread")
def test_cuts_anywhere_leave_no_trace(trained, workplace, monkeypatch) -> None:
    monkeypatch.setattr(train, "SAVE_EVERY_SECONDS", 0.0)
    advance = Loop.advance
    # In the warm-up, off the lines of metrics, between two forks, in either cooldown; then to the end.
    for steps_until_cut in (7, 50, 75, 20, 180, 150, 10**6):
        left = steps_until_cut

        def cut(loop, cooldown):
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCut
            return advance(loop, cooldown)

        monkeypatch.setattr(Loop, "advance", cut)
        try:
            train_cell(workplace.job())
        except PowerCut:
            assert steps_until_cut < 10**6
    for tokens in (SHORT, LONG):
        assert workplace.weights(tokens) == trained.weights(tokens)
        assert workplace.identity(tokens) == trained.identity(tokens)
        assert lines(workplace.branch(tokens)) == lines(trained.branch(tokens))
    trunk = workplace.branch(LONG).with_name("trunk")
    assert lines(trunk) == lines(trained.branch(LONG).with_name("trunk"))
    assert {"96.pt", "256.pt"} <= {path.name for path in trunk.glob("*.pt")}
    assert not list(workplace.path.glob("runs/law/*/.*"))


@pytest.mark.usefixtures("one_thread")
def test_a_damaged_state_is_trained_again(trained, workplace) -> None:
    workplace.copy_runs(trained)
    trunk = workplace.branch(LONG).with_name("trunk")
    shutil.rmtree(workplace.branch(LONG))
    states = {step: (trunk / f"{step}.pt").read_bytes() for step in (FIRST_FORK, 256)}
    (trunk / "256.pt").write_bytes(states[256][: len(states[256]) // 2])
    (trunk / "96.pt").write_bytes(b"")
    (trunk / "100.tmp").write_bytes(b"half")
    train_cell(workplace.job())
    assert workplace.weights(LONG) == trained.weights(LONG)
    assert workplace.identity(LONG) == trained.identity(LONG)
    assert sorted(path.name for path in trunk.glob("*.[pt]*")) == ["256.pt"]
    assert lines(trunk) == lines(trained.branch(LONG).with_name("trunk"))


def test_an_unfinished_last_line_of_metrics_goes(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 20}\n{"step": 40}\n{"st')
    assert store.keep_whole_lines(tmp_path) == [{"step": 20}, {"step": 40}]
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 20}\n{"step": 40}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_corpus_built_anew_under_a_running_sweep_is_refused(workplace) -> None:
    job = workplace.job()
    with pytest.raises(ValueError, match="was built anew since this sweep began: start it again"):
        train_cell(replace(job, recipe=replace(job.recipe, data_digest="of before")))
    assert not workplace.branch(SHORT).parent.exists()


@pytest.mark.gpu
def test_an_accelerator_gives_about_the_loss_of_the_cpu(trained, workplace) -> None:
    workplace.set("executor.device", "cuda")
    workplace.trained()
    for tokens in (SHORT, LONG):
        assert workplace.record(tokens)["device"] == "cuda"
        assert workplace.record(tokens)["loss"] == pytest.approx(trained.record(tokens)["loss"], rel=0.01)


# Growing grids


@pytest.mark.usefixtures("one_thread")
def test_a_branch_is_the_same_whatever_other_branches_there_are(trained, workplace) -> None:
    workplace.set("suites.law.grid", [{"sizes": [16], "tokens": [LONG]}])
    train_cell(workplace.job())
    assert workplace.weights(LONG) == trained.weights(LONG)
    # A count below all trunk states: from the beginning, past none of what is there.
    before = workplace.stamps()
    workplace.set("suites.law.grid", [{"sizes": [16], "tokens": [SHORT, LONG]}])
    train_cell(workplace.job())
    assert workplace.weights(SHORT) == trained.weights(SHORT)
    assert {name: stamp for name, stamp in workplace.stamps().items() if name in before} == before
    for tokens in (SHORT, LONG):
        assert workplace.identity(tokens) == trained.identity(tokens)


def test_new_sizes_and_counts_train_alone_and_a_failed_cell_stops_no_other(trained, workplace) -> None:
    between = 102_400  # Its fork, 160, comes after the trunk state at 96.
    workplace.copy_runs(trained)
    before = workplace.stamps()
    workplace.set("suites.law.grid", [{"sizes": [16, 32], "tokens": [SHORT, between]}])
    state = workplace.branch(SHORT).with_name("trunk") / "96.pt"
    whole = state.read_bytes()
    state.unlink()
    state.mkdir()

    failed = workplace.scalelab("train")
    assert failed.returncode == 1, failed.stderr
    assert failed.stdout.startswith("4 branches in 2 cells: 1 done, 3 pending\n")
    assert "failed: w0016-s0: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "Traceback" in (workplace.path / "runs" / "law" / "w0016-s0" / "error.log").read_text()
    record = workplace.record(between)
    assert record["status"] == "failed"
    assert record["reason"]
    assert record["loss"] is None
    assert workplace.record(between, "w0032-s0")["status"] == "done"

    state.rmdir()
    state.write_bytes(whole)
    grown = workplace.stamps()
    done = workplace.trained()
    assert done.stdout.startswith("4 branches in 2 cells: 3 done, 1 failed\n")
    assert workplace.record(between)["status"] == "done"
    assert trained.record(LONG)["loss"] < workplace.record(between)["loss"] < trained.record(SHORT)["loss"]
    after = workplace.stamps()
    unchanged = {name: stamp for name, stamp in after.items() if f"w0016-s0/t{between}" not in name}
    assert unchanged == {name: stamp for name, stamp in grown.items() if f"w0016-s0/t{between}" not in name}
    assert {name: after[name] for name in before} == before


@pytest.mark.usefixtures("one_thread")
def test_another_rate_makes_all_stale_and_another_precision_too(trained, workplace) -> None:
    workplace.copy_runs(trained)
    workplace.set("suites.law.training.learning_rate", 0.02)
    told = workplace.trained("--dry-run").stdout.splitlines()
    assert told[0] == "2 branches in 1 cells: 2 stale"
    assert told[1].startswith("stale: ")
    assert workplace.weights(LONG) == trained.weights(LONG)  # Said, not done.

    workplace.set("suites.law.training.learning_rate", 0.01)
    workplace.set("suites.law.training.precision", "bfloat16")
    train_cell(workplace.job())
    for tokens in (SHORT, LONG):
        record = workplace.record(tokens)
        assert record["precision"] == "bfloat16"
        assert record["fingerprint"] != trained.record(tokens)["fingerprint"]
        assert record["loss"] != trained.record(tokens)["loss"]
        assert record["loss"] == pytest.approx(trained.record(tokens)["loss"], rel=0.03)


@pytest.mark.usefixtures("one_thread")
def test_another_cooldown_keeps_the_trunk(trained, workplace) -> None:
    workplace.copy_runs(trained)
    trunk = workplace.branch(SHORT).with_name("trunk")
    shutil.rmtree(workplace.branch(LONG))
    workplace.set("suites.law.grid", [{"sizes": [16], "tokens": [SHORT]}])
    job = workplace.job(cooldown_share=0.1)
    assert job.state(120) == "stale"
    states = {path.name: path.stat().st_mtime_ns for path in trunk.glob("*.pt")}
    train_cell(job)
    assert workplace.record(SHORT)["schedule"].endswith("cooldown 0.1")
    # The trunk went on from step 96, which no branch leaves from any more; what lies ahead is as it was.
    assert {path.name for path in trunk.glob("*.pt")} == {"108.pt", "256.pt"}
    assert (trunk / "256.pt").stat().st_mtime_ns == states["256.pt"]


# Outcomes


def test_a_diverged_cell_is_a_result(workplace) -> None:
    workplace.set("suites.law.training.learning_rate", 1e4)
    workplace.set("suites.law.grid", [{"sizes": [16, 32], "tokens": [SHORT, LONG]}])
    workplace.trained()
    for cell in ("w0016-s0", "w0032-s0"):
        for tokens in (SHORT, LONG):
            record = workplace.record(tokens, cell)
            assert set(record) == FIELDS
            assert record["status"] == "diverged"
            assert record["reason"].startswith("training loss ")
            assert record["loss"] is record["loss_se"] is record["bits_per_byte"] is None
            assert not (workplace.branch(tokens, cell) / "checkpoint").exists()
    before = workplace.stamps()
    assert workplace.trained().stdout == "4 branches in 2 cells: 4 diverged\n"
    assert workplace.stamps() == before


@pytest.mark.usefixtures("one_thread")
def test_unique_tokens_are_seen_again_and_again(trained, workplace) -> None:
    cell = "w0016-s0-u1024"
    workplace.set("suites.law.grid", [{"sizes": [16], "tokens": [LONG], "unique_tokens": 1024}])
    train_cell(workplace.job(cell))
    record = workplace.record(LONG, cell)
    assert (record["tokens"], record["unique_tokens"]) == (LONG, 1024)
    # 160 passes over 16 windows: learned by heart, and no use elsewhere.
    assert lines(workplace.branch(LONG, cell))[-1]["loss"] < record["loss"] - 1
    assert record["loss"] > trained.record(LONG)["loss"]


@pytest.mark.usefixtures("one_thread")
def test_another_seed_is_another_run_of_about_the_same_loss(trained, workplace) -> None:
    workplace.set("suites.law.grid", [{"sizes": [16], "seeds": [1], "tokens": [SHORT]}])
    train_cell(workplace.job("w0016-s1"))
    other = workplace.record(SHORT, "w0016-s1")
    assert other["loss"] != trained.record(SHORT)["loss"]
    assert other["loss"] == pytest.approx(trained.record(SHORT)["loss"], rel=0.1)


@pytest.mark.usefixtures("one_thread")
def test_compiled_training_follows_eager_training(workplace) -> None:
    job = workplace.job()
    losses = {}
    for compiled in (False, True):
        recipe = replace(job.recipe, training=replace(job.recipe.training, compile=compiled))
        loop = Loop(job.cell, recipe, load_data(job.data))
        losses[compiled] = [loop.advance(None)[0].item() for _ in range(20)]
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)
    assert losses[True][0] == pytest.approx(math.log(260), rel=1e-5)  # The head starts at zero: a uniform guess.
    assert losses[True][-1] < losses[True][0] - 0.5
