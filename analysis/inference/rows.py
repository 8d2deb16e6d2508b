"""Rows of results/inference.json: those with a speed, by what they share, and the noise that their samples show.

Axes: S draws, I turns of a row.
"""

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from analysis.inference.forms import Array

Row = Mapping[str, Any]
# What is compared with what, on which suite's members: other data are another family.
CONTEST = ("kind", "technique", "family", "suite", "dtype", "device", "metric", "against")
SETTING = ("prompt", "output", "batch")
DRAWS = 1000
IN_95 = 2 * float(norm.ppf(0.975))  # standard errors between the ends of a 95% interval


def measured(rows: Iterable[Row]) -> list[Row]:
    """Rows with a speed: those whose checks held."""
    return [row for row in rows if row["status"] == "ok"]


def of_family(rows: Iterable[Row]) -> list[Row]:
    """Of trained members: a law is of one controlled family, and random weights are none of it."""
    return [row for row in rows if row["trained"]]


def grouped(rows: Iterable[Row], fields: Sequence[str]) -> list[tuple[dict[str, Any], list[Row]]]:
    """Rows by what they share of these fields, in the order of their first; a field that a row lacks is None."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in fields), []).append(row)
    return [(dict(zip(fields, key, strict=True)), own) for key, own in groups.items()]


def drawn_log_ratios(row: Row, seed: int = 0) -> Array:
    """ln ratio of a row with a speed, its turns drawn again, (S,).

    Raises ValueError for a row without its turns.
    """
    if not row.get("seconds"):
        raise ValueError(f"the row of {row['technique']} on {row['model']} has no seconds: measure it again")
    rng = np.random.default_rng([seed, zlib.crc32(repr((row["technique"], row["model"], row["ratio"])).encode())])
    turns_I = np.log(np.array(row["seconds"]["baseline"]) / np.array(row["seconds"]["technique"]))
    return np.median(turns_I[rng.integers(len(turns_I), size=(DRAWS, len(turns_I)))], axis=1)


def turn_noise(row: Row) -> float:
    """Standard error of a row's ln ratio, by its turns drawn again.

    Not by the interval, which the sign test makes the whole range of seven turns. What differs from process to process
    is not in it: that shows around a law.
    """
    return float(drawn_log_ratios(row).std())


def log_noise(ends: Sequence[float] | None) -> float:
    """Standard error of a logarithm by the 95% interval of its number; 0 where none was measured or its ends fail."""
    if ends is None or not 0 < ends[0] <= ends[1]:
        return 0.0
    return math.log(ends[1] / ends[0]) / IN_95


def counted(number: int, noun: str) -> str:
    """One member, 2 members."""
    return f"{number} {noun}" + "s" * (number != 1)
