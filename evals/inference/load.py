"""Requests that arrive at random, served one by one, in whole batches or in a batch that they join as they come.

Computing takes the time it takes; waiting for an arrival takes none: the clock jumps to it. So an hour of light load is
measured in seconds, and throughput and latencies are those of a server that was idle in between.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from transformers import PreTrainedModel

from models.decoding.batching import Batch

Policy = Literal["sequential", "static", "continuous"]
POLICIES: tuple[Policy, ...] = ("sequential", "static", "continuous")


@dataclass(frozen=True)
class Request:
    """A prompt, how many tokens are to follow it, and when it arrives, in seconds."""

    prompt: list[int]
    num_tokens: int
    arrival: float


@dataclass
class Served:
    """What a request got, and when its first and its last token were there."""

    tokens: list[int]
    first: float
    last: float


def poisson_arrivals(num_requests: int, per_second: float, seed: int) -> list[float]:
    """Arrival times of a Poisson process, from its first event on. Raises ValueError for a rate that is not above 0."""
    if not per_second > 0:
        raise ValueError(f"arrival rate {per_second}: give requests a second above 0")
    return np.random.default_rng(seed).exponential(1 / per_second, num_requests).cumsum().tolist()


def serve(model: PreTrainedModel, requests: Sequence[Request], policy: Policy, max_rows: int) -> list[Served]:
    """Serves the requests in the order of their arrival.

    sequential: a batch of one row. static: whoever waits when the last batch is done, `max_rows` at most, together to
    the end of the longest, for which the others' rows go on. continuous: whoever waits joins as soon as a row is free.
    """
    batch = Batch(model, 1 if policy == "sequential" else max_rows)
    waiting = sorted(range(len(requests)), key=lambda key: requests[key].arrival)
    served: dict[int, Served] = {}
    now = 0.0
    while waiting or batch.rows:
        if not batch.rows and requests[waiting[0]].arrival > now:
            now = requests[waiting[0]].arrival
        began = time.perf_counter()
        joining = [key for key in waiting[: batch.num_free] if requests[key].arrival <= now]
        if joining and (policy == "continuous" or not batch.rows):
            waiting = waiting[len(joining) :]
            wanted = [requests[key].num_tokens for key in joining]
            if policy == "static":
                wanted = [max(wanted)] * len(wanted)
            rows = batch.join([(key, requests[key].prompt, num) for key, num in zip(joining, wanted, strict=True)])
        else:
            rows = batch.step()
        now += time.perf_counter() - began
        for row in rows:
            entry = served.setdefault(row.key, Served([], now, now))
            if len(row.tokens) <= requests[row.key].num_tokens:
                entry.tokens, entry.last = list(row.tokens), now
    return [served[key] for key in range(len(requests))]


def summary(requests: Sequence[Request], served: Sequence[Served]) -> dict[str, Any]:
    """Tokens a second from the first arrival to the last token; seconds to the first token and a token after it."""
    tokens = sum(len(one.tokens) for one in served)
    span = max(one.last for one in served) - min(request.arrival for request in requests)
    first = [one.first - request.arrival for request, one in zip(requests, served, strict=True)]
    later = [(one.last - one.first) / (len(one.tokens) - 1) for one in served if len(one.tokens) > 1]
    return {
        "tokens_per_second": tokens / span,
        "seconds_to_first_token": _percentiles(first),
        "seconds_per_token": _percentiles(later),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{level}": float(np.percentile(seconds, level)) for level in (50, 95)} if seconds else {}
