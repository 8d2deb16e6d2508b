"""Figures of a fitted law, shared by notebook and report: table and law.json in, plotly figure out.

Backgrounds are transparent and lines mid-grey, so that a figure reads on light and on dark pages. Sizes keep one
colour throughout, from a sequential scale that stays ordered for colour-blind readers; the ends that vanish on a white
or a black page are left out.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from analysis.laws import FLOPS_PER_PARAM_TOKEN, LAWS, Fitted
from analysis.wording import si

SEED_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
GREY = "#808890"
ACCENT = "#b0479e"
GRID = "rgba(128,136,144,0.25)"
BAND = "rgba(128,136,144,0.18)"
SURFACE = [[0, "#cdd2d9"], [1, "#737c88"]]
FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": GREY}
LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0}
COUNT_AXIS = {"type": "log", "tickformat": "~s", "dtick": "D2", "tickangle": 0}
FLOPS_AXIS = {"type": "log", "exponentformat": "power", "dtick": 1, "title": {"text": "training compute 6ND, FLOPs"}}
NUM_BUDGETS = 5  # isoFLOP curves drawn
MOST_IN_LEGEND = 14
LEAST_COUNTED = 10_000  # a size of more is a parameter count, not a width


def law_of(law: dict) -> Fitted:
    """The fitted law inside law.json."""
    return Fitted.of(LAWS[law["law"]], law["params"])


def size_colors(points: pd.DataFrame) -> dict:
    """One colour a size of the table."""
    return colors_of(points["size"].unique())


def colors_of(sizes: Iterable[float]) -> dict:
    """One colour a size, in the order of the sizes."""
    ordered = sorted(set(sizes))
    shades = sample_colorscale("Plasma", list(np.linspace(0.3, 0.87, max(2, len(ordered)))))
    return dict(zip(ordered, shades, strict=False))


def size_name(size: Any) -> str:
    """A width as it is; a parameter count, where a table has no widths, as 70M."""
    return str(size) if size < LEAST_COUNTED else si(float(size))


def loss_against_tokens(points: pd.DataFrame, law: dict) -> go.Figure:
    """Every run by size, seeds by symbol, bars of two standard errors of the evaluation, and the law's curves."""
    fitted, figure = law_of(law), go.Figure()
    reach = _spread(points["tokens"], 1.25)
    for size, color in size_colors(points).items():
        rows = points[points["size"] == size]
        num_params = rows["params"].iloc[0]
        curve = {"x": reach, "y": fitted.loss(num_params, reach), "mode": "lines", "line": {"color": color, "width": 2}}
        figure.add_scatter(**curve, name=f"law {size}", legendgroup=str(size), showlegend=False, hoverinfo="skip")
        figure.add_scatter(**_runs(rows, rows["tokens"], rows["loss"], color), error_y=_loss_bars(rows, color))
    figure.update_layout(xaxis={**COUNT_AXIS, "title": {"text": "training tokens"}}, yaxis=loss_axis(points))
    return styled(figure)


def loss_against_params(points: pd.DataFrame, law: dict) -> go.Figure:
    """Every run against its size, and the law's curve: for a law of the parameters alone."""
    fitted, figure = law_of(law), go.Figure()
    reach = _spread(points["params"], 1.25)
    curve = {"x": reach, "y": fitted.loss(reach, 1.0), "mode": "lines", "line": {"color": GREY, "width": 2}}
    figure.add_scatter(**curve, name="law", hoverinfo="skip")
    for size, color in size_colors(points).items():
        rows = points[points["size"] == size]
        figure.add_scatter(**_runs(rows, rows["params"], rows["loss"], color), error_y=_loss_bars(rows, color))
    figure.update_layout(xaxis={**COUNT_AXIS, "title": {"text": "parameters"}}, yaxis=loss_axis(points))
    return styled(figure)


def fitted_surface(points: pd.DataFrame, law: dict) -> go.Figure:
    """The law as a surface over parameters and tokens with every run above or below it."""
    fitted, figure = law_of(law), go.Figure()
    params_line, tokens_line = _spread(points["params"], 1.3, 40), _spread(points["tokens"], 1.3, 40)
    surface = fitted.loss(params_line[None, :], tokens_line[:, None])
    figure.add_surface(
        x=params_line, y=tokens_line, z=surface, colorscale=SURFACE, opacity=0.55, showscale=False, name="law",
        contours={"z": {"show": True, "color": GREY, "width": 1}}, hovertemplate="law %{z:.3f}<extra></extra>",
    )  # fmt: skip
    for size, color in size_colors(points).items():
        rows = points[points["size"] == size]
        figure.add_scatter3d(
            x=rows["params"], y=rows["tokens"], z=rows["loss"], mode="markers", name=size_name(size),
            marker={"color": color, "size": 4}, text=_labels(rows),
            hovertemplate="%{text}<br>loss %{z:.4f}<extra></extra>",
        )  # fmt: skip
    axis = {"type": "log", "tickformat": "~s", "dtick": "D2", "gridcolor": GRID, "backgroundcolor": "rgba(0,0,0,0)"}
    figure.update_layout(
        scene={
            "xaxis": {**axis, "title": {"text": "parameters"}},
            "yaxis": {**axis, "title": {"text": "tokens"}},
            "zaxis": {**axis, "type": "linear", "tickformat": ".2f", "dtick": None, "title": {"text": "loss"}},
            "camera": {"eye": {"x": 1.7, "y": 1.7, "z": 0.7}, "center": {"x": 0, "y": 0, "z": -0.12}},
            "aspectmode": "cube",
        }
    )
    return styled(figure).update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 0}, showlegend=False)


