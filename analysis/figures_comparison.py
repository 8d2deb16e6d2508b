"""Figures of two sides: laws overlaid, and every number that both have against its other self."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures import (
    ACCENT,
    COUNT_AXIS,
    FLOPS_AXIS,
    FLOPS_PER_PARAM_TOKEN,
    GREY,
    law_of,
    loss_axis,
    size_name,
    styled,
)
from analysis.figures_inference import bars, legend_once
from analysis.panels import label_axes, wrapped

COLORS = ("#3f86d1", ACCENT)
SYMBOLS = ("circle", "diamond")
MOST_PANELS = 9
Tabled = tuple[pd.DataFrame, Mapping[str, Any]]


def frontiers(names: Sequence[str], sides: Sequence[Tabled]) -> go.Figure:
    """Both sides' runs against compute, and the least loss that each law allows."""
    figure = go.Figure()
    work = [FLOPS_PER_PARAM_TOKEN * points["params"] * points["tokens"] for points, _ in sides]
    for side, name in enumerate(names):
        points, law = sides[side]
        figure.add_scatter(
            x=work[side], y=points["loss"], mode="markers", name=f"{name}, runs",
            marker={"color": COLORS[side], "size": 7, "symbol": SYMBOLS[side], "opacity": 0.75}, text=points["cell"],
            hovertemplate="%{text}<br>loss %{y:.4f}<extra></extra>",
        )  # fmt: skip
        if law["exponents"]:
            budgets = np.geomspace(min(map(min, work)) / 2, max(map(max, work)) * 2, 60)
            fitted = law_of(dict(law))
            figure.add_scatter(
                x=budgets, y=fitted.loss(*fitted.optimal(budgets)), mode="lines", name=f"{name}, best",
                line={"color": COLORS[side], "width": 2, "dash": "dash"}, hoverinfo="skip",
            )  # fmt: skip
    figure.update_layout(xaxis=FLOPS_AXIS, yaxis=loss_axis(pd.concat([points for points, _ in sides])))
    return styled(figure, "")


def laws_by_size(names: Sequence[str], sides: Sequence[Tabled]) -> go.Figure | None:
    """A panel a size that both have: runs and law of both sides; None where no size is shared or laws need more."""
    shared = sorted(set(sides[0][0]["params"]) & set(sides[1][0]["params"]))[-MOST_PANELS:]
    if not shared or any("unique_tokens" in law["formula"] or "D" not in law["formula"] for _, law in sides):
        return None
    first = sides[0][0].drop_duplicates("params").set_index("params")["size"]
    figure, places = wrapped([f"<b>{size_name(first[params])}</b>" for params in shared])
    for params, place in zip(shared, places, strict=True):
        for side, name in enumerate(names):
            points, law = sides[side]
            rows = points[points["params"] == params].sort_values("tokens")
            reach = np.geomspace(rows["tokens"].min() / 1.2, rows["tokens"].max() * 1.2, 40)
            figure.add_scatter(
                x=reach, y=law_of(dict(law)).loss(params, reach), mode="lines", name=f"{name}, law", hoverinfo="skip",
                line={"color": COLORS[side], "width": 2}, **place,
            )  # fmt: skip
            figure.add_scatter(
                x=rows["tokens"], y=rows["loss"], mode="markers", name=f"{name}, runs", text=rows["cell"],
                marker={"color": COLORS[side], "size": 7, "symbol": SYMBOLS[side]},
                hovertemplate="%{text}, %{x:.3s} tokens: %{y:.4f}<extra></extra>", **place,
            )  # fmt: skip
    label_axes(figure, places, {**COUNT_AXIS, "title": {"text": "training tokens"}}, {"title": {"text": "loss"}})
    return legend_once(figure)


def against_each_other(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], what: str, is_log: bool
) -> go.Figure | None:
    """One side's numbers against the other's with their intervals; what moved in colour. None without rows."""
    if not rows:
        return None
    figure = go.Figure()
    every = [one for row in rows for one in (row["here"], row["there"])]
    span = [min(every) / 1.2, max(every) * 1.2] if is_log else [min(every) - 0.04, max(every) + 0.04]
    diagonal = {"color": GREY, "dash": "dot", "width": 1}
    figure.add_scatter(x=span, y=span, mode="lines", line=diagonal, showlegend=False, name="the same", hoverinfo="skip")
    for moved, color, name in ((False, GREY, "not shown to differ"), (True, ACCENT, "moved")):
        own = [row for row in rows if row["moved"] == moved]
        if not own:
            continue
        x, y = [row["here"] for row in own], [row["there"] for row in own]
        ends = [
            [[value if end is None else end for end in row["ends"][side]] for row, value in zip(own, at, strict=True)]
            for side, at in enumerate((x, y))
        ]
        figure.add_scatter(
            x=x, y=y, mode="markers", name=name, marker={"color": color, "size": 8}, error_x=bars(x, ends[0], color),
            error_y=bars(y, ends[1], color), text=[row["name"] for row in own],
            hovertemplate="%{text}<br>%{x:.3g} and %{y:.3g}<extra></extra>",
        )  # fmt: skip
    axis = {"type": "log", "dtick": "D2", "tickformat": "~s" if span[0] > 1 else "~g"} if is_log else {"range": span}
    figure.update_layout(
        xaxis={**axis, "title": {"text": f"{what}, {names[0]}"}},
        yaxis={**axis, "title": {"text": f"{what}, {names[1]}"}},
    )
    return styled(figure, "")
