"""What `--html` writes: title and sections of a fit, a forecast, a design, continued curves and saturation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import figures, figures_isoflop, figures_saturation
from analysis.curves.table import Curve
from analysis.forecast import Forecaster
from analysis.laws import LAWS, Array
from analysis.page import Section
from analysis.wording import curve_name, data_name, saturation_law, saturation_tokens, si_between

Page = tuple[str, list[Section]]
NUM_BUDGETS = 40  # places at which a forecast is drawn


def fit_page(points: pd.DataFrame, law: Mapping[str, Any]) -> Page:
    """The law with its figures, approaches 1 and 2 where the table allows them, its rivals and its diagnostics."""
    content = dict(law)
    columns = set(LAWS[law["law"]].columns)
    note = (
        f"L = {law['formula']}, fitted to {law['num_points']} runs of {law['num_sizes']} sizes by {law['estimator']}; "
        f"objective {law['objective']:.9g}, reached by {law['starts_agreeing']} of {law['starts']} starts."
    )
    values = {**law["params"], **{name: law["exponents"][name] for name in ("a", "b") if law["exponents"]}}
    ends = law["ci95"] | {name: law["exponents"][f"{name}_ci95"] for name in ("a", "b") if law["exponents"]}
    rows = [(name, f"{value:.6g}", between(ends[name])) for name, value in values.items()]
    sections = [Section("The law", note, None, ("", "estimate", "95% interval"), rows)]
    # A law that reads the unique tokens has no one curve a size: its figures would draw it as if nothing repeated.
    if "unique_tokens" in columns:
        sections.append(
            Section("Figures", "The law depends on the unique tokens of every run: no curve shows all runs.")
        )
    elif "tokens" in columns:
        sections.append(Section("Loss against tokens", "", figures.loss_against_tokens(points, content)))
    else:
        sections.append(Section("Loss against parameters", "", figures.loss_against_params(points, content)))
    if law["exponents"] and "unique_tokens" not in columns:
        sections.append(Section("Equal compute", "", figures.isoflop(points, content)))
        sections.append(Section("The compute-optimal frontier", "", figures.frontier(points, content)))
    if columns == {"params", "tokens"}:
        sections.append(Section("What the law misses", "", figures.residuals(points, content)))
    sections += approach_sections(points, law["approaches"])
    if law["heldout"] and columns == {"params", "tokens"}:
        held = figures.predicted_against_measured(points, content)
        sections.append(Section("Predicted before it was seen", "", held))
    ranked = [
        (row["name"], percent(row["mean_abs_rel_error"]), percent(row["best_run_rel_error"]), row["reason"])
        for row in law["selection"]
    ]
    if ranked:
        header = ("on held-out compute", "mean error", "at the best run", "")
        sections.append(Section("Other forms, estimators and approaches", "", None, header, ranked))
    if law["diagnostics"]:
        found = [[finding[key] for key in ("name", "severity", "message", "remedy")] for finding in law["diagnostics"]]
        sections.append(Section("Before you trust it", "", None, ("name", "severity", "what", "remedy"), found))
    return f"Scaling law of {', '.join(law['inputs']) or 'the runs'}", sections


def approach_sections(points: pd.DataFrame, approaches: Mapping[str, Any]) -> list[Section]:
    """Approaches 1 and 2: their runs and their optima, or why the table does not allow them."""
    drawn = {"approach 1": figures_isoflop.training_envelope, "approach 2": figures_isoflop.isoflop_profiles}
    sections = []
    for name, found in approaches.items():
        if "refused" in found:
            sections.append(Section(name.capitalize(), f"Refused: {found['refused']}."))
            continue
        sections.append(Section(name.capitalize(), "", drawn[name](points, found)))
        sections.append(Section(f"Best runs by {name}", "", figures_isoflop.optimal_runs(found)))
    return sections


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
    rows = [("loss", f"{found['loss']:.4f}", between(found["pi95"]) + " (95% of further runs)")]
    for name in ("params", "tokens"):
        spread = between(found[f"{name}_ci95"]) if f"{name}_ci95" in found else ""
        rows.append((name, f"{found[name]:.4g}", spread))
    header = ("", "forecast", "95% interval")
    section = Section("Forecast", "; ".join(found["warnings"]), figures.styled(figure, ""), header, rows)
    served = f" and {found['tokens_served']:.3g} tokens served" if "tokens_served" in found else ""
    return f"Loss {found['loss']:.4f} for {found.get('flops', flops):.3g} FLOPs{served}", [section]


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
            f"{run['params']:.4g}",
            f"{run['tokens']:.4g}",
            f"{run['flops']:.4g}",
            f"{run['remaining_sd']:.0%}",
        )
        for number, run in enumerate(found["runs"], start=1)
    ]
    note = f"To narrow the forecast at {found['forecast_flops']:.3g} FLOPs. Shaded: the sizes and tokens of the fit."
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


def saturation_page(points: pd.DataFrame, found: Mapping[str, Any]) -> Page:
    """Curves, elasticities, and D_sat against size."""
    content = dict(found)
    header = ("parameters", "data", "curve", *(f"D_sat, eps {eps:g}" for eps in found["eps"]))
    rows = []
    for size in found["sizes"]:
        told = [f"{saturation_tokens(entry, size)} ({si_between(entry['ci95'])})" for entry in size["d_sat"]]
        rows.append((f"{size['params']:,.0f}", data_name(size), curve_name(size), *told))
    note = (
        "D_sat is the number of tokens from which the elasticity of the loss, -d ln L / d ln D, stays below eps: "
        "doubling the data beyond it lowers the loss by less than 0.7 eps. In brackets 95% intervals; > means that the "
        "longest run had not reached it, < that the shortest had. A curve has no end (a power law), a floor, or stops; "
        f"with it the weight of the evidence. Of {', '.join(found['inputs']) or 'the runs'}. "
    ) + "; ".join(saturation_law(law) for law in found["law"])
    drawn = [Section(title, caption, draw(points, content)) for _, draw, title, caption in figures_saturation.FIGURES]
    return "When does a size stop improving?", [Section("D_sat", note, None, header, rows), *drawn]


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


def between(ends: Sequence[float]) -> str:
    """An interval."""
    return f"{ends[0]:.4g} to {ends[1]:.4g}"


def percent(value: float | None) -> str:
    """A share, or a dash."""
    return "-" if value is None else f"{value:.2%}"
