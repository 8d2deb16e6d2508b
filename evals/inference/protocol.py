"""Paired timing in one process: two ways of doing the same thing take turns, and what counts is the ratio of a turn.

A slow minute of the machine falls on both sides alike, raw seconds are kept, and a control in which both sides are the
same shows what ratio is still nothing.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
import torch

CONTROLS = 20
MOST_TURNS = 31  # half the error of seven; of more a row's process, which is drawn once, would be what is left
CONFIDENCE = 0.95
ORDERS = np.random.default_rng(0)  # of the works in a turn


@dataclass(frozen=True)
class Pairs:
    """Seconds of both sides in every turn."""

    baseline: list[float]
    technique: list[float]

    @property
    def ratios(self) -> np.ndarray:
        """How many times faster the technique was, a turn each."""
        return np.array(self.baseline) / np.array(self.technique)

    def ratio(self) -> tuple[float, tuple[float, float]]:
        """Median of the turns and its 95% interval."""
        return median_interval(self.ratios)


def median_interval(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Median, and the two of the values that hold the true median between them with 95% probability or more.

    Distribution-free, by the sign test (Thompson 1936): how many of n values lie below their median is binomial. Of 9
    the second and the second last: 96.1%; of 11 98.8%. Fewer than six cannot give 95%: of five, all of them, it is
    93.8%.
    """
    ordered = np.sort(values)
    below = max(1, int(scipy.stats.binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5)))
    return float(np.median(ordered)), (float(ordered[below - 1]), float(ordered[-below]))


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the device's queue included."""
    synchronise(device)
    began = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def take_turns(
    baseline: Callable[[], object],
    technique: Callable[[], object],
    num_pairs: int,
    device: torch.device,
    least_seconds: float = 0.0,
) -> Pairs:
    """Times both sides in turns, as `interleaved` does; both are to be warm."""
    return Pairs(*interleaved([baseline, technique], num_pairs, device, least_seconds))


def interleaved(
    works: Sequence[Callable[[], object]], num_turns: int, device: torch.device, least_seconds: float = 0.0
) -> list[list[float]]:
    """Seconds of each work in every turn, whose order is drawn.

    By turns that only reversed it, what comes round with them (Python collects garbage every so many calls) would fall
    on one side again and again. Drawn, a turn of equal works is a fair coin whatever the machine does (Fisher 1935),
    and that is all that the interval of `median_interval` asks.

    There are `num_turns`, or as many more, to MOST_TURNS, as take `least_seconds` by the first of them: what is over
    soon is noisy, and costs little to be told well. Their number is settled before they show a ratio.
    """
    seconds: list[list[float]] = [[] for _ in works]
    turn = 0
    while turn < num_turns:
        for place in ORDERS.permutation(len(works)):
            seconds[place].append(timed(works[place], device))
        turn += 1
        if turn == 1:
            num_turns = max(num_turns, min(MOST_TURNS, math.ceil(least_seconds / sum(map(sum, seconds)))))
    return seconds


def control(work: Callable[[], object], num_pairs: int, device: torch.device) -> dict[str, Any]:
    """The same work on both sides, `CONTROLS` times: how often its interval leaves out 1, and how far its ratio strays.

    Of as few turns as a row may have. detectable: the factor, up or down, that one in twenty of the control's ratios
    exceeds; what is less may be nothing.
    """
    told = [take_turns(work, work, num_pairs, device).ratio() for _ in range(CONTROLS)]
    return {
        "repetitions": CONTROLS,
        "pairs": num_pairs,
        "false_alarms": sum(not low <= 1 <= high for _, (low, high) in told),
        "ratios": [ratio for ratio, _ in told],
        "detectable": float(np.exp(np.quantile(np.abs(np.log([ratio for ratio, _ in told])), CONFIDENCE))),
    }
