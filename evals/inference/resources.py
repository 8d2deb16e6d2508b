"""What a call takes besides its time in turns: when its tokens are there, and the most memory it needs.

Both are taken in calls of their own, so that no turn is disturbed.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evals.inference.contest import Stream
from evals.inference.protocol import synchronise

LATENCY_CALLS = 3
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Latency:
    """Hears of tokens; of each prompt the seconds to its first token, and a token after it.

    Tokens that come together share the time of their step. A prompt's time begins where its computation does.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.first: list[float] = []
        self.later: list[float] = []
        self._reading = False
        self._last = 0.0

    def __call__(self, num_tokens: int) -> None:
        """A prompt is begun (0), or so many tokens are there."""
        synchronise(self.device)
        now = time.perf_counter()
        if self._reading and num_tokens:
            self.first.append(now - self._last)
        elif num_tokens:
            self.later += [(now - self._last) / num_tokens] * num_tokens
        self._reading, self._last = num_tokens == 0, now


def latencies(streams: tuple[Stream, Stream], device: torch.device) -> dict[str, Any]:
    """Figures of a row: median seconds to the first token, median and 95th percentile of a token after it.

    The percentiles are over all tokens of all rows; both sides take turns.
    """
    heard = [Latency(device) for _ in streams]
    for _ in range(LATENCY_CALLS):
        for stream, latency in zip(streams, heard, strict=True):
            stream(latency)
    told: dict[str, Any] = {}
    for name, latency in zip(("baseline_", ""), heard, strict=True):
        told[f"{name}seconds_to_first_token"] = float(np.median(latency.first))
        if latency.later:
            p50, p95 = np.percentile(latency.later, [50, 95])
            told[f"{name}seconds_per_token"] = {"p50": float(p50), "p95": float(p95)}
    return told


class Memory:
    """The most memory a call has in use, above what was in use before any model was loaded.

    Made before the models are. On an accelerator: what torch had allocated. On the cpu: resident pages of the process,
    which hold the weights of both sides and what compiling left behind; the two sides of a row compare.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.before = self._highest(lambda: None)

    def peak(self, work: Callable[[], object]) -> int | None:
        """Bytes; None where the system does not tell."""
        highest = self._highest(work)
        return None if highest is None or self.before is None else highest - self.before

    def _highest(self, work: Callable[[], object]) -> int | None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            work()
            return torch.cuda.max_memory_allocated(self.device)
        if not CLEAR.exists():  # Linux alone forgets the highest mark when asked to
            return None
        CLEAR.write_text("5")
        work()
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
