"""The report of the project's own results: law, saturation, emergence, inference, long contexts, costs, provenance."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from analysis import figures, figures_saturation
from analysis.page import Section, render

LIBRARIES = ("numpy", "pandas", "plotly", "scipy")
FIGURES = (
    ("loss", figures.loss_against_tokens, "Loss against tokens",
     "Each point is the end of one training run, cooled down to its own token count; symbols tell seeds apart and bars "
     "are two standard errors of the evaluation. Curves are the law, fitted to all points together."),
    ("surface", figures.fitted_surface, "The fitted surface",
     "The same law over parameters and tokens at once, runs in the colours of their size. Drag to turn it."),
    ("isoflop", figures.isoflop, "Equal compute",
     "Each curve spends one budget on models of different size; its valley is the best size for that budget (star). "
     "Runs are moved along the law to the nearest budget and keep their own residual."),
    ("frontier", figures.frontier, "The compute-optimal frontier",
     "Every run against its compute, and the least loss that the law allows for it."),
    ("residuals", figures.residuals, "What the law misses",
     "Measured loss over the law's, in per cent. The band is two standard deviations of the noise; a slope or a bend "
     "by size would mean that the form is wrong."),
)  # fmt: skip


def write_report(
    points: pd.DataFrame,
    law: Mapping,
    out: Path | str,
    provenance: Mapping,
    saturation: tuple[pd.DataFrame, Mapping] | None = None,
    emergence: Sequence[Section] = (),
    inference: Sequence[Section] = (),
    longcontext: Sequence[Section] = (),
) -> None:
    """Write the report of a fitted law to `out`, whole or not at all.

    `points` is the table behind `law` (see points.py), `law` the content of law.json, and `provenance` what the caller
    knows about where they come from: a mapping of names to strings or to further mappings (digests, revision).
    `saturation` is the table behind saturation.json and its content; without it the page has no such section.
    `emergence`, `inference` and `longcontext` are the sections that pages_emergence.py, pages_inference.py and
    pages_longcontext.py make of theirs.
    """
    drawn = {name: draw(points, dict(law)) for name, draw, _, _ in FIGURES}
    drawn["heldout"] = figures.predicted_against_measured(points, dict(law))
    if saturation is not None:
        drawn |= {name: draw(saturation[0], dict(saturation[1])) for name, draw, _, _ in figures_saturation.FIGURES}
    for name, parts in (("emergence", emergence), ("inference", inference), ("longcontext", longcontext)):
        drawn |= {f"{name}-{n}": part.figure for n, part in enumerate(parts, 1) if part.figure is not None}
    render(
        out,
        "report.html.j2",
        drawn,
        law=law,
        figures=[(name, title, caption) for name, _, title, caption in FIGURES],
        heldout_rows=law["heldout"]["rows"],
        saturation=saturation and saturation[1],
        saturation_figures=[(name, title, caption) for name, _, title, caption in figures_saturation.FIGURES],
        emergence=emergence,
        inference=inference,
        longcontext=longcontext,
        costs=cost_table(points),
        provenance=flatten({**provenance, "inputs": law["inputs"], "versions": library_versions(provenance)}),
    )


def cost_table(points: pd.DataFrame) -> list[dict]:
    """Per size: cells, runs, parameters, and the tokens, FLOPs and seconds that all of them took.

    A run's seconds and speed are those of its own cooldown and of its piece of the trunk, so that a trunk counts once.
    What the table does not say comes out as None.
    """
    rows = []
    for size, runs in points.groupby("size"):
        seconds = tokens = flops = None
        if {"seconds", "tokens_per_second"} <= set(runs):
            trained = runs["seconds"] * runs["tokens_per_second"]
            seconds, tokens = float(runs["seconds"].sum()), float(trained.sum())
            flops = float((trained * runs["flops"] / runs["tokens"]).sum())
        rows.append(
            {
                "size": size,
                "params": int(runs["params"].iloc[0]),
                "num_cells": runs["cell"].nunique(),
                "num_runs": len(runs),
                "tokens": tokens,
                "flops": flops,
                "seconds": seconds,
                "tokens_per_second": tokens / seconds if tokens and seconds else None,
            }
        )
    return rows


def library_versions(provenance: Mapping) -> dict[str, str]:
    """The versions that drew this page, under those that the caller recorded for training."""
    return {name: version(name) for name in LIBRARIES} | dict(provenance.get("versions", {}))


def flatten(tree: Mapping, prefix: str = "") -> list[tuple[str, str]]:
    """(name, value) rows of nested mappings, in order, names joined by a space."""
    rows = []
    for name, value in tree.items():
        label = f"{prefix}{name}"
        rows += flatten(value, f"{label} ") if isinstance(value, Mapping) else [(label, str(value))]
    return rows
