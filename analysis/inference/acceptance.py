"""How often a target accepts what a drafter proposes, on the logit scale, against the drafter's share of its size."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from analysis.inference.pooled import Pool, pooled_law
from analysis.inference.rows import IN_95, Row, grouped

RATES: tuple[Literal["greedy", "sampling"], ...] = ("greedy", "sampling")
DATA_ALONE = "data alone"  # a drafter that was trained like any member


def acceptance_laws(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """logit acceptance = constant + b ln(drafter's parameters / target's), and an offset a way of distillation.

    One a suite and rate. Members are the targets where there are three or more, else the drafters' sizes. A rate of 0
    or 1 has no logit; rows with one are counted in `num_left_out`.
    """
    laws: list[dict[str, Any]] = []
    for suite, alike in grouped(rows, ("suite",)):
        for rate in RATES:
            known = [row for row in alike if row[rate] is not None]
            own = [row for row in known if 0 < row[rate] < 1]
            if own:
                head = {"law": "acceptance", **suite, "rate": rate, "num_left_out": len(known) - len(own)}
                laws.append(head | _law(own, rate))
    return laws


def way_name(way: str | None) -> str:
    """How a drafter was made."""
    return DATA_ALONE if way is None else way


def _law(rows: Sequence[Row], rate: str) -> dict[str, Any]:
    ways = sorted({way_name(row["way"]) for row in rows}, key=lambda way: (way != DATA_ALONE, way))
    side = "target_params" if len({row["target_params"] for row in rows}) >= 3 else "drafter_params"
    columns = {"size_ratio": np.log([row["drafter_params"] / row["target_params"] for row in rows])}
    for way in ways[1:]:
        columns[way] = np.array([float(way_name(row["way"]) == way) for row in rows])
    value = np.array([_logit(row[rate]) for row in rows])
    noise = np.array([_logit_noise(row.get(f"{rate}_ci95")) for row in rows])
    members = np.array([float(row[side]) for row in rows])
    return {"axes": list(columns), "baseline_way": ways[0], "members": side} | pooled_law(
        Pool(columns, value, noise, members)
    )


def _logit(rate: float) -> float:
    return math.log(rate / (1 - rate))


def _logit_noise(ends: Sequence[float] | None) -> float:
    """Standard error of the logit by the rate's 95% interval; 0 where an end has no logit or none was measured."""
    if ends is None or not 0 < ends[0] <= ends[1] < 1:
        return 0.0
    return (_logit(ends[1]) - _logit(ends[0])) / IN_95
