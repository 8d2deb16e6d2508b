"""Figures of approaches 1 and 2: table and their part of law.json in, plotly figure out, in the style of figures.py."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from analysis.envelope import training_curves, winners
from analysis.figures import BAND, COUNT_AXIS, FLOPS_AXIS, GREY, loss_axis, styled
from analysis.profiles import budget_profiles

COMPUTE_AXIS = {**FLOPS_AXIS, "title": {"text": "training compute, FLOPs"}}


def isoflop_profiles(points: pd.DataFrame, approach: dict) -> go.Figure:
    """Approach 2: loss against size on every budget, with its minimum; a budget without one is dotted."""
    figure, profiles = go.Figure(), budget_profiles(points)
    colors = _shades(len(profiles))
    optimum_of = {f"{optimum['flops']:.6e}": optimum for optimum in approach["optima"]}
    for index, (profile, color) in enumerate(zip(profiles, colors, strict=True)):
        flops = float(np.exp(profile.log_flops))
        optimum = optimum_of.get(f"{flops:.6e}")
        x_G, y_GP = profile.curve(profile.log_loss_S[:, None])
        figure.add_scatter(
            x=np.exp(x_G), y=np.exp(y_GP[:, 0]), mode="lines", name=f"{flops:.1e}", legendgroup=str(index),
            line={"color": color, "width": 2, "dash": "dot" if optimum is None else "solid"}, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=np.exp(profile.log_params_S), y=np.exp(profile.log_loss_S), mode="markers", showlegend=False,
            name=f"runs {flops:.1e}", legendgroup=str(index), marker={"color": color, "size": 7},
            hovertemplate=f"{flops:.2e} FLOPs<br>%{{x:.3s}} parameters<br>loss %{{y:.4f}}<extra></extra>",
        )  # fmt: skip
    optima = pd.DataFrame(approach["optima"])
    figure.add_scatter(
        x=optima["params"], y=optima["loss"], mode="markers", name="optimum",
        marker={"symbol": "star", "size": 12, "color": GREY}, error_x=_bars(optima, "params"),
        hovertemplate="best size %{x:.3s}<br>loss %{y:.4f}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(xaxis={**COUNT_AXIS, "title": {"text": "parameters"}}, yaxis=loss_axis(points))
    return styled(figure, legend_title="FLOPs ")


def training_envelope(points: pd.DataFrame, approach: dict) -> go.Figure:
    """Approach 1: the mean curve of every size over compute, the points where it is best, and the loss through them."""
    figure = go.Figure()
    log_flops_G, curves = training_curves(points)
    log_loss_SG = np.stack([curve.mean(curve.log_loss_RG) for curve in curves])
    (winner_G,), (least_G,) = winners(log_loss_SG[:, None])
    for size, (curve, color) in enumerate(zip(curves, _shades(len(curves)), strict=True)):
        num_params, won_G = float(np.exp(curve.log_params)), winner_G == size
        hover = f"{num_params:.3g} parameters<br>%{{x:.2e}} FLOPs<br>loss %{{y:.4f}}<extra></extra>"
        figure.add_scatter(
            x=np.exp(log_flops_G), y=np.exp(log_loss_SG[size]), mode="lines", name=f"{num_params:.2g}",
            line={"color": color, "width": 1.5}, legendgroup=str(size), hovertemplate=hover,
        )  # fmt: skip
        figure.add_scatter(
            x=np.exp(log_flops_G[won_G]), y=np.exp(least_G[won_G]), mode="markers", name="envelope", showlegend=False,
            marker={"color": color, "size": 7}, legendgroup=str(size), hovertemplate=hover,
        )  # fmt: skip
    if approach["loss"] is not None:
        _add_line(figure, approach, "loss", approach["loss"]["formula"])
    figure.update_layout(xaxis=COMPUTE_AXIS, yaxis=loss_axis(points))
    return styled(figure, legend_title="parameters ")


def optimal_runs(approach: dict) -> go.Figure:
    """Either approach: best parameters and best tokens against compute, with the fitted lines and their 95% bands."""
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    optima, exponents = pd.DataFrame(approach["optima"]), approach["exponents"]
    for column, (name, exponent) in enumerate((("params", "a"), ("tokens", "b")), start=1):
        title = "parameters" if name == "params" else "tokens"
        _add_line(figure, approach, name, f"{title} ~ C^{exponents[exponent]:.3f}", row=1, col=column)
        figure.add_scatter(
            x=optima["flops"], y=optima[name], mode="markers", name=f"best {title}", showlegend=False,
            marker={"color": GREY, "size": 8}, error_y=_bars(optima, name), row=1, col=column,
            hovertemplate=f"%{{x:.2e}} FLOPs<br>%{{y:.3s}} {title}<extra></extra>",
        )  # fmt: skip
        figure.update_xaxes(**COMPUTE_AXIS, row=1, col=column)
        figure.update_yaxes(type="log", tickformat="~s", title={"text": f"best {title}"}, row=1, col=column)
    return styled(figure, legend_title="")


def _add_line(figure: go.Figure, approach: dict, name: str, label: str, **place: int) -> None:
    """One of the three fitted lines and its band."""
    flops, band = approach["bands"]["flops"], approach["bands"][name]
    figure.add_scatter(
        x=[*flops, *reversed(flops)], y=[*band["high"], *reversed(band["low"])], fill="toself", fillcolor=BAND,
        line={"width": 0}, mode="lines", name=f"95% of {label}", showlegend=False, hoverinfo="skip", **place,
    )  # fmt: skip
    line = {"color": GREY, "width": 2, "dash": "dash"}
    figure.add_scatter(x=flops, y=band["value"], mode="lines", line=line, name=label, hoverinfo="skip", **place)


def _bars(optima: pd.DataFrame, name: str) -> dict | None:
    """Error bars of the 95% intervals, where the optima have them."""
    if f"{name}_ci95" not in optima:
        return None
    low, high = np.array(optima[f"{name}_ci95"].tolist()).T
    array, arrayminus = np.maximum(high - optima[name], 0), np.maximum(optima[name] - low, 0)
    return {
        "type": "data", "symmetric": False, "array": array, "arrayminus": arrayminus,
        "color": GREY, "thickness": 1, "width": 3,
    }  # fmt: skip


def _shades(count: int) -> list[str]:
    return [str(color) for color in sample_colorscale("Viridis", list(np.linspace(0.28, 0.8, max(2, count))))][:count]
