"""Figures of runs out of a tracking store: learning curves, and the history of repeated checks.

`curves` has the columns suite, cell, size, params, stream, tokens, loss: a row a point, `stream` ENDPOINT for the
validation at a run's end and anything else for the training loss. `checks` has a row a check: time, and its metrics.
"""

import pandas as pd
import plotly.graph_objects as go

from analysis.figures import COUNT_AXIS, FLOPS_AXIS, GREY, colors_of, loss_axis, size_name, styled
from analysis.laws import FLOPS_PER_PARAM_TOKEN
from analysis.panels import wrapped

ENDPOINT = "validation/loss"
AXES = {"tokens": {**COUNT_AXIS, "title": {"text": "training tokens"}}, "compute": FLOPS_AXIS}
TIME = "time"


def learning_curves(curves: pd.DataFrame, against: str = "tokens") -> go.Figure:
    """Training loss of every cell as a line, a colour a size; diamonds are validation where a run ended."""
    figure, colors = go.Figure(), colors_of(curves["size"])
    work = FLOPS_PER_PARAM_TOKEN * curves["params"] * curves["tokens"]
    curves = curves.assign(place=curves["tokens"] if against == "tokens" else work)
    for size, rows in curves.groupby("size"):
        name = size_name(size)
        for _, line in rows[rows["stream"] != ENDPOINT].groupby(["cell", "stream"]):
            figure.add_scatter(
                x=line["place"], y=line["loss"], mode="lines", line={"color": colors[size], "width": 1}, opacity=0.6,
                name=name, legendgroup=name, showlegend=False, text=line["cell"],
                hovertemplate="%{text}, %{x:.3s}: %{y:.4f} in training<extra></extra>",
            )  # fmt: skip
        ends = rows[rows["stream"] == ENDPOINT]
        figure.add_scatter(
            x=ends["place"], y=ends["loss"], mode="markers", name=name, legendgroup=name, text=ends["cell"],
            marker={"color": colors[size], "size": 8, "symbol": "diamond"},
            hovertemplate="%{text}, %{x:.3s}: %{y:.4f} in validation<extra></extra>",
        )  # fmt: skip
    figure.update_layout(xaxis=AXES[against], yaxis=loss_axis(curves))
    return styled(figure)


def check_history(checks: pd.DataFrame) -> go.Figure | None:
    """A panel a metric over time; None where no check has one."""
    names = [str(name) for name in checks.columns if name != TIME and checks[name].notna().any()]
    if not names:
        return None
    ordered = checks.sort_values(TIME)
    figure, places = wrapped([f"<b>{name}</b>" for name in names])
    for name, place in zip(names, places, strict=True):
        told = ordered[ordered[name].notna()]
        figure.add_scatter(
            x=told[TIME], y=told[name], mode="lines+markers", name=name, showlegend=False,
            line={"color": GREY}, hovertemplate="%{x}: %{y:.4g}<extra></extra>", **place,
        )  # fmt: skip
    return figure
