"""The figure of emergence.json's forecast: nats and scores of the runs beyond the cut, predicted and observed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.emergence_curves import with_curves
from analysis.figures import GREY, SEED_SYMBOLS, styled
from analysis.panels import Place
from analysis.wording_emergence import metric_name

TASK_COLORS = ("#b0479e", "#1f9e77", "#3f86d1", "#d98a1f", "#c4524a", "#7a6fd0", "#5f9e2f", "#2f9fb5")
LEFT: Place = {"row": 1, "col": 1}
RIGHT: Place = {"row": 1, "col": 2}


def forecasts(table: pd.DataFrame, found: Mapping[str, Any]) -> go.Figure | None:
    """Nats with their 95% intervals at the left, scores at the right; open symbols where nothing can be forecast.

    None where no forecast was made.
    """
    forecast = found.get("forecast")
    if not forecast or not forecast["rows"]:
        return None
    rows, figure = pd.DataFrame(forecast["rows"]), make_subplots(1, 2, horizontal_spacing=0.09)
    far = 1.05 * float(rows[["observed", "predicted"]].max().max())
    for place, end in ((LEFT, far), (RIGHT, 1.0)):
        line = {"color": GREY, "dash": "dot", "width": 1}
        figure.add_scatter(x=[0, end], y=[0, end], mode="lines", line=line, showlegend=False, hoverinfo="skip", **place)
    names = task_names(table, forecast)
    for index, task in enumerate(forecast["tasks"]):
        key = (task["task"], task["metric"])
        held, color = rows[(rows["task"] == key[0]) & (rows["metric"] == key[1])], TASK_COLORS[index % len(TASK_COLORS)]
        symbol = SEED_SYMBOLS[index % len(SEED_SYMBOLS)] + "-open" * (not task["can_be_forecast"])
        look = {
            "mode": "markers", "name": names[key], "legendgroup": names[key], "text": held["run"],
            "marker": {"color": color, "size": 8, "symbol": symbol}, "customdata": held["compute"],
            "hovertemplate": "%{text}, %{customdata:.2e} FLOPs<br>observed %{x:.3f}, predicted %{y:.3f}<extra></extra>",
        }  # fmt: skip
        low, high = held["pi95"].str[0], held["pi95"].str[1]
        bars = {
            "type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": color,
            "array": high - held["predicted"], "arrayminus": held["predicted"] - low,
        }  # fmt: skip
        figure.add_scatter(x=held["observed"], y=held["predicted"], error_y=bars, **look, **LEFT)
        figure.add_scatter(x=held["score"], y=held["score_predicted"], showlegend=False, **look, **RIGHT)
    for place, what, end in ((LEFT, "nats", far), (RIGHT, "score", 1.0)):
        axis = {"range": [-0.03 * end, 1.03 * end]}
        figure.update_xaxes({**axis, "title": {"text": f"observed {what}"}}, **place)
        figure.update_yaxes({**axis, "title": {"text": f"predicted {what}"}}, **place)
    return styled(figure, "")


def task_names(table: pd.DataFrame, forecast: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """What the forecast's tasks and metrics are called."""
    curves = dict(with_curves(table)[["task", "curve"]].itertuples(index=False, name=None))
    keys = [(task["task"], task["metric"]) for task in forecast["tasks"]]
    several = len({metric for _, metric in keys}) > 1
    return {(task, metric): curves.get(task, task) + f", {metric_name(metric)}" * several for task, metric in keys}
