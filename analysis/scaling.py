"""From the table of runs to law.json: fitted, held out, refitted on everything, with intervals and diagnostics."""

import time
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd

from analysis.bootstrap import scheme_for
from analysis.diagnostics import diagnose
from analysis.fit import Estimator, Observations, Solution, fit
from analysis.heldout import held_out, misfit_factor, rolling
from analysis.laws import LAWS, Array, Law, size_exponent
from analysis.params import FitParams
from analysis.points import validate_points
from analysis.predict import Estimate, estimate, middle_95
from analysis.selection import APPROACHES, rank

SCHEMA_VERSION = 2
# Other ways to count N; counting the head alone moved a from .835 to .706 in Porian et al. (2024).
ALTERNATIVE_COUNTS = ("params_total", "params_with_head")
RANGES = ("params", "tokens", "flops")


def fit_law(points: pd.DataFrame, params: FitParams, inputs: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The content of law.json: plain numbers, strings, lists and dicts only.

    The held-out cells are predicted by laws that never saw them; the law returned is then refitted on all points.
    `inputs` names the digests of the files behind the points. `heldout` is None where the table has too few sizes for
    it, and a diagnostic says so. Raises ValueError when the runs cannot identify a law, saying what to train.
    """
    began = time.process_time()
    num_dropped = points.attrs.get("num_dropped", 0)
    points = validate_points(points)
    fitted = estimate(points, params)
    solution, law = fitted.solution, fitted.solution.fitted.law
    refuse_meaningless(solution)
    rolls = rolling(points, params)
    held = held_out(points, params, rolls)
    misfit = misfit_factor(rolls, points["size"].unique().tolist())
    return {
        "schema_version": SCHEMA_VERSION,
        "law": law.name,
        "formula": law.formula,
        "estimator": params.estimator,
        "delta": params.delta,
        "num_points": len(points),
        "num_sizes": points["size"].nunique(),
        "num_cells": points["cell"].nunique(),
        "num_dropped": num_dropped,
        "objective": solution.objective,
        "params": solution.fitted.params,
        "unidentified": solution.unidentified,
        "ci95": intervals_of_parameters(fitted),
        "exponents": exponents(fitted),
        "starts": solution.starts,
        "starts_agreeing": solution.starts_agreeing,
        "bootstrap": {"scheme": scheme_for(points), "draws": params.bootstrap, "seed": params.seed},
        "noise": {
            "cell": fitted.noise.cell,
            "residual": fitted.noise.residual,
            "slope": fitted.noise.slope,
            "degrees": fitted.noise.degrees,
            "misfit": misfit,
            "log_work": list(astuple(fitted.noise.compute)),
            # An entry a draw, as with the laws: between cells, within, slope.
            "draws": [" ".join(f"{value:.4g}" for value in row) for row in drawn_noise(fitted)],
        },
        "heldout": held,
        "alternatives": alternatives(points, params),
        "approaches": approaches(points, params),
        "selection": rank(points, params),
        "diagnostics": diagnose(points, fitted, params, held),
        "range": {name: [float(points[name].min()), float(points[name].max())] for name in RANGES},
        # For forecasts: the laws that other runs might have given, a row a draw, in the solver's coordinates.
        "draws": [" ".join(f"{value:.6f}" for value in theta_K) for theta_K in fitted.theta_draws_PK],
        "cpu_seconds": time.process_time() - began,
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
    law, estimator = LAWS[params.law], Estimator(params.estimator, params.delta)
    for column in ALTERNATIVE_COUNTS:
        if column in points and "params" in law.columns:
            solution = fit(Observations.of(points, law, column), law, estimator, params.starts, params.seed)
            found[column] = {"params": solution.fitted.params, "objective": solution.objective}
            if shares_budget(law):
                found[column]["exponents"] = {"a": solution.fitted.a, "b": solution.fitted.b}
    return found


def approaches(points: pd.DataFrame, params: FitParams) -> dict[str, dict[str, Any]]:
    """Approaches 1 and 2 of Hoffmann et al. (2022) on the same table, or why it does not allow them."""
    found = {}
    for name, fit_approach in APPROACHES.items():
        try:
            found[name] = fit_approach(points, draws=params.bootstrap, seed=params.seed).to_dict()
        except ValueError as error:
            found[name] = {"refused": str(error).removeprefix("points: ")}
    return found


def shares_budget(law: Law) -> bool:
    """Whether the law has an optimal size and an optimal number of tokens."""
    return law.allocation(np.zeros((1, len(law.coordinates)))) is not None


def exponents(fitted: Estimate) -> dict[str, Any]:
    """a and b of N_opt ~ C^a, D_opt ~ C^b with intervals; empty for a law of one column."""
    law, theta_K = fitted.solution.fitted.law, fitted.solution.fitted.theta_K
    if not shares_budget(law):
        return {}
    a = size_exponent(law, theta_K[None])
    low, high = (float(end) for end in middle_95(size_exponent(law, fitted.theta_draws_PK)))
    return {"a": float(a[0]), "b": float(1 - a[0]), "a_ci95": [low, high], "b_ci95": [1 - high, 1 - low]}


def intervals_of_parameters(fitted: Estimate) -> dict[str, list[float]]:
    """The 95% interval of every parameter."""
    law = fitted.solution.fitted.law
    low_K, high_K = law.values(np.array(middle_95(fitted.theta_draws_PK)))
    return {name: [float(low), float(high)] for name, low, high in zip(law.names, low_K, high_K, strict=True)}


def drawn_noise(fitted: Estimate) -> Array:
    """Standard deviations between cells and within, and their slope with compute, (draws, 3)."""
    drawn = fitted.noise_draws
    return np.column_stack([drawn.cell_P, drawn.residual_P, drawn.slope_P])
