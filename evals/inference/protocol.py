"""Paired timing in one process: two ways of doing the same thing take turns, and what counts is the ratio of a turn.

A slow minute of the machine falls on both sides alike, raw seconds are kept, and a control in which both sides are the
same shows what ratio is still nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

RESAMPLES = 2_000
CONTROLS = 20
CONFIDENCE = 0.95


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
        """Median of the turns and its 95% interval, by a bootstrap with a fixed seed."""
        ratios = self.ratios
        draws = np.random.default_rng(0).integers(len(ratios), size=(RESAMPLES, len(ratios)))
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(np.median(ratios[draws], axis=1), [tail, 1 - tail])
        return float(np.median(ratios)), (float(low), float(high))


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the device's queue included."""
    _synchronise(device)
    began = time.perf_counter()
    work()
    _synchronise(device)
    return time.perf_counter() - began


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def take_turns(
    baseline: Callable[[], object],
    technique: Callable[[], object],
    num_pairs: int,
    device: torch.device,
) -> Pairs:
    """Times both sides `num_pairs` times, the order reversed every other time; both are to be warm."""
    pairs = Pairs([], [])
    sides = [(baseline, pairs.baseline), (technique, pairs.technique)]
    for index in range(num_pairs):
        for work, seconds in sides[:: -1 if index % 2 else 1]:
            seconds.append(timed(work, device))
    return pairs


def control(work: Callable[[], object], num_pairs: int, device: torch.device) -> dict[str, Any]:
    """The same work on both sides, `CONTROLS` times: how often its interval leaves out 1, and how far its ratio strays.

    detectable: the largest factor, up or down, that an interval of the control reached; what is less may be nothing.
    """
    told = [take_turns(work, work, num_pairs, device).ratio() for _ in range(CONTROLS)]
    return {
        "repetitions": CONTROLS,
        "false_alarms": sum(not low <= 1 <= high for _, (low, high) in told),
        "ratios": [ratio for ratio, _ in told],
        "detectable": max(max(high, 1 / low) for _, (low, high) in told),
    }
