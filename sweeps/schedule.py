"""The learning rate: a short warm-up, a constant trunk, and a cooldown where a branch leaves it.

The cooldown is 1 - sqrt (Haegele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training
durations"): its end matches a cosine run of the same length, at the cost of the cooldown alone.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Fork:
    """Where a branch leaves the trunk (`start`) and ends (`end`), in optimiser steps."""

    start: int
    end: int


def fork(end: int, cooldown_share: float, warmup_steps: int) -> Fork:
    """The fork of a branch of `end` steps; the cooldown never reaches back into the warm-up."""
    return Fork(max(warmup_steps, end - round(cooldown_share * end)), end)


def rate_factor(step: int, warmup_steps: int, cooldown: Fork | None = None) -> float:
    """What the peak rate is multiplied by at a step counted from 0; `cooldown` is None on the trunk."""
    if cooldown is not None and step >= cooldown.start:
        return 1.0 - math.sqrt((step - cooldown.start) / (cooldown.end - cooldown.start))
    return min(1.0, (step + 1) / warmup_steps)