def isoflop(points: pd.DataFrame, law: dict) -> go.Figure:
    """Loss against size at equal compute: the law's valleys, their minima, and the runs moved to the nearest budget.

    A run off its budget is moved along the law, so its distance from the curve remains its own residual.
    """
    fitted, figure = law_of(law), go.Figure()
    work = FLOPS_PER_PARAM_TOKEN * points["params"] * points["tokens"]
    edges = np.geomspace(work.min(), work.max(), NUM_BUDGETS + 1)
    budgets = np.sqrt(edges[1:] * edges[:-1])
    nearest = np.abs(np.log(work.to_numpy()[:, None] / budgets)).argmin(axis=1)
    reach = _spread(points["params"], 1.6)
    for index, budget in enumerate(budgets):
        color = sample_colorscale("Viridis", [0.28 + 0.52 * index / (NUM_BUDGETS - 1)])[0]
        tokens = budget / (FLOPS_PER_PARAM_TOKEN * reach)
        line = {"x": reach, "y": fitted.loss(reach, tokens), "mode": "lines", "line": {"color": color, "width": 2}}
        figure.add_scatter(**line, name=si(budget, 2), legendgroup=str(index), hoverinfo="skip")
        rows = points[nearest == index]
        moved = fitted.loss(rows["params"], budget / (FLOPS_PER_PARAM_TOKEN * rows["params"]))
        factor = rows["loss"] / fitted.loss(rows["params"], rows["tokens"])
        figure.add_scatter(
            x=rows["params"], y=moved * factor, mode="markers", marker={"color": color, "size": 8}, text=_labels(rows),
            name=f"runs {si(budget, 2)}", legendgroup=str(index), showlegend=False,
            hovertemplate="%{text}<br>at %{x:.3s} parameters %{y:.4f}<extra></extra>",
        )  # fmt: skip
    best, best_tokens = fitted.optimal(budgets)
    inside = (best >= reach[0]) & (best <= reach[-1])
    figure.add_scatter(
        x=best[inside], y=fitted.loss(best, best_tokens)[inside], mode="markers", name="optimum",
        marker={"symbol": "star", "size": 12, "color": GREY},
        hovertemplate="best size %{x:.3s}<br>loss %{y:.4f}<extra></extra>",
    )  # fmt: skip
    x_axis = {**COUNT_AXIS, "title": {"text": "parameters"}, "range": np.log10(reach[[0, -1]]).tolist()}
    figure.update_layout(xaxis=x_axis, yaxis=loss_axis(points))
    return styled(figure, legend_title="FLOPs ")


def residuals(points: pd.DataFrame, law: dict) -> go.Figure:
    """What the law misses, in per cent of the loss, over compute; the band is two noise standard deviations."""
    fitted, figure = law_of(law), go.Figure()
    work = FLOPS_PER_PARAM_TOKEN * points["params"] * points["tokens"]
    percent = 100 * (points["loss"] / fitted.loss(points["params"], points["tokens"]) - 1)
    band = 200 * float(np.hypot(law["noise"]["cell"], law["noise"]["residual"]))
    figure.add_hrect(y0=-band, y1=band, fillcolor=BAND, line_width=0)
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    for size, color in size_colors(points).items():
        rows = points[points["size"] == size]
        figure.add_scatter(**_runs(rows, work[rows.index], percent[rows.index], color, "%{y:+.2f}%"))
    figure.update_layout(xaxis=FLOPS_AXIS, yaxis={"title": {"text": "measured over law, %"}, "ticksuffix": "%"})
    return styled(figure)


