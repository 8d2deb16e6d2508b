"""A clock that was moved back between two runs: what a run writes, and what reads it, depends on no order of times.

The C library is asked through a small preloaded one, as libfaketime does. Times of files are the kernel's and stay.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from sweeps import store

SHORT, LONG = 61_440, 163_840
HOURS_BACK = 5


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library to preload; skips where it cannot be built."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc").exists():
        pytest.skip("no C compiler, or not Linux: the clock is moved by a preloaded library")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


def killed_after_the_first_branch(workplace) -> None:
    """`train`, whose processes are killed while the second branch is on its way."""
    running = workplace.start("train")
    processes = psutil.Process(running.pid)
    deadline = time.monotonic() + 100
    while not (workplace.branch(SHORT) / "record.json").exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    for process in [*processes.children(recursive=True), processes]:
        os.kill(process.pid, signal.SIGKILL)
    running.communicate()
    assert not (workplace.branch(LONG) / "record.json").exists(), "killed too late to show anything"


def test_a_run_goes_on_at_an_earlier_time(trained, workplace, clock, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_after_the_first_branch(workplace)
    before = store.read_metrics(workplace.branch(SHORT))
    monkeypatch.setenv("LD_PRELOAD", str(clock))
    monkeypatch.setenv("SCALELAB_TEST_SHIFT", str(-3600 * HOURS_BACK))
    done = workplace.trained()
    assert "1 done, 1 pending" in done.stdout
    after = store.read_metrics(workplace.branch(LONG))
    assert after[0]["time"] < before[0]["time"] - 3600 * 1000 * (HOURS_BACK - 1), "the clock was not moved"
    for tokens in (SHORT, LONG):
        assert workplace.weights(tokens) == trained.weights(tokens)
        assert workplace.record(tokens)["loss"] == trained.record(tokens)["loss"]
    assert workplace.record(LONG)["seconds"] > 0
    trunk = store.read_metrics(workplace.branch(LONG).with_name("trunk"))
    assert [line["step"] for line in trunk] == sorted({line["step"] for line in trunk})
    status = json.loads(workplace.scalelab("status", "--json", "-").stdout)
    assert status["suites"] == {"law": {"done": 2}}
    published = [workplace.scalelab("sync").stdout for _ in range(2)]
    assert ["1 cells in MLflow, 1 updated" in published[0], "0 updated" in published[1]] == [True, True]
    with sqlite3.connect(workplace.path / "mlflow.db") as database:
        spans = list(database.execute("SELECT start_time, end_time FROM runs"))
        counts = dict(database.execute("SELECT key, COUNT(*) FROM metrics GROUP BY key"))
    assert all(start < end for start, end in spans)
    assert counts["trunk/loss"] == len(trunk)
    assert counts[f"t{LONG}/loss"] == len(after)
    assert counts["validation/loss"] == 2
