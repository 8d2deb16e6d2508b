"""The figure of where abilities rise and how suddenly: thresholds and widths of all curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.emergence_curves import labels_of, shown_metrics
from analysis.figures import GREY, styled
from analysis.figures_emergence import FLOPS_AXIS, LABEL_COLORS
from analysis.panels import Place
from analysis.wording_emergence import LABELS, interval, metric_name

LINE = 27  # pixels a task
LEFT: Place = {"row": 1, "col": 1}
RIGHT: Place = {"row": 1, "col": 2}
DECADE = 1.0  # a rise of less is sharp


def thresholds(table: pd.DataFrame, found: Mapping[str, Any]) -> go.Figure:
    """Thresholds with their intervals on one axis of compute, coloured by label, and the widths beside them."""
    shown = rows_of_thresholds(table, found)
    low, high = _reach(table, shown)
    figure = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.62, 0.38], horizontal_spacing=0.03)
    widest = max([DECADE, *(_last(row) for row in shown.values())])
    for label in LABELS:
        rows = {name: row for name, row in shown.items() if row["label"] == label}
        placed = {name: row for name, row in rows.items() if row["threshold"] is not None}
        color, names = LABEL_COLORS[label], list(placed)
        look = {"mode": "markers", "marker": {"color": color, "size": 9}, "name": label, "legendgroup": label}
        x, bars = _bars(list(placed.values()), "threshold", "threshold_ci95", (low, high), color)
        said = [interval(row["threshold_ci95"]) for row in placed.values()]
        figure.add_scatter(
            x=x, y=names, error_x=bars, **look, showlegend=bool(rows), customdata=said,
            hovertemplate="%{y}: %{x:.3s} FLOPs (%{customdata})<extra></extra>", **LEFT,
        )  # fmt: skip
        x, bars = _bars(list(placed.values()), "width_decades", "width_ci95", (0.0, 1.1 * widest), color)
        said = [interval(row["width_ci95"], 2) for row in placed.values()]
        figure.add_scatter(
            x=x, y=names, error_x=bars, **look, showlegend=False, customdata=said,
            hovertemplate="%{y}: %{x:.2f} decades (%{customdata})<extra></extra>", **RIGHT,
        )  # fmt: skip
        unplaced = [name for name in rows if name not in placed]
        figure.add_scatter(
            x=[low * (high / low) ** 0.02] * len(unplaced), y=unplaced, mode="text",
            text=[f"{label}: no rise placed"] * len(unplaced),
            textposition="middle right", textfont={"color": color}, legendgroup=label, showlegend=False,
            hoverinfo="skip", **LEFT,
        )  # fmt: skip
    figure.add_vline(x=DECADE, line={"color": GREY, "dash": "dot", "width": 1.5}, **RIGHT)
    styled(figure, "")
    figure.update_xaxes(
        {**FLOPS_AXIS, "range": np.log10([low, high]).tolist(), "title": {"text": "threshold, FLOPs"}}, **LEFT
    )
    figure.update_xaxes(range=[0, 1.1 * widest], title_text="width, decades", **RIGHT)
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(reversed(shown)), range=[-0.6, len(shown) - 0.4], automargin=True
    )
    height = LINE * len(shown) + 130
    return figure.update_layout(height=height, legend={"y": 1 + 8 / (height - 110)}, showlegend=True)


def rows_of_thresholds(table: pd.DataFrame, found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Labelled rows by what the axis calls them, in the order of their thresholds; rows without one come last."""
    shown = shown_metrics(table, found)
    labels = {key: row for key, row in labels_of(table, found).items() if key[1] in shown[key[0]]}
    several = len({metric for _, metric in labels}) > 1
    ordered = sorted(labels, key=lambda key: (labels[key]["threshold"] is None, labels[key]["threshold"] or 0.0))
    return {f"{name}, {metric_name(metric)}" if several else name: labels[name, metric] for name, metric in ordered}


def _reach(table: pd.DataFrame, shown: Mapping[str, Mapping[str, Any]]) -> tuple[float, float]:
    """The scales and every threshold, with a margin."""
    places = [row["threshold"] for row in shown.values() if row["threshold"] is not None]
    return min([table["compute"].min(), *places]) / 2, max([table["compute"].max(), *places]) * 2


def _last(row: Mapping[str, Any]) -> float:
    """The greatest width to be shown of a row."""
    ends = [row["width_decades"], *(row["width_ci95"] or [])]
    return max((end for end in ends if end is not None), default=0.0)


def _bars(
    rows: list[Mapping[str, Any]], field: str, ends: str, reach: tuple[float, float], color: str
) -> tuple[list[float], dict[str, Any]]:
    """Values and error bars; an open end is drawn to the end of the axis."""
    x = [row[field] for row in rows]
    low, high = ([reach[side] if row[ends][side] is None else row[ends][side] for row in rows] for side in (0, 1))
    return x, {
        "type": "data", "symmetric": False, "color": color, "thickness": 1.5, "width": 4,
        "array": [min(end, reach[1]) - value for end, value in zip(high, x, strict=True)],
        "arrayminus": [value - max(end, reach[0]) for end, value in zip(low, x, strict=True)],
    }  # fmt: skip
