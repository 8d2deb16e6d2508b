"""Laws fitted now to fixed tables of simulated runs, one for every way to resample, and the law of the checkout.

A table is the same at every check, so that what the estimator makes of it moves only when the estimator does.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analysis.regression import inside, relative_difference
from experiments.check.row import REMEDY, Row, missing_rows
from experiments.project import CODE_ROOT
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd

    from experiments.bench.designs import Design

DRAWS, STARTS = 400, 16
BEYOND = 10.0  # times the most compute of the table: the budget of the forecast
SEEDS = 5  # cells a size: as few as whole cells are resampled of
WIDER = 1.25  # what a width may be of the baseline's, or the other way round, before it is a regression
# Of half the interval, what the same estimator may differ by on another processor: with OpenBLAS's kernels for Haswell
# and Nehalem and numpy without AVX512, and without AVX2, values and widths moved by 1.4e-8 at most.
REPRODUCED = 1e-4
CHECKOUT = "checkout"


def tables() -> "Iterator[tuple[Design, pd.DataFrame]]":
    """Simulated runs of the laptop's grid, of a rectangle with SEEDS cells a size, and runs without trunks."""
    import numpy as np
    import pandas as pd

    from experiments.bench.designs import TrueNoise, independent_runs, laptop_grid, rectangle

    one = rectangle()
    runs = [one.points.assign(cell=one.points["cell"] + f"-s{seed}") for seed in range(SEEDS)]
    several = replace(one, name="seeds", points=pd.concat(runs, ignore_index=True))
    chosen = ((laptop_grid(), 0.004, 0.002), (several, 0.01, 0.002), (independent_runs(), 0.01, 0.0))
    for index, (design, cell, branch) in enumerate(chosen):
        noise_1N, _ = TrueNoise(cell, branch, falling=False).draw(design, 1, np.random.default_rng(index))
        loss_N = design.truth.loss(design.points["params"], design.points["tokens"]) * np.exp(noise_1N[0])
        yield design, design.points.assign(loss=loss_N)


def measure() -> dict[str, Any]:
    """What `fit` and `forecast` say of each table, and the checkout's own law; some ten seconds."""
    from analysis.params import FitParams
    from analysis.scaling import fit_law

    found = {}
    for design, points in tables():
        try:
            law = fit_law(points, FitParams(starts=STARTS, bootstrap=DRAWS))
        except ValueError as refusal:  # of a table that identifies its law
            found[design.name] = {"refused": str(refusal)}
        else:
            found[design.name] = numbers_of(law, BEYOND * float(points["flops"].max())) | {"truth": design.truth.params}
    return {"tables": found, CHECKOUT: checkout_law()}


def numbers_of(law: dict[str, Any], flops: float) -> dict[str, Any]:
    """Values with their 95% intervals, by name, and the mean relative width of the intervals on held-out runs."""
    from analysis.forecast import Forecaster

    values = {name: [value, law["ci95"][name]] for name, value in law["params"].items()}
    values["a"] = [law["exponents"]["a"], law["exponents"]["a_ci95"]]
    forecast = Forecaster.of(law).best(flops)
    values["forecast"] = [forecast["loss"], forecast["pi95"]]
    return {"values": values, "heldout_width": law["heldout"] and law["heldout"]["pi95_mean_width"]}


def checkout_law() -> dict[str, Any] | None:
    """results/law.json, where it is there and of the points beside it."""
    from analysis.points import file_digest

    path, points = CODE_ROOT / "results" / "law.json", CODE_ROOT / "results" / "points.csv"
    if not path.exists() or not points.exists():
        return None
    law = store.read_json(path)
    if law["inputs"].get(points.name) != file_digest(points):
        return None
    return {name: [value, law["ci95"][name]] for name, value in law["params"].items()}


