"""Figures of scores against scale: every metric side by side, the map over parameters and tokens, the seeds.

A table of scores and the content of emergence.json in, plotly figure out, in the style of figures.py. A curve is an
ability in one style (emergence_curves.py), and a label keeps its colour.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.emergence import curve_values
from analysis.emergence_curves import labels_of, main_rows, shown_metrics, with_curves
from analysis.figures import COUNT_AXIS, GREY
from analysis.panels import Place, in_lines, label_axes, wrapped
from analysis.wording_emergence import metric_name

LABEL_COLORS = {
    "emergent": "#b0479e",
    "mirage": "#d98a1f",
    "smooth": "#1f9e77",
    "saturated": "#3f86d1",
    "flat": "#808890",
    "undetermined": "#a08c5b",
}
FLOPS_AXIS = {"type": "log", "exponentformat": "power", "dtick": 1, "title": {"text": "compute, FLOPs"}}
MARGIN = 1.5  # beyond the first and the last scale
JITTER = 1.12  # between two seeds of one size and number of tokens


def scores_by_metric(table: pd.DataFrame, found: Mapping[str, Any]) -> go.Figure:
    """Score against compute: a line of panels a curve, a panel a metric; wrapped where there is one metric."""
    curves, labels = with_curves(table), labels_of(table, found)
    lines = [[(name, metric) for metric in metrics] for name, metrics in shown_metrics(table, found).items()]
    cells = [cell for line in lines for cell in line]
    if len({metric for _, metric in cells}) == 1:
        figure, places = wrapped([_title(f"<b>{name}</b>", labels.get((name, metric))) for name, metric in cells])
    else:
        named = [[name * (metric == line[0][1]) for name, metric in line] for line in lines]
        figure, places = in_lines(
            [
                [
                    f"<b>{name}</b><br>{_title(metric_name(cell[1]), labels.get(cell))}"
                    for name, cell in zip(*pair, strict=True)
                ]
                for pair in zip(named, lines, strict=True)
            ]
        )
    for cell, place in zip(cells, places, strict=True):
        rows = curves[(curves["curve"] == cell[0]) & (curves["metric"] == cell[1])]
        _draw_panel(figure, rows, labels.get(cell), place)
    label_axes(figure, places, FLOPS_AXIS, {})
    return _legend_once(figure)


def _title(name: str, row: Mapping[str, Any] | None) -> str:
    """The name, and in its colour the label where there is one."""
    return name if row is None else f"{name} <span style='color:{LABEL_COLORS[row['label']]}'>{row['label']}</span>"


def _draw_panel(figure: go.Figure, rows: pd.DataFrame, row: Mapping[str, Any] | None, place: Place) -> None:
    low, high = rows["compute"].min() / MARGIN, rows["compute"].max() * MARGIN
    mean, color = rows.groupby("compute")["value"].mean(), LABEL_COLORS["flat" if row is None else row["label"]]
    if row is not None and row["threshold"] is not None:
        ends = [end or far for end, far in zip(row["threshold_ci95"], (low, high), strict=True)]
        x0, x1 = np.clip(ends, low, high)
        figure.add_vrect(
            x0=x0, x1=x1, fillcolor=color, opacity=0.18, line_width=0, exclude_empty_subplots=False, **place
        )
        if low <= row["threshold"] <= high:
            line = {"color": color, "width": 1.5, "dash": "dash"}
            figure.add_vline(x=row["threshold"], line=line, exclude_empty_subplots=False, **place)
    chance = rows["chance"].iloc[0]
    if pd.notna(chance):
        figure.add_scatter(
            x=[low, high], y=[chance, chance], mode="lines", line={"color": GREY, "dash": "dot", "width": 1.5},
            name="chance", hovertemplate="chance %{y:.3f}<extra></extra>", **place,
        )  # fmt: skip
    figure.add_scatter(**_seeds(rows), name="a run", marker={"color": GREY, "size": 5, "opacity": 0.6}, **place)
    figure.add_scatter(
        x=mean.index, y=mean, mode="lines+markers", line={"color": GREY, "width": 1},
        marker={"color": GREY, "size": 7, "symbol": "diamond"}, name="mean over seeds",
        hovertemplate="mean %{y:.3f} at %{x:.2e} FLOPs<extra></extra>", **place,
    )  # fmt: skip
    if row is not None and row["curve"] is not None:
        reach = np.geomspace(low, high, 120)
        figure.add_scatter(
            x=reach, y=curve_values(row, reach), mode="lines", line={"color": color, "width": 2.5}, name="fitted curve",
            hoverinfo="skip", **place,
        )  # fmt: skip
    figure.update_xaxes(range=np.log10([low, high]).tolist(), **place)
    if row is not None or rows["value"].between(0, 1).all():
        figure.update_yaxes(range=[-0.04, 1.04], **place)


def _seeds(rows: pd.DataFrame) -> dict[str, Any]:
    """Every run of these rows as a dot."""
    named = rows["run"] if "run" in rows else "seed " + rows["seed"].astype(str)
    return {
        "x": rows["compute"],
        "y": rows["value"],
        "mode": "markers",
        "text": named,
        "hovertemplate": "%{text}: %{y:.3f} at %{x:.2e} FLOPs<extra></extra>",
    }


def _legend_once(figure: go.Figure) -> go.Figure:
    """One entry a name, however many panels have it; a click there hides it in all."""
    seen: set[str] = set()

    def enter(trace: Any) -> None:
        trace.update(legendgroup=trace.name, showlegend=trace.name not in seen)
        seen.add(trace.name)

    return figure.for_each_trace(enter)


def map_of_scores(table: pd.DataFrame, found: Mapping[str, Any]) -> go.Figure | None:
    """Parameters against tokens, coloured by score, seeds side by side; None where the table lacks either."""
    if not {"params", "tokens"} <= set(table) or table[["params", "tokens"]].isna().any(axis=None):
        return None
    curves, main = with_curves(table), main_rows(table, found)
    figure, places = wrapped([_title(f"<b>{name}</b>", row) for name, row in main.items()])
    for (name, row), place in zip(main.items(), places, strict=True):
        rows = curves[(curves["curve"] == name) & (curves["metric"] == row["metric"])]
        number = rows.groupby(["params", "tokens"]).cumcount()
        middle = (rows.groupby(["params", "tokens"])["seed"].transform("size") - 1) / 2
        figure.add_scatter(
            x=rows["params"] * JITTER ** (number - middle), y=rows["tokens"], mode="markers",
            marker={"color": rows["value"], "coloraxis": "coloraxis", "size": 10, "line": {"color": GREY, "width": 1}},
            customdata=rows[["params", "value"]], text=_seeds(rows)["text"], name=name, showlegend=False,
            hovertemplate="%{text}: %{customdata[1]:.3f}<br>%{customdata[0]:.3s} parameters, %{y:.3s} tokens"
            "<extra></extra>", **place,
        )  # fmt: skip
    x_axis, y_axis = ({**COUNT_AXIS, "title": {"text": name}} for name in ("parameters", "tokens"))
    label_axes(figure, places, {**x_axis, "dtick": 1}, y_axis)
    bar = {"title": {"text": "score"}, "thickness": 12, "outlinewidth": 0}
    return figure.update_layout(
        coloraxis={"colorscale": "Viridis", "cmin": 0, "cmax": 1, "colorbar": bar}, margin={"t": 40}
    )


def scatter_of_seeds(table: pd.DataFrame, found: Mapping[str, Any]) -> go.Figure | None:
    """Scores of all seeds where their bimodality was tested, with its p-value; None where no curve had enough seeds."""
    curves = with_curves(table)
    tested = {name: row for name, row in main_rows(table, found).items() if row["bimodality_p"] is not None}
    if not tested:
        return None
    titles = [f"<b>{name}</b> p = {row['bimodality_p']:.3f}" for name, row in tested.items()]
    figure, places = wrapped(titles)
    for (name, row), place in zip(tested.items(), places, strict=True):
        rows = curves[(curves["curve"] == name) & (curves["metric"] == row["metric"])]
        color = LABEL_COLORS[row["label"]]
        marker = {"color": color, "size": 8, "opacity": 0.55, "line": {"color": color, "width": 1}}
        figure.add_scatter(**_seeds(rows), marker=marker, name=name, showlegend=False, **place)
        figure.add_hline(y=row["chance"], line={"color": GREY, "dash": "dot", "width": 1.5}, **place)
    label_axes(figure, places, FLOPS_AXIS, {"range": [-0.04, 1.04]})
    return figure.update_layout(margin={"t": 40})
