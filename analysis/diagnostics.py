"""What a reader of a fit should know before trusting it: each finding has a name, a sentence and a remedy.

A finding never changes the fit. What leaves no law at all (exponents without an end, too few runs) is refused before,
in fit.py and scaling.py.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from analysis.fit import MIN_LEVELS, Observations
from analysis.laws import FLOPS_PER_PARAM_TOKEN, Array, Coordinate, Fitted
from analysis.params import FitParams
from analysis.predict import Estimate, estimate, middle_95

Severity = Literal["note", "warning"]
DROPPED = (1, 5)  # highest losses left out: one stray run, or a handful
DRAWS_WITHOUT = 200  # behind the interval without them: it is only asked whether a number lies inside
LEAST_AGREEMENT = 0.5  # share of starts that should end in the best minimum
MIN_DECADES = 2.0  # of compute: Hoffmann et al. (2022) had four
MIN_TABLE_FOR_DROPS = 20
# An exponent known to less than a factor of three either way says little about the next decade.
WIDEST_EXPONENT = 3.0
LEAST_FLOOR = 0.2  # lower end of E's interval over its estimate
# FLOPs over 6ND of one size: attention and head change it with the size and the sequence, not from run to run.
FLOPS_SPREAD = 1.05
CORRELATION_P = 0.01
EXACT = 1e-6  # residuals of ln L: below this they are the solver's and not the runs'


@dataclass(frozen=True)
class Finding:
    """One diagnostic, as law.json holds it."""

    name: str
    severity: Severity
    message: str
    remedy: str


def diagnose(points: pd.DataFrame, fitted: Estimate, params: FitParams, heldout: dict | None) -> list[dict[str, Any]]:
    """Every finding that the table and its fit give rise to, warnings first."""
    checks: tuple[Callable[[], Finding | None], ...] = (
        lambda: starts_disagree(fitted),
        lambda: exclusion_sensitivity(points, fitted, params),
        lambda: exponents_loose(fitted),
        lambda: floor_unidentified(fitted),
        lambda: narrow_compute(points),
        lambda: optimum_outside(points, fitted.solution.fitted),
        lambda: correlated_rows(points, fitted.solution.fitted),
        lambda: mixed_flops(points),
        lambda: repeated_tokens(points, fitted.solution.fitted),
        lambda: single_seed(points),
        lambda: nothing_held_out(heldout),
    )
    found = [finding for finding in (check() for check in checks) if finding is not None]
    return [asdict(finding) for finding in sorted(found, key=lambda finding: finding.severity != "warning")]


def starts_disagree(fitted: Estimate) -> Finding | None:
    """Few starts reach the best minimum: there may be a better one."""
    agreeing, starts = fitted.solution.starts_agreeing, fitted.solution.starts
    if agreeing >= LEAST_AGREEMENT * starts:
        return None
    message = f"{agreeing} of {starts} starts reached the best objective"
    return Finding("starts-disagree", "warning", message, "raise fit.starts, or give runs that identify the law better")


def exclusion_sensitivity(points: pd.DataFrame, fitted: Estimate, params: FitParams) -> Finding | None:
    """An exponent lies outside the interval that the table has for it without its few highest losses.

    It is that interval which counts: the one with them is as wide as such runs make it.
    """
    law, theta_K = fitted.solution.fitted.law, fitted.solution.fitted.theta_K
    if len(points) < MIN_TABLE_FOR_DROPS:
        return None
    fewer_draws = replace(params, bootstrap=min(params.bootstrap, DRAWS_WITHOUT))
    for count in DROPPED:
        kept = points.drop(points["loss"].nlargest(count).index).reset_index(drop=True)
        if any(kept[column].nunique() < MIN_LEVELS for column in law.columns):
            continue
        without = estimate(kept, fewer_draws)
        theta_without_K, (low_K, high_K) = without.solution.fitted.theta_K, _ends(without)
        for k, coordinate in enumerate(law.coordinates):
            if not _is_exponent(coordinate) or low_K[k] <= theta_K[k] <= high_K[k]:
                continue
            highest = f"the {count} highest losses" if count > 1 else "the highest loss"
            message = (
                f"with {highest} {coordinate.name} is {theta_K[k]:.3f}, without {theta_without_K[k]:.3f} "
                f"({low_K[k]:.3f} to {high_K[k]:.3f})"
            )
            remedy = "leave runs out by a rule stated beforehand (early, short or diverged runs) with --drop-highest"
            return Finding("exclusion-sensitivity", "warning", message, remedy)
    return None


def loose(fitted: Estimate) -> list[str]:
    """Exponents whose interval spans more than a factor of WIDEST_EXPONENT."""
    low_K, high_K = _ends(fitted)
    return [
        coordinate.name
        for k, coordinate in enumerate(fitted.solution.fitted.law.coordinates)
        if _is_exponent(coordinate) and high_K[k] > WIDEST_EXPONENT * low_K[k]
    ]


def exponents_loose(fitted: Estimate) -> Finding | None:
    """An exponent's interval spans more than a factor."""
    law, names = fitted.solution.fitted.law, loose(fitted)
    if not names:
        return None
    low_K, high_K = _ends(fitted)
    spans = [f"{law.names[k]} {low_K[k]:.2f} to {high_K[k]:.2f}" for k in map(law.names.index, names)]
    message = f"the runs leave {', '.join(spans)}: more than a factor of {WIDEST_EXPONENT:g}"
    return Finding("exponent-loose", "warning", message, "widen the range of sizes or tokens, or add seeds")