def predicted_against_measured(points: pd.DataFrame, law: dict) -> go.Figure:
    """Held-out runs: the prediction with its 95% interval against the mean over seeds."""
    rows, figure = pd.DataFrame(law["heldout"]["rows"]), go.Figure()
    span = [float(rows[["measured", "low"]].min().min()) * 0.99, float(rows[["measured", "high"]].max().max()) * 1.01]
    diagonal = {"x": span, "y": span, "mode": "lines", "line": {"color": GREY, "dash": "dot", "width": 1}}
    figure.add_scatter(**diagonal, name="exact", showlegend=False, hoverinfo="skip")
    colors = size_colors(points)
    for size, held in rows.groupby("size"):
        figure.add_scatter(
            x=held["measured"], y=held["predicted"], mode="markers", name=size_name(size),
            marker={"color": colors[size], "size": 9},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": colors[size],
                "array": held["high"] - held["predicted"], "arrayminus": held["predicted"] - held["low"],
            },
            customdata=np.column_stack([held["tokens"], 100 * held["rel_error"]]),
            hovertemplate="%{customdata[0]:.3s} tokens<br>measured %{x:.4f}<br>predicted %{y:.4f} "
            "(%{customdata[1]:+.2f}%)<extra></extra>",
        )  # fmt: skip
    axis = {"range": span, "tickformat": ".2f"}
    figure.update_layout(
        xaxis={**axis, "title": {"text": "measured loss"}}, yaxis={**axis, "title": {"text": "predicted loss"}}
    )
    return styled(figure)


def frontier(points: pd.DataFrame, law: dict) -> go.Figure:
    """Loss against compute: every run, and the least loss that the law allows at each budget."""
    fitted, figure = law_of(law), go.Figure()
    work = FLOPS_PER_PARAM_TOKEN * points["params"] * points["tokens"]
    budgets = _spread(work, 3.0)
    num_params, num_tokens = fitted.optimal(budgets)
    figure.add_scatter(
        x=budgets, y=fitted.loss(num_params, num_tokens), mode="lines",
        line={"color": GREY, "width": 2, "dash": "dash"},
        name="compute-optimal", customdata=np.column_stack([num_params, num_tokens]),
        hovertemplate="%{x:.2e} FLOPs<br>best: %{customdata[0]:.3s} parameters, %{customdata[1]:.3s} tokens"
        "<br>loss %{y:.4f}<extra></extra>",
    )  # fmt: skip
    for size, color in size_colors(points).items():
        rows = points[points["size"] == size]
        figure.add_scatter(**_runs(rows, work[rows.index], rows["loss"], color))
    figure.update_layout(xaxis=FLOPS_AXIS, yaxis=loss_axis(points))
    return styled(figure)


def _runs(rows: pd.DataFrame, x: pd.Series, y: pd.Series, color: str, shown: str = "loss %{y:.4f}") -> dict:
    seeds = sorted(rows["seed"].unique()) if "seed" in rows else []
    symbols = [SEED_SYMBOLS[seeds.index(seed) % len(SEED_SYMBOLS)] for seed in rows["seed"]] if seeds else "circle"
    return {
        "x": x,
        "y": y,
        "mode": "markers",
        "name": size_name(rows["size"].iloc[0]),
        "legendgroup": str(rows["size"].iloc[0]),
        "marker": {"color": color, "size": 8, "symbol": symbols},
        "text": _labels(rows),
        "hovertemplate": "%{text}<br>" + shown + "<extra></extra>",
    }


def _labels(rows: pd.DataFrame) -> list[str]:
    return [
        f"{cell}, {num_params:,.0f} parameters, {tokens:,.0f} tokens"
        for cell, num_params, tokens in zip(rows["cell"], rows["params"], rows["tokens"], strict=True)
    ]


def _loss_bars(rows: pd.DataFrame, color: str) -> dict | None:
    if "loss_se" not in rows:
        return None
    return {"type": "data", "array": 2 * rows["loss_se"], "color": color, "thickness": 1, "width": 3}


def loss_axis(points: pd.DataFrame) -> dict:
    """A logarithmic axis around the measured losses, ticked at about seven round values."""
    low, high = float(points["loss"].min()) * 0.95, float(points["loss"].max()) * 1.05
    step = float(min((0.02, 0.05, 0.1, 0.2, 0.5, 1.0), key=lambda step: abs((high - low) / step - 7)))
    ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return {
        "type": "log",
        "range": np.log10([low, high]).tolist(),
        "tickvals": ticks,
        "ticktext": [f"{tick:.2f}" for tick in ticks],
        "title": {"text": "loss, nats a token"},
    }


def _spread(values: pd.Series, margin: float, count: int = 80) -> np.ndarray:
    return np.geomspace(float(values.min()) / margin, float(values.max()) * margin, count)


def styled(figure: go.Figure, legend_title: str = "size ") -> go.Figure:
    """The figure with what all of them share: transparent ground, grey lines, font, legend on top."""
    figure.update_xaxes(title_standoff=12, gridcolor=GRID, zeroline=False, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID)
    return figure.update_layout(
        template="none",
        font=FONT,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 60, "r": 15, "t": 60, "b": 50},
        legend={**LEGEND, "title": {"text": legend_title}},
        hovermode="closest",
        height=440,
        showlegend=sum(trace.get("showlegend", True) for trace in figure.to_dict()["data"]) <= MOST_IN_LEGEND,
    )
