"""The report: one HTML file with plotly.js inlined once, readable offline, on a phone and in the dark."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import jinja2
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis import figures

TEMPLATE = Path(__file__).with_name("report.html.j2")
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


def write_report(points: pd.DataFrame, law: Mapping, out: Path | str, provenance: Mapping) -> None:
    """Write the report of a fitted law to `out`, whole or not at all.

    `points` is the table behind `law` (see points.py), `law` the content of law.json, and `provenance` what the caller
    knows about where they come from: a mapping of names to strings or to further mappings (digests, revision).
    """
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(TEMPLATE.read_text(encoding="utf-8"))
    drawn = {name: draw(points, dict(law)) for name, draw, _, _ in FIGURES}
    drawn["heldout"] = figures.predicted_against_measured(points, dict(law))
    page = template.render(
        law=law,
        figures=[(name, title, caption) for name, _, title, caption in FIGURES],
        heldout_rows=law["heldout"]["rows"],
        costs=cost_table(points),
        provenance=flatten({**provenance, "inputs": law["inputs"], "versions": library_versions(provenance)}),
        drawings=_script_json(drawn),
        plotly_js=Markup(get_plotlyjs()),
        si=si,
    )
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(out)


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


def si(value: float | None, digits: int = 3) -> str:
    """1234567 as "1.23M"; a dash when nothing was recorded."""
    if value is None or value != value:
        return "-"
    for power, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.{digits}g}{letter}"
    return f"{value:.{digits}g}"


def _script_json(drawn: dict[str, go.Figure]) -> Markup:
    """The figures as JSON that may stand inside a script element."""
    text = json.dumps({name: json.loads(figure.to_json() or "{}") for name, figure in drawn.items()})
    return Markup(text.replace("<", "\\u003c"))
