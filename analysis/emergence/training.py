"""Breakthroughs in training time: the checkpoints of one run, apart from the comparison of runs.

Checkpoints of a run share its weights' history: they are no replicates, and never stand beside one another in a test
across scales. Within a run they show when an ability comes.
"""

import zlib
from typing import Any

import numpy as np
import pandas as pd

from analysis.emergence.detect import flat_test
from analysis.emergence.estimate import NOTABLE_RISE, amplitude, place_of, powers
from analysis.emergence.evidence import ALPHA, MIN_SCALES, fit_freely
from analysis.emergence.scores import Scores


def last_checkpoints(rows: pd.DataFrame) -> pd.DataFrame:
    """The row of most compute of every run; all rows without a column `run`, and rows whose run is empty."""
    if "run" not in rows:
        return rows
    ordered = rows.sort_values("compute", kind="stable")
    named = ordered["run"].notna()
    last = ordered[named].drop_duplicates("run", keep="last")
    return rows.loc[sorted([*last.index, *ordered.index[~named]])]


def training_time(rows: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """An entry for every run with enough checkpoints: where, in tokens if the table has them, else compute, it rises.

    The threshold is None where no rise of NOTABLE_RISE is seen.
    """
    if "run" not in rows:
        return []
    axis = "tokens" if "tokens" in rows and rows["tokens"].notna().all() else "compute"
    found = []
    for run, checkpoints in rows.groupby("run", sort=False):
        if checkpoints[axis].nunique() < MIN_SCALES:
            continue
        x_N, value_N, num_items_N = (checkpoints[name].to_numpy(dtype=float) for name in (axis, "value", "num_items"))
        found.append(
            {"run": str(run), "axis": axis}
            | _breakthrough(checkpoints, Scores(np.log10(x_N), value_N, num_items_N), seed)
        )
    return found


def _breakthrough(checkpoints: pd.DataFrame, scores: Scores, seed: int) -> dict[str, Any]:
    task, metric, run = (str(checkpoints[name].iloc[0]) for name in ("task", "metric", "run"))
    rng = np.random.default_rng([seed, zlib.crc32(f"{task}\n{metric}\n{run}".encode())])
    fitted = fit_freely(scores)
    p_flat, rise = flat_test(scores, fitted, rng).p_rise, amplitude(scores, fitted.likeliest)
    midpoint = place_of(fitted).midpoint if p_flat <= ALPHA and rise >= NOTABLE_RISE else None
    return {
        "task": task,
        "metric": metric,
        "num_checkpoints": len(checkpoints),
        "p_flat": p_flat,
        "amplitude": rise,
        "threshold": None if midpoint is None else 10**midpoint.value,
        "threshold_ci95": None if midpoint is None else powers(midpoint),
    }
