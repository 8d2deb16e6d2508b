"""What `--html` writes: title and sections of a forecast, a design and continued curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import figures
from analysis.curves.table import Curve
from analysis.forecast import Forecaster
from analysis.laws import Array
from analysis.page import Section
from analysis.wording import plain, plain_between, si

Page = tuple[str, list[Section]]
NUM_BUDGETS = 40  # places at which a forecast is drawn


def forecast_page(forecaster: Forecaster, found: Mapping[str, Any]) -> Page:
    """One forecast, and the loss of the best run of every budget around it."""
    flops = figures.FLOPS_PER_PARAM_TOKEN * found["params"] * found["tokens"]  # of training: serving is not on the axis
    low, high = forecaster.ranges["flops"]
    budgets = np.geomspace(min(low, flops), 3 * max(high, flops), NUM_BUDGETS)
    best = pd.DataFrame([forecaster.best(budget) for budget in budgets])
    pi95 = np.array(best["pi95"].tolist())
    figure = go.Figure()
    figure.add_vrect(x0=low, x1=high, fillcolor=figures.BAND, line_width=0, annotation_text="fitted runs")
    add_band(figure, budgets, best["loss"].to_numpy(), pi95[:, 0], pi95[:, 1], "best run of the budget")
    bar = {"array": [found["pi95"][1] - found["loss"]], "arrayminus": [found["loss"] - found["pi95"][0]]}
    figure.add_scatter(
        x=[flops], y=[found["loss"]], mode="markers", name="the forecast",
        marker={"symbol": "star", "size": 13, "color": figures.ACCENT},
        error_y={"type": "data", "symmetric": False, "color": figures.ACCENT, **bar},
    )  # fmt: skip
    figure.update_layout(xaxis=figures.FLOPS_AXIS, yaxis={"type": "log", "title": {"text": "loss, nats a token"}})
    rows = [("loss", f"{found['loss']:.4f}", plain_between(found["pi95"], 4) + " (95% of further runs)")]
    for name in ("params", "tokens"):
        spread = plain_between(found[f"{name}_ci95"], 4) if f"{name}_ci95" in found else ""
        rows.append((name, plain(found[name], 4), spread))
    header = ("", "forecast", "95% interval")
    section = Section("Forecast", "; ".join(found["warnings"]), figures.styled(figure, ""), header, rows)
    served = f" and {si(found['tokens_served'])} tokens served" if "tokens_served" in found else ""
    return f"Loss {found['loss']:.4f} for {si(found.get('flops', flops))} FLOPs{served}", [section]


def design_page(forecaster: Forecaster, found: Mapping[str, Any]) -> Page:
    """The chosen runs among the sizes and tokens of the fit."""
    runs, ranges = pd.DataFrame(found["runs"]), forecaster.ranges
    figure = go.Figure()
    (x0, x1), (y0, y1) = ranges["params"], ranges["tokens"]
    figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, fillcolor=figures.BAND, line_width=0)
    figure.add_scatter(
        x=runs["params"], y=runs["tokens"], mode="markers+text", text=[str(n) for n in range(1, len(runs) + 1)],
        textposition="top center", name="chosen", marker={"size": 12, "color": figures.ACCENT},
        hovertemplate="%{x:.3s} parameters<br>%{y:.3s} tokens<extra></extra>",
    )  # fmt: skip
    figure.update_layout(
        xaxis={**figures.COUNT_AXIS, "title": {"text": "parameters"}},
        yaxis={**figures.COUNT_AXIS, "title": {"text": "tokens"}},
    )
    rows = [
        (
            str(number),
            plain(run["params"], 4),
            plain(run["tokens"], 4),
            si(run["flops"]),
            f"{run['remaining_sd']:.0%}",
        )
        for number, run in enumerate(found["runs"], start=1)
    ]
    note = f"To narrow the forecast at {si(found['forecast_flops'])} FLOPs. Shaded: the sizes and tokens of the fit."
    header = ("run", "parameters", "tokens", "FLOPs", "forecast's spread left")
    section = Section("The next runs", note, figures.styled(figure, ""), header, rows)
    return f"{len(runs)} runs worth their cost", [section]


def curves_page(curves: Sequence[Curve], rows: pd.DataFrame) -> Page:
    """Every continued curve: its training points, its forecast and the 95% band."""
    sections = []
    for curve in curves:
        if not len(curve.test_rows_T):
            continue
        ahead = rows.loc[curve.test_rows_T].sort_values("x")
        figure = go.Figure()
        figure.add_scatter(
            x=np.exp(curve.log_x_N), y=np.exp(curve.log_y_N), mode="markers", name="seen",
            marker={"color": figures.GREY, "size": 7},
        )  # fmt: skip
        x, middle, low, high = (ahead[name].to_numpy() for name in ("x", "yhat", "lo95", "hi95"))
        add_band(figure, x, middle, low, high, "forecast")
        figure.update_layout(
            xaxis={"type": "log", "title": {"text": "x"}}, yaxis={"type": "log", "title": {"text": "y"}}
        )
        sections.append(Section(" ".join(curve.keys.values()) or "curve", "", figures.styled(figure, "")))
    return f"{len(sections)} curves continued", sections


def add_band(figure: go.Figure, x: Array, middle: Array, low: Array, high: Array, name: str) -> None:
    """A line and the band around it."""
    figure.add_scatter(
        x=[*x, *reversed(x)], y=[*high, *reversed(low)], fill="toself", fillcolor=figures.BAND, line={"width": 0},
        mode="lines", name="95%", showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    line = {"color": figures.ACCENT, "width": 2}
    hover = "%{x:.3s}: %{y:.4g}<extra></extra>"
    figure.add_scatter(
        x=x, y=middle, mode="lines+markers" if len(x) < 30 else "lines", line=line, name=name, hovertemplate=hover
    )
