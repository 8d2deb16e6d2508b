"""What a call takes besides its time in turns: when its tokens are there, and the most memory it needs.

Both are taken in calls of their own, so that no turn is disturbed.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evals.inference.contest import Held, Stream
from evals.inference.protocol import synchronise
from models.decoding.quantised import count_bytes
from models.decoding.static import StaticDecoder

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


def peak_bytes(work: Callable[[], object], held: Held, device: torch.device) -> int | None:
    """The most memory a side needs: weights and caches it keeps between calls, and what a call takes besides.

    The second is, on an accelerator, what torch allocates; on the cpu by how much the process grows, in pages. None
    where the system does not tell.
    """
    grown = _allocated(work, device) if device.type == "cuda" else _grown(work)
    return None if grown is None else kept_bytes(held) + grown


def kept_bytes(held: Held) -> int:
    """Bytes of weights, each once where several models share them, and of caches."""
    decoders = [one for one in held if isinstance(one, StaticDecoder)]
    models = [one.model if isinstance(one, StaticDecoder) else one for one in held]
    return count_bytes(torch.nn.ModuleList(models)) + sum(decoder.cached_bytes for decoder in decoders)


def _allocated(work: Callable[[], object], device: torch.device) -> int:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    return torch.cuda.max_memory_allocated(device) - before


def _grown(work: Callable[[], object]) -> int | None:
    """Free memory is first given back to the system, or the call would take that and not be seen to grow."""
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if give_back is None or not CLEAR.exists():  # Linux alone forgets the highest mark when asked to
        return None
    gc.collect()
    give_back(0)
    CLEAR.write_text("5")
    before = _highest()
    work()
    return _highest() - before


def _highest() -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
