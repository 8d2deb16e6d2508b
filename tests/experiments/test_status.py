"""`scalelab status`: which failures are still news, what runs, what is damaged."""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.locks import only_one
from experiments.status import read_status
from sweeps import store
from sweeps.identity import branch_identity
from sweeps.train_job import CellJob

SHORT, LONG = 61_440, 163_840


def write_failed(job: CellJob, steps: int, reason: str) -> Path:
    directory = store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens)
    record = branch_identity(job.cell, job.recipe, steps) | {"status": "failed", "reason": reason}
    store.write_json(directory / "record.json", record)
    return directory


def test_failures_are_those_of_the_grid_as_it_is_asked_for(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace.path)
    job = workplace.job()
    short, long = job.cell.steps
    write_failed(job, 2 * long, "of a token count no longer asked for")
    write_failed(replace(job, cell=replace(job.cell, width=32)), short, "of a size no longer asked for")
    write_failed(workplace.job(learning_rate=0.02), short, "of another learning rate")
    status = read_status()
    assert status["suites"] == {"law": {"stale": 1, "pending": 1}}
    assert status["failures"] == {}
    write_failed(job, long, "of now")
    status = read_status()
    assert status["suites"] == {"law": {"stale": 1, "failed": 1}}
    assert status["failures"] == {"law/w0016-s0": "of now"}


def wait_for(happened: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 100
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def read_terminal(workplace, *arguments: str) -> tuple[int, str]:
    """What the command line writes to a terminal, and how it ends."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "experiments", *arguments],
        cwd=workplace.path,
        env={**os.environ, "PYTHONPATH": str(workplace.root), "COLUMNS": "150", "TERM": "xterm"},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        written = b""
        # Linux says with an error that the other side of a terminal is closed.
        with contextlib.suppress(OSError):
            while read := os.read(ours, 65536):
                written += read
        os.close(ours)
        return process.wait(), written.decode()


def test_status_and_its_watch_see_a_sweep_run_and_end(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace.path)
    workplace.set("suites.law.grid", [{"sizes": [16, 32], "tokens": [SHORT, LONG], "seeds": [0, 1]}])
    running = workplace.start("train")
    wait_for(lambda: list(workplace.path.glob("runs/law/*/trunk/metrics.jsonl")), running)
    watch = workplace.start("status", "--watch")
    with ThreadPoolExecutor() as pool:
        terminal = pool.submit(read_terminal, workplace, "status", "--watch")
        wait_for(lambda: growing_now(workplace), running)
        status = read_status()
        assert [(holder["what"], holder["pid"]) for holder in status["running"]] == [("law", running.pid)]
        assert status["running"][0]["command"].endswith("-m experiments train")
        assert list(status["growing"]["law"]) == growing_now(workplace)
        assert status["repairs"] == []  # What is half written now is being written.
        _, err = running.communicate(timeout=200)
        assert running.returncode == 0, err
        out, err = watch.communicate(timeout=60)
        assert (watch.returncode, err) == (0, "")
        code, shown = terminal.result(timeout=60)
    lines = out.splitlines()
    assert lines[0].startswith("law: ")
    assert "; now w00" in out
    assert "running: law" in lines
    assert lines[-2:] == ["law: 8 done", "nothing runs any more: `scalelab status` says what was found"]
    assert len(lines) == len(set(lines))
    assert code == 0
    assert "time left" in shown
    assert re.search(r"law\s+│\s+8 of 8", shown)
    assert re.search(r"\d:\d\d\s+│", shown), shown[-3000:]


def growing_now(workplace) -> list[str]:
    """The cells whose trunk has lines and whose branches are not all there."""
    lines = workplace.path.glob("runs/law/*/trunk/metrics.jsonl")
    cells = [path.parent.parent for path in lines if path.stat().st_size]
    return sorted(cell.name for cell in cells if len(list(cell.glob("t[0-9]*/record.json"))) < 2)


def test_failures_show_the_end_of_their_log_and_damage_is_said(workplace, trained, newcomer, monkeypatch) -> None:
    monkeypatch.chdir(workplace.path)
    workplace.copy_runs(trained)
    (workplace.branch(SHORT) / "record.json").write_text("{")
    job = workplace.job()
    shutil.rmtree(write_failed(job, job.cell.steps[1], "OSError: gone") / "checkpoint")
    (workplace.branch(SHORT).parent / "error.log").write_text("Traceback\n  a\n  b\n  c\nOSError: gone\n")
    code, out, err = newcomer.scalelab("status")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:7] == [
        "law: 1 pending, 1 failed",
        "failed: law/w0016-s0: OSError: gone",
        "  runs/law/w0016-s0/error.log ends:",
        "      b",
        "      c",
        "    OSError: gone",
        "to repair: law/w0016-s0/t61440: record.json cannot be read: the branch is trained again",
    ]
    found = newcomer.result("status")
    assert found["logs"]["law/w0016-s0"]["last"][-1] == "OSError: gone"
    assert found["results"] == dict.fromkeys(("law", "saturation", "emergence", "inference", "longcontext"), "missing")
    assert "give one of them" in newcomer.refusal("status", "--watch", "--json", "-")


def test_without_data_nothing_is_said_of_the_results(workplace, newcomer, monkeypatch, root: Path) -> None:
    monkeypatch.chdir(workplace.path)
    shutil.copytree(root / "results", workplace.path / "results")
    (workplace.path / "data" / "corpus").unlink()
    workplace.set("suites.other", workplace.tree["suites"]["law"])
    _, out, _ = newcomer.scalelab("status")
    assert out.startswith("law, other: data/corpus holds no corpus: run `dvc repro corpus`\n")
    assert "cannot be told: law" in out
    assert "the law is of other runs" not in out
    assert "L = " in out


def test_ctrl_c_ends_the_watching_quietly(workplace) -> None:
    (workplace.path / ".cache").mkdir()
    with only_one(workplace.path / ".cache" / "law.lock"):
        watch = workplace.start("status", "--watch")
        assert watch.stdout is not None
        assert watch.stdout.readline() == "law: 2 pending\n"
        assert watch.stdout.readline() == "running: law\n"
        watch.send_signal(signal.SIGINT)
        out, err = watch.communicate(timeout=60)
    assert (watch.returncode, out, err) == (0, "", "")
