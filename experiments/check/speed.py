"""How fast this checkout trains and decodes beside the baseline's revision: two long-lived processes in turns.

A round has a short block of each side, in an order that is drawn, so that a slow minute of the machine falls on both.
Two clocks are read: that of the wall sees all that a user waits for, that of the processor is hardly moved by others at
work on the machine, and does not see a side that sleeps.
Where a launch leaves room for doubt, new processes are asked, twice at most: where memory happens to lie makes two
launches of the same code differ, and a busy minute hides what is slower. What two launches say stands.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from analysis.regression import ALPHA, LEAST_SLOWDOWN, SpeedTest, speed_test
from experiments.check.checkout import worktree
from experiments.check.golden import build_text
from experiments.check.row import Row
from experiments.isolated import isolated
from experiments.pools import ONE_THREAD, QUIET
from experiments.project import CODE_ROOT

WORKS = ("train", "decode")
CLOCKS = ("wall", "cpu")
MOST_LAUNCHES, LAUNCHES_THAT_DECIDE = 3, 2
# A ratio of one launch below which nobody is asked again: that of the same revision strayed less by the processor.
DOUBTFUL_RATIO = 1.05
ROUNDS = 48
BLOCK_SECONDS = 0.06  # of the processor
CALIBRATION_STEPS = 20
SIDE = Path(__file__).with_name("side.py")
ORDER_SEED = 0


@dataclass(frozen=True)
class Launch:
    """Seconds of a block of so many steps by each clock, an entry a round."""

    work: str
    steps: int
    baseline: dict[str, list[float]]
    present: dict[str, list[float]]

    def by(self, clock: str) -> SpeedTest:
        """The present side against the baseline."""
        return speed_test(self.baseline[clock], self.present[clock])

    @property
    def in_doubt(self) -> bool:
        """Whether any clock's ratio is more than the same revision's would be."""
        return any(self.by(clock).ratio >= DOUBTFUL_RATIO for clock in CLOCKS)


class Side:
    """A process of side.py on a checkout."""

    def __init__(self, root: Path, data: Path, log: IO[bytes]) -> None:
        self.root, self.log = root, log
        environment = {**os.environ, **ONE_THREAD, **QUIET, "PYTHONPATH": str(root)}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(SIDE), str(data)],
            cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip

    def ready(self) -> None:
        """Waits until it is warm; raises ValueError where it imports another checkout or cannot run this one's code."""
        there = json.loads(self._reply())["root"]
        if there != str(self.root):
            raise ValueError(f"speed: the side of {self.root} imported {there}: uninstall what stands before it")

    def seconds(self, work: str, steps: int) -> dict[str, float]:
        """Of a block, by clock."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{work} {steps}\n")
        self.process.stdin.flush()
        return dict(zip(CLOCKS, map(float, self._reply().split()), strict=True))

    def _reply(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            said = self.log.read().decode(errors="replace").strip().splitlines() or ["nothing"]
            raise ValueError(f"speed: the loop of {self.root} ended early ({said[-1]}): --against a newer revision")
        return line

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def two_sides(baseline: Path, data: Path) -> Iterator[tuple[Side, Side]]:
    """The baseline's process and the present one, both warm."""
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
        old, new = (Side(root, data, log) for root, log in zip((baseline, CODE_ROOT), logs, strict=True))
        for side in (old, new):
            stack.callback(side.close)
        for side in (old, new):
            side.ready()
        yield old, new


def take_turns(sides: tuple[Side, Side], work: str) -> Launch:
    """ROUNDS rounds of blocks of about BLOCK_SECONDS."""
    import numpy as np

    slowest = max(side.seconds(work, CALIBRATION_STEPS)["cpu"] for side in sides) / CALIBRATION_STEPS
    steps = max(1, math.ceil(BLOCK_SECONDS / slowest))
    orders = np.random.default_rng(ORDER_SEED)
    told: list[dict[str, list[float]]] = [{clock: [] for clock in CLOCKS} for _ in sides]
    for _ in range(ROUNDS):
        for place in orders.permutation(2):
            for clock, seconds in sides[place].seconds(work, steps).items():
                told[place][clock].append(seconds)
    return Launch(work, steps, *told)


def measure(revision: str) -> list[Launch]:
    """A launch of every work, and more of those that leave room for doubt; about half a minute."""
    with tempfile.TemporaryDirectory() as name, worktree(revision) as baseline:
        data = Path(name) / "text"
        isolated(build_text, Path(name), data)
        launches: list[Launch] = []
        while works := [work for work in WORKS if is_open([one for one in launches if one.work == work])]:
            with two_sides(baseline, data) as sides:
                launches += [take_turns(sides, work) for work in works]
    return launches


def is_open(launches: list[Launch]) -> bool:
    """Whether another launch of this work could change its verdict."""
    if len(launches) < LAUNCHES_THAT_DECIDE:
        return not launches or launches[0].in_doubt
    most = max(sum(one.by(clock).slower for one in launches) for clock in CLOCKS)
    return len(launches) < MOST_LAUNCHES and most == LAUNCHES_THAT_DECIDE - 1


def compare(launches: list[Launch]) -> list[Row]:
    """A row a work and clock, the baseline's and the present seconds a step; slower where two launches say so."""
    return [judge([one for one in launches if one.work == work], clock) for work in WORKS for clock in CLOCKS]


def judge(launches: list[Launch], clock: str) -> Row:
    """The row of one work by one clock."""
    import numpy as np

    steps = launches[0].steps
    old, new = (
        float(np.median(seconds)) / steps for seconds in (launches[0].baseline[clock], launches[0].present[clock])
    )
    tests = [launch.by(clock) for launch in launches]
    told = " and again ".join(f"{test.ratio:.3f} times the seconds (p = {test.p_slower:.2g})" for test in tests)
    allowed = f"{1 + LEAST_SLOWDOWN:.2f} times at p <= {ALPHA:g} is slower"
    name = f"{launches[0].work}/{clock}_seconds_per_step"
    if sum(test.slower for test in tests) >= LAUNCHES_THAT_DECIDE:
        return Row("speed", name, old, new, "regressed", f"{told}; {allowed}, in two launches")
    if tests[0].faster:
        return Row("speed", name, old, new, "faster", f"{told}: `scalelab check --update` makes this the baseline")
    return Row(
        "speed", name, old, new, "same", f"{told}; {allowed}" + "; not confirmed" * any(test.slower for test in tests)
    )


def samples(launches: list[Launch]) -> list[dict[str, Any]]:
    """Every block's seconds, as the result keeps them."""
    return [vars(launch) for launch in launches]
