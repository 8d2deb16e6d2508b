"""Quality laws: what a lossy technique costs in nats, against the size of the model and the tokens it was trained on.

A divergence that grows with the tokens and falls with the size, ln KL = a + b ln N + c ln D, is the form that Kumar et
al. (2024, "Scaling laws for precision") fitted to the loss that quantising after training adds.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.inference.members import law_in_params, member_points
from analysis.inference.pooled import Pool, pooled_law
from analysis.inference.rows import Row, grouped, log_noise

AXES = ("params", "tokens")


def quality_laws(precision: Sequence[Row]) -> list[dict[str, Any]]:
    """A technique's divergence in N and D together, and in N alone at every D."""
    laws: list[dict[str, Any]] = []
    for head, rows in grouped(precision, ("technique",)):
        told = [row for row in rows if row["status"] == "ok"]
        own = [row for row in told if row["kl"] > 0]
        left_out = {"num_left_out": len(told) - len(own)}  # no divergence at all has no logarithm
        if not own:
            continue
        laws.append({"law": "quality-pooled", **head, "axes": list(AXES), **left_out, **_pooled(own)})
        for tokens, alike in grouped(own, ("tokens",)):
            points = member_points((row["params"], math.log(row["kl"]), log_noise(row["kl_ci95"])) for row in alike)
            laws.append({"law": "quality", **head, **tokens, **law_in_params(points)})
    return laws


def _pooled(rows: Sequence[Row]) -> dict[str, Any]:
    """ln KL on ln N and ln D around their means: the constant is that of `reference`."""
    logs = {name: np.log([float(row[name]) for row in rows]) for name in AXES}
    pool = Pool(
        {name: log_R - log_R.mean() for name, log_R in logs.items()},
        np.log([row["kl"] for row in rows]),
        np.array([log_noise(row["kl_ci95"]) for row in rows]),
        np.array([float(row["params"]) for row in rows]),
    )
    return {"reference": {name: math.exp(log_R.mean()) for name, log_R in logs.items()}} | pooled_law(pool)