def floor_unidentified(fitted: Estimate) -> Finding | None:
    """The floor may be nothing: a law of this table says little of a loss far below it."""
    law = fitted.solution.fitted.law
    if "E" not in law.names:
        return None
    k = law.names.index("E")
    middle, low, high = (float(np.exp(ends[k])) for ends in (fitted.solution.fitted.theta_K, *_ends(fitted)))
    if low > LEAST_FLOOR * middle and "E" not in fitted.solution.unidentified:
        return None
    message = f"E is {middle:.2g}, {low:.2g} to {high:.2g}: the runs do not say where the loss ends"
    return Finding("floor-unidentified", "warning", message, "train longer and larger before extrapolating far")


def narrow_compute(points: pd.DataFrame) -> Finding | None:
    """Less than two decades of compute."""
    decades = float(np.log10(points["flops"].max() / points["flops"].min()))
    if decades >= MIN_DECADES:
        return None
    message = f"the runs span {decades:.1f} decades of compute"
    return Finding("narrow-compute", "warning", message, f"span {MIN_DECADES:g} decades before forecasting further")


def optimum_outside(points: pd.DataFrame, fitted: Fitted) -> Finding | None:
    """The best size of the largest budget is none that was trained."""
    if fitted.law.allocation(fitted.theta_K[None]) is None:
        return None
    flops = float((FLOPS_PER_PARAM_TOKEN * points["params"] * points["tokens"]).max())
    best = float(fitted.optimal(flops)[0])
    low, high = float(points["params"].min()), float(points["params"].max())
    if low <= best <= high:
        return None
    message = f"the best size at the largest budget ({flops:.2g} FLOPs) is {best:.3g}, outside {low:.3g} to {high:.3g}"
    return Finding("optimum-at-edge", "warning", message, "train sizes on both sides of it")


def correlated_rows(points: pd.DataFrame, fitted: Fitted) -> Finding | None:
    """Rows said to be independent runs whose residuals go together by size: checkpoints of the same run?"""
    if points["cell"].nunique() < len(points):
        return None
    residual_N = _residuals(points, fitted)
    groups = [residual_N[rows] for rows in points.groupby("params").indices.values() if len(rows) > 1]
    if len(groups) < 3:
        return None
    if np.abs(residual_N).max() < EXACT or float(stats.f_oneway(*groups).pvalue) > CORRELATION_P:
        return None
    message = "residuals of rows with the same params go together, as checkpoints of one run or as what the form misses"
    remedy = "if rows share a run, name it in columns size and cell: intervals then come from whole runs"
    return Finding("correlated-rows", "warning", message, remedy)


def mixed_flops(points: pd.DataFrame) -> Finding | None:
    """One size whose FLOPs over 6ND differ from row to row: two conventions in one table."""
    ratio = points["flops"] / (FLOPS_PER_PARAM_TOKEN * points["params"] * points["tokens"])
    spread = ratio.groupby(points["params"]).agg(lambda group: group.max() / group.min())
    if spread.max() < FLOPS_SPREAD:
        return None
    message = f"flops over 6ND differ {spread.max():.2f}-fold at params {spread.idxmax():.4g}"
    return Finding("mixed-flops", "warning", message, "count FLOPs one way in every row, or leave the column out")


def repeated_tokens(points: pd.DataFrame, fitted: Fitted) -> Finding | None:
    """Runs that saw tokens more than once under a law that counts every token as a new one."""
    columns = fitted.law.columns
    if "unique_tokens" not in points or "unique_tokens" in columns or "tokens" not in columns:
        return None
    epochs = points["tokens"] / points["unique_tokens"]
    if epochs.max() <= 1:
        return None
    message = (
        f"{(epochs > 1).sum()} of {len(points)} runs saw tokens more than once, up to {epochs.max():.2g} times, and "
        f"{fitted.law.name} counts each time as new text"
    )
    remedy = "leave them out, fit them by --law repeated, or see by `scalelab saturation` what repeating costs"
    return Finding("repeated-tokens", "warning", message, remedy)


def single_seed(points: pd.DataFrame) -> Finding | None:
    """No run was repeated: what seeds change and what the form misses cannot be told apart."""
    if points.duplicated(["size", "tokens"]).any():
        return None
    message = "no size and token count has two runs: intervals take what the law misses for noise"
    return Finding("single-seed", "note", message, "repeat one or two of the cheapest cells with another seed")


def nothing_held_out(heldout: dict | None) -> Finding | None:
    """Too few sizes to predict any that the fit has not seen."""
    if heldout is not None:
        return None
    message = "too few sizes or cells to hold any out: nothing here shows that the law predicts"
    return Finding("nothing-held-out", "warning", message, "train two larger sizes, or more seeds")


def _residuals(points: pd.DataFrame, fitted: Fitted) -> Array:
    observations = Observations.of(points, fitted.law)
    return observations.log_loss_N - fitted.law.log_loss(fitted.theta_K[None], observations.logs)[0]


def _ends(fitted: Estimate) -> tuple[Array, Array]:
    """The 95% interval of every coordinate, (K,) each, as law.json has it."""
    return middle_95(fitted.theta_draws_PK)


def _is_exponent(coordinate: Coordinate) -> bool:
    """Neither a factor nor held at a value."""
    return not coordinate.log and coordinate.low < coordinate.high
