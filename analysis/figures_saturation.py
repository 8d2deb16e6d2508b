"""Figures of saturation.json: table and JSON in, plotly figure out, in the style of figures.py.

A size keeps one colour; fresh data are drawn solid with filled symbols, repeated data dashed with open ones.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from analysis.figures import COUNT_AXIS, GREY, colors_of, loss_axis, styled
from analysis.laws import LAWS, Fitted
from analysis.saturation import curves_of, elasticity
from analysis.wording import data_name

CHINCHILLA = 20.0  # tokens a parameter that a budget is best spent on, by Hoffmann et al. (2022)
OPEN = 30.0
PAST = 3.0  # how far beyond its longest run a curve is drawn


def saturating_loss(points: pd.DataFrame, found: dict) -> go.Figure:
    """Every run against its tokens, and the form that its size and data speak for."""
    figure, colors = go.Figure(), colors_of(size["params"] for size in found["sizes"])
    runs = {(float(table["params"].iloc[0]), unique): table for table, unique in curves_of(points)}
    for size in found["sizes"]:
        style, rows = look(size, colors[size["params"]]), runs[size["params"], size["unique_tokens"]]
        reach = np.geomspace(size["shortest_tokens"], size["longest_tokens"], 80)
        figure.add_scatter(
            x=reach, y=chosen_form(size).loss(size["params"], reach), mode="lines", line=style["line"],
            name=style["name"], legendgroup=style["name"], showlegend=False, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=rows["tokens"], y=rows["loss"], mode="markers", marker=style["marker"], name=style["name"],
            legendgroup=style["name"], text=rows["cell"],
            hovertemplate="%{text}, %{x:.3s} tokens<br>loss %{y:.4f}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(xaxis={**COUNT_AXIS, "title": {"text": "training tokens"}}, yaxis=loss_axis(points))
    return styled(figure, legend_title="parameters ")


def elasticities(_points: pd.DataFrame, found: dict) -> go.Figure:
    """-d ln L / d ln D along every curve, dotted beyond its longest run, with D_sat and its interval at each eps."""
    figure, colors = go.Figure(), colors_of(size["params"] for size in found["sizes"])
    for size in found["sizes"]:
        style, form = look(size, colors[size["params"]]), chosen_form(size)
        ends = (size["shortest_tokens"], size["longest_tokens"], PAST * size["longest_tokens"])
        for low, high, dash in ((ends[0], ends[1], style["line"]["dash"]), (ends[1], ends[2], "dot")):
            reach = np.geomspace(low, high, 80)
            figure.add_scatter(
                x=reach, y=elasticity(form.law, form.theta_K[None], np.log(reach))[0], mode="lines",
                line={**style["line"], "dash": dash}, name=style["name"], legendgroup=style["name"],
                showlegend=bool(low == ends[0]), hoverinfo="skip",
            )  # fmt: skip
        reached = pd.DataFrame([entry for entry in size["d_sat"] if entry["reached"]])
        if not reached.empty:
            figure.add_scatter(
                x=reached["tokens"], y=reached["eps"], mode="markers", marker=style["marker"], name=style["name"],
                legendgroup=style["name"], showlegend=False, error_x=token_bars(reached, style["line"]["color"]),
                hovertemplate="eps %{y}: %{x:.3s} tokens<extra></extra>",
            )  # fmt: skip
    for eps in found["eps"]:
        figure.add_hline(y=eps, line={"color": GREY, "width": 1, "dash": "dot"})
    title = {"text": "elasticity -d ln L / d ln D"}
    figure.update_layout(xaxis={**COUNT_AXIS, "title": {"text": "training tokens"}}, yaxis={"title": title})
    return styled(figure, legend_title="parameters ")


def saturation_against_size(_points: pd.DataFrame, found: dict) -> go.Figure:
    """D_sat against parameters by eps: reached with its interval and law, or an arrow where the longest run ended."""
    figure = go.Figure()
    drawn = sample_colorscale("Viridis", [0.28, 0.45, 0.62, 0.8])
    colors = {eps: str(color) for eps, color in zip(found["eps"], drawn, strict=True)}
    reach = np.geomspace(*spread_of([size["params"] for size in found["sizes"]]), 20)
    for eps, color in colors.items():
        for data, dash in (("fresh", "solid"), ("epochs", "dash")):
            entries = pd.DataFrame(
                [
                    {"params": size["params"], "longest": size["longest_tokens"], **entry}
                    for size in found["sizes"]
                    for entry in size["d_sat"]
                    if size["data"] == data and entry["eps"] == eps
                ]
            )
            if entries.empty:
                continue
            name = f"{eps:g} {data}"
            reached, beyond = entries[entries["reached"]], entries[~entries["reached"]]
            open_symbol = "circle" if data == "fresh" else "circle-open"
            figure.add_scatter(
                x=reached["params"], y=reached["tokens"], mode="markers", name=name, legendgroup=name,
                marker={"color": color, "size": 9, "symbol": open_symbol}, error_y=token_bars(reached, color),
                hovertemplate=f"{data}, eps {eps:g}<br>%{{x:.3s}} parameters: %{{y:.3s}} tokens<extra></extra>",
            )  # fmt: skip
            figure.add_scatter(
                x=beyond["params"], y=beyond["longest"], mode="markers", name=f"{name} not reached", legendgroup=name,
                marker={"color": color, "size": 11, "symbol": "arrow-up-open"}, showlegend=False,
                hovertemplate=f"{data}, eps {eps:g}: not reached by %{{y:.3s}} tokens<extra></extra>",
            )  # fmt: skip
            for law in found["law"]:
                if (law["data"], law["eps"]) == (data, eps):
                    figure.add_scatter(
                        x=reach, y=law["k"] * reach ** law["p"], mode="lines", name=f"N^{law['p']:.2f}",
                        line={"color": color, "width": 2, "dash": dash}, legendgroup=name, showlegend=False,
                        hoverinfo="skip",
                    )  # fmt: skip
    figure.add_scatter(
        x=reach, y=CHINCHILLA * reach, mode="lines", line={"color": GREY, "dash": "dot"}, name="20 tokens a parameter",
        hoverinfo="skip",
    )  # fmt: skip
    title = {"text": "tokens at which the elasticity falls below eps"}
    figure.update_layout(
        xaxis={**COUNT_AXIS, "title": {"text": "parameters"}}, yaxis={**COUNT_AXIS, "dtick": 1, "title": title}
    )
    return styled(figure, legend_title="eps ")


def chosen_form(size: dict) -> Fitted:
    """The form with the greatest weight."""
    name = max(size["models"], key=lambda form: size["models"][form])
    return Fitted.of(LAWS[name], size["fitted"][name])


def look(size: dict, color: str) -> dict:
    """Name, line and symbol of one size on one kind of data."""
    repeated = size["data"] == "epochs"
    return {
        "name": f"{size['params']:,.0f} {data_name(size)}",
        "line": {"color": color, "width": 2, "dash": "dash" if repeated else "solid"},
        "marker": {"color": color, "size": 8, "symbol": "circle-open" if repeated else "circle"},
    }


def token_bars(entries: pd.DataFrame, color: str) -> dict:
    """Error bars of the 95% intervals of D_sat; one without end is drawn to OPEN times the tokens."""
    low = pd.to_numeric(entries["ci95"].str[0]).fillna(entries["tokens"] / OPEN)
    high = pd.to_numeric(entries["ci95"].str[1]).fillna(entries["tokens"] * OPEN)
    return {
        "type": "data", "symmetric": False, "array": (high - entries["tokens"]).clip(lower=0),
        "arrayminus": (entries["tokens"] - low).clip(lower=0), "color": color, "thickness": 1.5, "width": 4,
    }  # fmt: skip


def spread_of(values: list[float]) -> tuple[float, float]:
    """The range of the values with a margin."""
    return min(values) / 1.3, max(values) * 1.3


# Name, drawing, title and caption of each, in the order of a page.
FIGURES = (
    ("saturating", saturating_loss, "Loss far past the compute-optimal tokens",
     "Filled symbols and solid lines: every token seen once. Open symbols and dashes: one fixed set of tokens, again "
     "and again. Lines are the form that the runs of that size speak for."),
    ("elasticities", elasticities, "What more data still buys",
     "The elasticity: by how many per cent the loss falls for one per cent more tokens. Symbols mark where it falls "
     "below each eps within the runs, bars are 95% intervals (one without end is cut off at 30 times), dots lie beyond "
     "the longest run."),
    ("d-sat", saturation_against_size, "Where improvement ends, against size",
     "D_sat at each eps: filled for fresh data, open for repeated, an arrow where the longest run had not reached it."),
)  # fmt: skip
