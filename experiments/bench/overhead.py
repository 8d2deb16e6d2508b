"""`scalelab bench longcontext --overhead`: what a solver costs beside its model, ours and PyPI's rlms in turns."""

import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evals.inference.protocol import median_interval
from experiments.bench.peers import Peer
from experiments.measurements import processor
from experiments.project import git_revision
from rlm.lm import Messages, Scripted
from rlm.sandbox.open import Open
from rlm.sandbox.sealed import Sealed
from rlm.sandbox.session import Limits, Sandbox, Session
from rlm.solver import RLM
from rlm.text import Text

PEER = Peer("rlms", "0.1.3", Path(__file__).with_name("rlms_peer.py"))
OURS, THEIRS = "ours", "theirs"
MOST_OF_BARE = {"sealed": 1 / 3, "open": 1 / 2}
MOST_SECONDS, MOST_OF_IDEAL, LEAST_RATIO = 2.0, 1.3, 3.0


@dataclass(frozen=True)
class Load:
    """One program: so many sub-calls, one by one or in a batch, each answered after `answer_seconds`."""

    name: str
    calls: int
    batched: bool
    answer_seconds: float
    concurrency: int = 16

    @property
    def ideal_seconds(self) -> float:
        """Of a solver that costs nothing."""
        return self.answer_seconds * self.calls / (self.concurrency if self.batched else 1)


@dataclass(frozen=True)
class OverheadBench:
    """What is measured, in `rounds` turns of both; sessions are begun `starts` times."""

    rounds: int = 9
    starts: int = 31
    loads: tuple[Load, ...] = (
        Load("one by one", 1000, batched=False, answer_seconds=0.0),
        Load("side by side", 320, batched=True, answer_seconds=0.05),
    )


def describe(bench: OverheadBench) -> str:
    """One paragraph: what would run."""
    loads = "; ".join(f"{one.calls} calls {one.name}, answered after {one.answer_seconds:g} s" for one in bench.loads)
    return (
        f"{bench.rounds} rounds of one program each: {loads}; by our solver in the sealed profile and by {PEER} from "
        f"PyPI (its local REPL, in an environment of its own in {PEER.environment}), the model scripted and in the "
        f"process on both sides; then {bench.starts} times a session from its start to its first result, beside a bare "
        "`python -c pass`"
    )


def run(bench: OverheadBench, progress: Console) -> dict[str, Any]:
    """The table of `--json`. Raises ValueError where the peer cannot be had."""
    PEER.install(progress)
    progress.print(describe(bench))
    loads = [load_table(load, bench.rounds, progress) for load in bench.loads]
    starts = start_table(bench.starts)
    status = "ok" if all(one["status"] == "ok" for one in (*loads, *starts["profiles"].values())) else "missed"
    return {
        "schema_version": 1,
        "peer": str(PEER),
        "loads": loads,
        "starts": starts,
        "status": status,
        "machine": {"processor": processor(), "python": platform.python_version()},
        "revision": git_revision(),
    }


def load_table(load: Load, rounds: int, progress: Console) -> dict[str, Any]:
    """Seconds of both sides, and how many times the overhead of a call of theirs is ours."""
    seconds: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for index in range(rounds):
        sides = {OURS: lambda: our_seconds(load), THEIRS: lambda: their_seconds(load)}
        for name in list(sides)[:: -1 if index % 2 else 1]:
            seconds[name].append(sides[name]())
        progress.print(
            f"{load.name}, round {index + 1}: " + ", ".join(f"{n} {s[-1]:.2f} s" for n, s in seconds.items())
        )
    overhead = {name: (np.array(own) - load.ideal_seconds) / load.calls for name, own in seconds.items()}
    ratio, interval = median_interval(overhead[THEIRS] / overhead[OURS])
    ours = float(np.median(seconds[OURS]))
    within = ours <= MOST_OF_IDEAL * load.ideal_seconds if load.ideal_seconds else ours <= MOST_SECONDS
    return {
        **vars(load),
        "ideal_seconds": load.ideal_seconds,
        "seconds": seconds,
        "median_seconds": {name: float(np.median(own)) for name, own in seconds.items()},
        "overhead_a_call": {name: float(np.median(own)) for name, own in overhead.items()},
        "ratio": ratio,
        "ci95": interval,
        "status": "ok" if within and ratio >= LEAST_RATIO else "missed",
    }