def compare(kept: dict[str, Any], now: dict[str, Any], exactly: bool) -> list[Row]:
    """For each table a row a value, a row a width, and one of held-out widths; then the checkout's parameters.

    exactly: of no account here; a fit is reproduced to REPRODUCED everywhere.
    """
    rows = missing_rows("law", kept["tables"], now["tables"])
    for name in (name for name in kept["tables"] if name in now["tables"]):
        rows += compare_table(name, kept["tables"][name], now["tables"][name])
    return [*rows, *compare_checkout(kept.get(CHECKOUT), now[CHECKOUT])]


def compare_checkout(kept: dict[str, Any] | None, now: dict[str, Any] | None) -> list[Row]:
    """The rows of the checkout's own law; one that says which side has none."""
    if kept is None or now is None:
        side = "this checkout" if now is None else "the baseline"
        reason = f"{side} has no results/law.json of its results/points.csv"
        return [Row("law", CHECKOUT, None, None, "skipped", reason)]
    rows = missing_rows("law", *([f"{CHECKOUT}/{name}" for name in one] for one in (kept, now)))
    for name in (name for name in kept if name in now):
        (value, ends), (there, _) = kept[name], now[name]
        if inside(there, ends):
            rows.append(Row("law", f"{CHECKOUT}/{name}", value, there, "same", f"inside {interval_text(ends)}"))
        else:
            reason = f"results/law.json is outside the baseline's {interval_text(ends)}: {REMEDY}"
            rows.append(Row("law", f"{CHECKOUT}/{name}", value, there, "regressed", reason))
    return rows


def compare_table(table: str, kept: dict[str, Any], now: dict[str, Any]) -> list[Row]:
    """The rows of one simulated table."""
    if "refused" in now:
        was = "refused" if "refused" in kept else "fitted"
        return [Row("law", table, was, "refused", "regressed", f"{now['refused']}: {REMEDY}")]
    if "refused" in kept:
        return [Row("law", table, "refused", "fitted", "incomparable", f"the baseline's fit was refused: {REMEDY}")]
    rows = missing_rows("law", [f"{table}/{n}" for n in kept["values"]], [f"{table}/{n}" for n in now["values"]])
    for name, (value, ends) in kept["values"].items():
        if name not in now["values"]:
            continue
        there, its_ends = now["values"][name]
        rows.append(judge_value(f"{table}/{name}", value, ends, there))
        rows.append(judge_width(f"{table}/{name} width", ends[1] - ends[0], its_ends[1] - its_ends[0]))
    name, width, there = f"{table}/held-out width", kept.get("heldout_width"), now["heldout_width"]
    if width is None or there is None:
        return rows + missing_rows("law", [name] * (width is not None), [name] * (there is not None))
    return [*rows, judge_width(name, width, there)]


def judge_value(name: str, value: float, ends: list[float], there: float) -> Row:
    """Outside the baseline's interval is a regression, elsewhere than the baseline a change."""
    moved = abs(there - value) / (0.5 * (ends[1] - ends[0]))
    if not inside(there, ends):
        reason = f"outside the baseline's {interval_text(ends)}: {REMEDY}"
        return Row("law", name, value, there, "regressed", reason)
    if moved > REPRODUCED:
        reason = f"moved by {moved:.2g} of half the interval, {REPRODUCED:g} is allowed: {REMEDY}"
        return Row("law", name, value, there, "changed", reason)
    return Row("law", name, value, there, "same", f"within {REPRODUCED:g} of half the interval")


def judge_width(name: str, width: float, there: float) -> Row:
    """Intervals much wider or narrower than the baseline's are a regression, a little so a change."""
    ratio = there / width
    if not 1 / WIDER <= ratio <= WIDER:
        return Row("law", name, width, there, "regressed", f"{ratio:.3g} times as wide, {WIDER:g} is allowed: {REMEDY}")
    if relative_difference(width, there) > REPRODUCED:
        return Row("law", name, width, there, "changed", f"{ratio:.4g} times as wide: {REMEDY}")
    return Row("law", name, width, there, "same", f"within {REPRODUCED:g} of it")


def interval_text(ends: list[float]) -> str:
    """An interval in a sentence."""
    return f"[{ends[0]:.4g}, {ends[1]:.4g}]"
