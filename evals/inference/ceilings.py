"""What the machine could do: bandwidth of memory and speed of matrix products, measured in the run they judge."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from evals.inference.protocol import timed

BYTES = 1 << 28
SIZE = 1024
REPEATS = 7


@dataclass(frozen=True)
class Ceilings:
    """Bytes a second read by one thread, and FLOPs a second of its square matrix products by precision."""

    bytes_per_second: float
    flops_per_second: dict[str, float]


def measure_ceilings(device: torch.device) -> Ceilings:
    """The best of several tries each: other work on the machine only ever slows one down."""
    words = torch.ones(BYTES // 4, device=device)
    bandwidth = BYTES / _best(lambda: words.sum(), device)
    flops = {}
    for name, dtype in {"float32": torch.float32, "bfloat16": torch.bfloat16}.items():
        left, right = (torch.randn(SIZE, SIZE, device=device).to(dtype) for _ in range(2))
        flops[name] = 2 * SIZE**3 / _best(lambda left=left, right=right: left @ right, device)
    return Ceilings(bandwidth, flops)


def _best(work: Callable[[], object], device: torch.device) -> float:
    return min(timed(work, device) for _ in range(REPEATS))