def our_seconds(load: Load) -> float:
    """Of a whole run by our solver."""
    program = f"ask_all('q', ['t'] * {load.calls})" if load.batched else f"for _ in range({load.calls}): ask('q', 't')"

    def answer(messages: Messages) -> str:
        return f"```python\n{program}\nanswer(1)\n```" if len(lm.heard) == 1 else "1"

    lm = Scripted(answer, seconds=load.answer_seconds)
    began = time.perf_counter()
    found = RLM(lm, concurrency=load.concurrency).solve("q", "some context")
    seconds = time.perf_counter() - began
    assert (found.status, found.calls) == ("done", load.calls + 1)
    return seconds - load.answer_seconds  # the root's own reply, which the peer's model gives at once


def their_seconds(load: Load) -> float:
    """Of a whole run by the peer."""
    found = PEER.run({name: getattr(load, name) for name in ("calls", "batched", "answer_seconds", "concurrency")})
    assert found["calls"] == load.calls
    return found["seconds"]


def start_table(starts: int) -> dict[str, Any]:
    """Seconds from asking for a session to its first result, the sandbox warm, and of a bare Python, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ("bare", *MOST_OF_BARE)}
    text = Text.of("text")
    with Sealed() as sealed, Open() as opened:
        starters = {
            "bare": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
            "sealed": lambda: _first_result(sealed, text),
            "open": lambda: _first_result(opened, text),
        }
        for _ in range(starts):
            for name, start in starters.items():
                began = time.perf_counter()
                started = start()
                seconds[name].append(time.perf_counter() - began)
                if not isinstance(started, subprocess.CompletedProcess):
                    started.close()
    shares = {name: _share(seconds[name], seconds["bare"], most) for name, most in MOST_OF_BARE.items()}
    return {"bare": seconds["bare"], "profiles": shares}


def _first_result(sandbox: Sandbox, text: Text) -> Session:
    session = sandbox.session({}, Limits(), text, "q")
    assert session.run("print(1)").printed == "1\n"
    return session


def _share(seconds: list[float], bare: list[float], most: float) -> dict[str, Any]:
    share, interval = median_interval(np.array(seconds) / np.array(bare))
    return {
        "seconds": seconds,
        "share": share,
        "ci95": interval,
        "most": most,
        "status": "ok" if share <= most else "missed",
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Both as tables."""
    table = Table("", "calls", "ideal, s", "ours, s", f"{PEER}, s", "ours, ms a call", "theirs", "ratio", "")
    for load in result["loads"]:
        seconds, overhead = load["median_seconds"], load["overhead_a_call"]
        low, high = load["ci95"]
        table.add_row(
            load["name"], f"{load['calls']:,}", f"{load['ideal_seconds']:.2f}", f"{seconds[OURS]:.2f}",
            f"{seconds[THEIRS]:.2f}", f"{overhead[OURS] * 1e3:.2f}", f"{overhead[THEIRS] * 1e3:.2f}",
            f"{load['ratio']:.1f} [{low:.1f}, {high:.1f}]", load["status"],
        )  # fmt: skip
    console.print(table)
    bare = np.median(result["starts"]["bare"])
    for name, own in result["starts"]["profiles"].items():
        console.print(
            f"a {name} session's first result: {np.median(own['seconds']) * 1e3:.1f} ms, {own['share']:.2f} of a bare "
            f"Python's {bare * 1e3:.1f} ms, at most {own['most']:.2f}: {own['status']}"
        )
