"""From the table of runs to law.json: fitted, held out, refitted on everything, with intervals."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.bootstrap import scheme_for
from analysis.fit import PARAMETERS, Observations, Solution, fit_hoffmann
from analysis.heldout import held_out, misfit_factor, rolling
from analysis.laws import Array
from analysis.params import FitParams
from analysis.points import validate_points
from analysis.predict import QUANTILES, estimate

# Other ways to count N; counting the head alone moved a from .835 to .706 in Porian et al. (2024).
ALTERNATIVE_COUNTS = ("params_total", "params_with_head")


def fit_law(points: pd.DataFrame, params: FitParams, inputs: Mapping[str, str] | None = None) -> dict:
    """The content of law.json: plain numbers, strings, lists and dicts only.

    The held-out cells are predicted by laws that never saw them; the law returned is then refitted on all points.
    `inputs` names the digests of the files behind the points. Raises ValueError when the runs cannot identify a law
    or leave nothing to hold out, saying what to train.
    """
    num_dropped = points.attrs.get("num_dropped", 0)
    points = validate_points(points)
    fitted = estimate(points, params)
    refuse_meaningless(fitted.solution)
    rolls = rolling(points, params)
    law, draws_PK = fitted.solution.law, fitted.theta_draws_PK
    size_exponent_P = draws_PK[:, 4] / (draws_PK[:, 3] + draws_PK[:, 4])
    return {
        "schema_version": 1,
        "law": "hoffmann",
        "estimator": "huber",
        "delta": params.delta,
        "num_points": len(points),
        "num_sizes": points["size"].nunique(),
        "num_cells": points["cell"].nunique(),
        "num_dropped": num_dropped,
        "objective": fitted.solution.objective,
        "params": law.to_dict(),
        "unidentified": fitted.solution.unidentified,
        "ci95": intervals_of_parameters(draws_PK),
        "exponents": {
            "a": law.a,
            "b": law.b,
            "a_ci95": interval(size_exponent_P),
            "b_ci95": interval(1 - size_exponent_P),
        },
        "starts": fitted.solution.starts,
        "starts_agreeing": fitted.solution.starts_agreeing,
        "bootstrap": {"scheme": scheme_for(points), "draws": params.bootstrap, "seed": params.seed},
        "noise": {
            "cell": fitted.noise.cell,
            "residual": fitted.noise.residual,
            "degrees": fitted.noise.degrees,
            "misfit": misfit_factor(rolls, points["size"].unique().tolist()),
        },
        "heldout": held_out(points, params, rolls),
        "alternatives": alternatives(points, params),
        "inputs": dict(inputs or {}),
    }


def refuse_meaningless(solution: Solution) -> None:
    """Raise ValueError when a parameter has no end: its interval would be the search box, not the data's."""
    if solution.meaningless:
        names = ", ".join(solution.meaningless)
        raise ValueError(f"points: the runs do not identify {names} of the law; widen the range of sizes and tokens")


def alternatives(points: pd.DataFrame, params: FitParams) -> dict[str, dict]:
    """The same law under other counts of N, as far as the table has them: parameters, exponents, objective."""
    found = {}
    for column in ALTERNATIVE_COUNTS:
        if column in points:
            solution = fit_hoffmann(Observations.of(points, column), params.delta, params.starts, params.seed)
            law = solution.law
            exponents = {"a": law.a, "b": law.b}
            found[column] = {"params": law.to_dict(), "exponents": exponents, "objective": solution.objective}
    return found


def intervals_of_parameters(draws_PK: Array) -> dict[str, list[float]]:
    """The middle 95% of A, B, E, alpha and beta over draws of theta."""
    values_PK = np.column_stack([np.exp(draws_PK[:, :3]), draws_PK[:, 3:]])
    return {name: interval(values_PK[:, k]) for k, name in enumerate(PARAMETERS)}


def interval(draws_P: Array) -> list[float]:
    """The middle 95% of the draws."""
    return [float(end) for end in np.percentile(draws_P, QUANTILES)]
