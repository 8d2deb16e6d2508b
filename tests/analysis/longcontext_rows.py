"""A table of long-context rows in which the true score of every arm is known."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.paired import contrasts, mean_interval
from evals.longcontext.world import WINDOW

READINGS = {
    "semniah": "1", "chain": "k", "count": "n", "argmax": "n", "compare": "n", "count_by_user": "n",
    "count_by_date": "n", "sempairs": "n, n^2 output", "truepairs": "n^2", "statelog": "n, sequential",
}  # fmt: skip
LENGTHS = (1, 4, 16, 64, 256)
# The true score at one window, and what is left of it at every doubling.
ARMS: dict[tuple[str, str | None], tuple[float, float]] = {
    ("direct", None): (0.95, 0.6), ("truncation", None): (0.95, 0.75), ("bm25", None): (0.9, 0.8),
    ("dense", None): (0.9, 0.8), ("agentic", None): (0.9, 0.85), ("summary", None): (0.9, 0.9),
    ("map-reduce", None): (0.95, 0.95), ("offload", None): (0.5, 0.9), ("rlm-0", "sealed"): (0.4, 0.9),
    ("rlm-1", "sealed"): (0.97, 1.0), ("rlm-1", "open"): (0.97, 0.99), ("rlm-2", "sealed"): (0.96, 1.0),
}  # fmt: skip
# Where recursion gains nothing: on these the other arm is as good as rlm-1, or always right.
AS_GOOD: dict[str, tuple[str, float]] = {"semniah": ("bm25", 1.0), "statelog": ("summary", 1.0)}
LOST_ON = "statelog"  # here rlm-1 is hardly ever right
CHANCE = 0.08
READS_ALL = ("summary", "map-reduce", "rlm-1", "rlm-2")


def truth(task: str, arm: tuple[str, str | None], windows: int) -> float:
    """The true mean score."""
    if AS_GOOD.get(task, ("",))[0] == arm[0]:
        return AS_GOOD[task][1]
    if task == LOST_ON and arm[0].startswith("rlm"):
        return 0.1
    start, kept = ARMS[arm]
    return max(CHANCE, start * kept ** np.log2(windows))


def row(task: str, arm: tuple[str, str | None], windows: int, num_items: int) -> dict[str, Any]:
    rng = np.random.default_rng(zlib.crc32(f"{task} {arm} {windows}".encode()))
    scores = (rng.random(num_items) < truth(task, arm, windows)).astype(float)
    tokens = WINDOW * (1.3 * windows if arm[0] in READS_ALL else 1.5)
    return {
        "task": task, "reading": READINGS[task], "arm": arm[0], "profile": arm[1], "length_windows": windows,
        "length_tokens": WINDOW * windows, "num_items": num_items, "accuracy": float(scores.mean()),
        "ci95": list(mean_interval(scores.tolist())), "chance": CHANCE, "calls": tokens / WINDOW, "tokens": tokens,
        "tokens_by_item": [tokens] * num_items, "seconds": tokens / 1e4, "scores": scores.tolist(),
        "failed": 0, "exhausted": 0, "reason": "",
    }  # fmt: skip


def gates(tasks: Sequence[str], windows: int, num_items: int) -> dict[str, list[dict[str, Any]]]:
    """Of the first task a shuffled leaf scores above chance, and the oracles fall short."""

    def entry(task: str, accuracy: float) -> dict[str, Any]:
        spread = [max(0.0, accuracy - 0.05), min(1.0, accuracy + 0.05)]
        return {
            "task": task, "length_windows": windows, "accuracy": accuracy, "ci95": spread, "chance": CHANCE,
            "num_items": num_items,
        }  # fmt: skip

    first, low, high = tasks[0], {}, {}
    for task in tasks:
        low[task], high[task] = entry(task, CHANCE), entry(task, 0.9 if task == first else 1.0)
    return {
        "shuffled_leaf": [entry(first, 0.4), *(low[task] for task in tasks[1:])],
        "constant_leaf": list(low.values()),
        "oracle_leaf": list(high.values()),
        "oracle_program": list(high.values()),
        "regex": [{**one, "name": "lines"} for one in low.values()],
        "bag_of_words": list(low.values()),
    }


def longcontext_table(
    tasks: Sequence[str] = tuple(READINGS),
    lengths: Sequence[int] = LENGTHS,
    arms: Sequence[tuple[str, str | None]] = tuple(ARMS),
    num_items: int = 40,
) -> dict[str, Any]:
    """The content of results/longcontext.json; `direct` stops at 16 windows, `truepairs` and `rlm-2` at 64."""
    longest = {"direct": 16, "truepairs": 64, "rlm-2": 64}
    rows = [
        row(task, arm, windows, num_items)
        for task in tasks
        for arm in arms
        for windows in lengths
        if windows <= min(longest.get(task, 1000), longest.get(arm[0], 1000))
    ]
    return {
        "schema_version": 1,
        "identity": "cd34",
        "rows": rows,
        "contrasts": contrasts(rows, ("rlm-1", "rlm-2")),
        "gates": gates(tasks, lengths[-1], num_items),
        "model": {
            "name": "policy/w0064-l4-s0", "params": 718_400, "params_non_embedding": 200_000.0,
            "trained_tokens": 4.1e6, "loss": 0.31, "digest": "ab12", "window": WINDOW,
            "reading_accuracy": {"kinds": 0.98, "facts": 0.951},
        },
        "world": {"lessons": 1000, "held_out": 8, "words": 1200, "seed": 0},
        "inputs": {"policy/w0064-l4-s0": "ab12"},
        "machine": {"revision": "0123abc"},
    }  # fmt: skip
