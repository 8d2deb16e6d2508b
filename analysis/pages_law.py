"""The law on a page: table, figures, held-out runs, rivals and diagnostics, for `--html` and for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import figures, figures_isoflop
from analysis.laws import LAWS
from analysis.page import Section
from analysis.wording import percent, plain, plain_between, si

Law = Mapping[str, Any]
WAYS = {"params_total": "all parameters", "params_with_head": "with the output head"}
SCHEMES = {
    "cells": "whole cells resampled within each size",
    "runs": "runs resampled",
    "simulated": "new cells simulated around the law",
}
ORDER = ("E", "A", "alpha", "B", "beta")
MEANINGS = {
    "E": "E, irreducible loss", "alpha": "alpha, of size", "beta": "beta, of data", "a": "a, best size ~ C^a",
    "b": "b, best tokens ~ C^b",
}  # fmt: skip


def fit_page(points: pd.DataFrame, law: Law) -> tuple[str, list[Section]]:
    """What `scalelab fit --html` writes of a table of runs and its law."""
    return f"Scaling law of {', '.join(law['inputs']) or 'the runs'}", law_sections(points, law)


def law_sections(points: pd.DataFrame, law: Law) -> list[Section]:
    """The law with its figures, approaches 1 and 2 where the table allows them, its rivals and its diagnostics."""
    return [
        law_section(law),
        *figure_sections(points, law),
        *approach_sections(points, law),
        *heldout_sections(points, law),
        *selection_sections(law),
        *alternative_sections(law),
        *diagnostic_sections(law),
    ]


def law_section(law: Law) -> Section:
    """Every parameter with its interval."""
    exponents = law["exponents"] or {}
    values = {**ordered(law["params"]), **{name: exponents[name] for name in ("a", "b") if exponents}}
    ends = law["ci95"] | {name: exponents[f"{name}_ci95"] for name in ("a", "b") if exponents}
    rows = [(MEANINGS.get(name, name), plain(value, 4), plain_between(ends[name], 4)) for name, value in values.items()]
    noise, misfit = law["noise"], law["noise"]["misfit"]
    dropped = f" {law['num_dropped']} more did not finish." * bool(law["num_dropped"])
    note = (
        f"L = {law['formula']}, fitted to {law['num_points']} runs of {law['num_sizes']} sizes in {law['num_cells']} "
        f"cells.{dropped} L in nats a token, N non-embedding parameters, D training tokens. Fitted by "
        f"{law['estimator']} (delta {law['delta']}) on log residuals; objective {law['objective']:.9g}, reached by "
        f"{law['starts_agreeing']} of {law['starts']} starts. Intervals hold 95% of {law['bootstrap']['draws']} "
        f"refitted draws ({SCHEMES[law['bootstrap']['scheme']]}). Noise on a loss: {percent(noise['cell'])} between "
        f"cells, {percent(noise['residual'])} within; rolling hold-outs "
        + (
            f"widen prediction intervals {misfit:.2f} times."
            if misfit > 1
            else "found nothing that the intervals miss."
        )
    )
    return Section("The law", note, None, ("", "estimate", "95% interval"), rows)


def ordered(params: Mapping[str, float]) -> dict[str, float]:
    """The parameters as the law is read, and others after them."""
    return {
        name: params[name] for name in sorted(params, key=lambda name: (name not in ORDER, [*ORDER, name].index(name)))
    }


def figure_sections(points: pd.DataFrame, law: Law) -> list[Section]:
    """Runs and law as far as the law's columns allow: one that reads the unique tokens has no one curve a size, and
    its figures would draw it as if nothing repeated."""
    content, columns = dict(law), set(LAWS[law["law"]].columns)
    both = columns == {"params", "tokens"}
    if "unique_tokens" in columns:
        return [Section("Figures", "The law depends on the unique tokens of every run: no curve shows all runs.")]
    if "tokens" in columns:
        note = (
            "Each point is the end of one training run; curves are the law, fitted to all points together. "
            "Symbols tell seeds apart, bars are two standard errors of the evaluation."
        )
        drawn = [Section("Loss against tokens", note, figures.loss_against_tokens(points, content), name="loss")]
    else:
        drawn = [Section("Loss against parameters", "", figures.loss_against_params(points, content), name="loss")]
    if both:
        note = "The same law over parameters and tokens at once, runs in the colours of their size. Drag to turn it."
        drawn.append(Section("The fitted surface", note, figures.fitted_surface(points, content), name="surface"))
    if law["exponents"]:
        note = (
            "Each curve spends one budget on models of different size; its valley (star) is the best size. "
            "Runs are moved along the law to the nearest budget and keep their own residual."
        )
        drawn.append(Section("Equal compute", note, figures.isoflop(points, content), name="isoflop"))
        note = "Every run against its compute, and the least loss that the law allows for it."
        drawn.append(Section("The compute-optimal frontier", note, figures.frontier(points, content), name="frontier"))
    if both:
        note = (
            "Measured loss over the law's, in per cent. The band is two standard deviations of the noise; a slope or "
            "a bend by size would mean that the form is wrong."
        )
        drawn.append(Section("What the law misses", note, figures.residuals(points, content), name="residuals"))
    return drawn


def approach_sections(points: pd.DataFrame, law: Law) -> list[Section]:
    """Approaches 1 and 2: their runs and their optima, or why the table does not allow them, where no rival says so."""
    drawn = {"approach 1": figures_isoflop.training_envelope, "approach 2": figures_isoflop.isoflop_profiles}
    told, sections = {row["name"] for row in law["selection"]}, []
    for name, found in law["approaches"].items():
        if "refused" in found:
            sections += [] if name in told else [Section(name.capitalize(), f"Refused: {found['refused']}.")]
            continue
        sections.append(Section(name.capitalize(), "", drawn[name](points, found)))
        sections.append(Section(f"Best runs by {name}", "", figures_isoflop.optimal_runs(found)))
    return sections


def heldout_sections(points: pd.DataFrame, law: Law) -> list[Section]:
    """The cells of most compute as a law fitted without them predicts them; of a law of parameters and tokens."""
    held = law["heldout"]
    if not held or set(LAWS[law["law"]].columns) != {"params", "tokens"}:
        return []
    rolling = held["rolling"]["num_runs"]
    note = (
        f"The {held['num_cells']} cells of the {len(held['sizes'])} sizes with the most compute were predicted by a "
        f"law fitted to the rest: mean error {percent(held['mean_abs_rel_error'])}, largest "
        f"{percent(held['max_abs_rel_error'])}. {held['num_inside']} of {held['num_runs']} runs lie inside their 95% "
        f"interval, {percent(held['pi95_mean_width'], 1)} wide on average. Errors are against the mean over seeds; "
        "intervals hold one further run."
        + f" Repeated from every smaller set of sizes, {percent(held['pi95_coverage'], 0)} of {rolling} predictions "
        "fell inside." * bool(rolling)
    )
    rows = [
        (figures.size_name(row["size"]), si(row["params"]), si(row["tokens"]), f"{row['measured']:.4f}",
         f"{row['predicted']:.4f}", f"{row['rel_error']:+.2%}", f"{row['low']:.3f} to {row['high']:.3f}",
         f"{row['num_inside']} of {row['num_runs']}")
        for row in held["rows"]
    ]  # fmt: skip
    header = ("size", "parameters", "tokens", "measured", "predicted", "error", "95% interval", "inside")
    figure = figures.predicted_against_measured(points, dict(law))
    return [Section("Predicted before it was seen", note, figure, header, rows, name="heldout")]


def selection_sections(law: Law) -> list[Section]:
    """Laws, approaches and baselines by their error on held-out compute."""
    rows = [
        (row["name"], percent(row["mean_abs_rel_error"]), signed(row["best_run_rel_error"]), row["reason"])
        for row in law["selection"]
    ]
    note = (
        "Each fitted without the cells of most compute and scored on them. A law that does not beat persistence or a "
        "plane in logarithms has learned nothing. Mean error is over their runs; at the best run is the error at the "
        "run of least loss, which is all that approaches 1 and 2 predict."
    )
    header = ("law, estimator", "mean error", "at the best run", "why it has none")
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    title = "Other forms, estimators and approaches"
    return [Section(title, note, None, header, rows, name="selection")] if rows else []


def alternative_sections(law: Law) -> list[Section]:
    """The same fit where N counts otherwise."""
    told = {"non-embedding (the law)": law} | {WAYS[name]: other for name, other in law["alternatives"].items()}
    if len(told) == 1 or not all(one["exponents"] for one in told.values()):
        return []
    names = list(ordered(law["params"]))
    rows = [
        (way, *(plain(one["params"][name], 4) for name in names), *(f"{one['exponents'][name]:.3f}" for name in "ab"),
         f"{one['objective']:.4g}")
        for way, one in told.items()
    ]  # fmt: skip
    note = "The same fit, with other parameters counted in N."
    return [Section("When N counts otherwise", note, None, ("N counts", *names, "a", "b", "objective"), rows)]


def diagnostic_sections(law: Law) -> list[Section]:
    """What to know before trusting the law."""
    found = [[finding[key] for key in ("name", "severity", "message", "remedy")] for finding in law["diagnostics"]]
    header: Sequence[str] = ("name", "severity", "what", "remedy")
    return [Section("Before you trust it", "", None, header, found, name="diagnostics")] if found else []


def signed(share: float | None) -> str:
    """A difference in per cent, or a dash."""
    return "-" if share is None else f"{share:+.2%}"
