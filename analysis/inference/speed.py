"""Speed laws: the ratio of a technique against the size of the model, and against everything else that varied."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.inference.members import law_in_params, member_points
from analysis.inference.pooled import Pool, pooled_law
from analysis.inference.rows import CONTEST, SETTING, Row, grouped, measured, of_family, turn_noise

# What a row is regressed on, in this order: what follows from those before it is left out and said.
AXES = ("params", "tokens", "batch", "prompt", "output")


def speed_laws(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A law in N at every setting of a technique, and where settings vary one regression over all of them."""
    laws: list[dict[str, Any]] = []
    for contest, own in grouped(of_family(measured(rows)), CONTEST):
        settings = grouped(own, SETTING)
        for setting, alike in settings:
            points = member_points((row["params"], math.log(row["ratio"]), turn_noise(row)) for row in alike)
            laws.append({"law": "speed", **contest, **setting, **law_in_params(points)})
        varied = [
            name for name in AXES if len({row[name] for row in own}) > 1 and None not in {row[name] for row in own}
        ]
        if set(varied) - {"params"}:
            laws.append({"law": "speed-pooled", **contest, "axes": varied, **_pooled(own, varied)})
    return laws


def _pooled(rows: Sequence[Row], axes: Sequence[str]) -> dict[str, Any]:
    """ln ratio on the logarithms of these axes, around their means: the constant is that of `reference`."""
    logs = {name: np.log([float(row[name]) for row in rows]) for name in axes}
    pool = Pool(
        {name: log_R - log_R.mean() for name, log_R in logs.items()},
        np.log([row["ratio"] for row in rows]),
        np.array([turn_noise(row) for row in rows]),
        np.array([float(row["params"]) for row in rows]),
    )
    return {"reference": {name: math.exp(log_R.mean()) for name, log_R in logs.items()}} | pooled_law(pool)
