"""Paired measurements: worker processes that sit warm side by side and take turns.

Each side is a function that trains in a process of its own and asks its `Turns` after every step whether to go on; the
parent gives the turns round by round, so that a slow minute of the machine falls on every side alike. What counts is
the ratio within a round, over several launches of all sides.
"""

import contextlib
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from experiments.pools import ONE_THREAD
from experiments.project import COMPILE_CACHE

CALIBRATION_STEPS = 20
RESAMPLES = 2_000


class Turns:
    """The worker's end: says when it is warm, then paces its steps."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.left, self.began = 0, 0.0

    def ready(self, report: dict[str, Any]) -> None:
        """The warm-up is over; `report` is what the parent should know about it."""
        self.pipe.send(report)

    def more(self) -> bool:
        """Called between steps: True to take another; blocks, with the clock stopped, while others have their turn."""
        if self.left == 0:
            if self.began:
                self.pipe.send(time.perf_counter() - self.began)
            self.left = self.pipe.recv()
            if self.left == 0:
                return False
            self.began = time.perf_counter()
        self.left -= 1
        return True


@dataclass(frozen=True)
class Side:
    """One contender: a name and what its process runs, called with its Turns and `arguments`."""

    name: str
    run: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Launch:
    """Seconds of every side in every round of `steps` steps, and what each reported when it was warm."""

    steps: int
    seconds: dict[str, list[float]]
    reports: dict[str, dict[str, Any]]


def take_turns(sides: list[Side], num_rounds: int, round_seconds: float) -> Launch:
    """Starts the sides afresh and runs them round by round, in an order that is reversed every other round.

    Every side takes as many steps a round as the slowest does in about `round_seconds`. Raises RuntimeError where a
    side ends early; its traceback is on standard error.
    """
    with contextlib.ExitStack() as stack:
        pipes = {side.name: stack.enter_context(_worker(side)) for side in sides}
        reports = {name: _receive(name, pipe) for name, pipe in pipes.items()}
        slowest = max(_turn(name, pipe, CALIBRATION_STEPS) for name, pipe in pipes.items()) / CALIBRATION_STEPS
        steps = max(CALIBRATION_STEPS, math.ceil(round_seconds / slowest))
        seconds: dict[str, list[float]] = {name: [] for name in pipes}
        for index in range(num_rounds):
            for name in list(pipes)[:: -1 if index % 2 else 1]:
                seconds[name].append(_turn(name, pipes[name], steps))
        for pipe in pipes.values():
            pipe.send(0)
    return Launch(steps, seconds, reports)


@contextlib.contextmanager
def _worker(side: Side) -> Iterator[Connection]:
    os.environ.update(**ONE_THREAD, TORCHINDUCTOR_CACHE_DIR=str(COMPILE_CACHE.resolve()))
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_run, args=(side, there), daemon=True)
    process.start()
    there.close()
    try:
        yield here
        process.join()
    finally:
        process.terminate()
        process.join()


def _run(side: Side, pipe: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    side.run(Turns(pipe), *side.arguments)


def _turn(name: str, pipe: Connection, steps: int) -> float:
    pipe.send(steps)
    return _receive(name, pipe)


def _receive(name: str, pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError(f"{name} ended early: its traceback is above") from None


def paired_ratio(launches: list[Launch], slow: str, fast: str) -> tuple[float, tuple[float, float]]:
    """Median over all rounds of slow / fast and its 95% interval, by a bootstrap with a fixed seed.

    Launches are resampled, then rounds within each: where memory happens to lie makes two launches of the same code
    differ by more than two rounds do.
    """
    ratios = [np.array(one.seconds[slow]) / np.array(one.seconds[fast]) for one in launches]
    generator = np.random.default_rng(0)
    medians = [
        np.median(np.concatenate([generator.choice(ratios[pick], len(ratios[pick])) for pick in picks]))
        for picks in generator.integers(len(ratios), size=(RESAMPLES, len(ratios)))
    ]
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(np.concatenate(ratios))), (float(low), float(high))
