"""Widgets of the notebooks: a dial, and what results say where it stands, as lines above a figure and a table.

Every dial is made of a function from what its controls say to what is shown: nothing is trained, measured or fitted.
"""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io

from analysis import figures_inference, figures_longcontext, figures_runs, figures_saturation
from analysis.emergence_curves import curves_of, labels_of, with_curves
from analysis.figures_emergence import scores_by_metric
from analysis.forecast import Forecaster
from analysis.longcontext import SOLVER, arm_name, compared, profiles_of, rows_of
from analysis.pages import forecast_page
from analysis.saturation import saturation_tokens
from analysis.wording import data_name, doubling_gain, si, si_between
from analysis.wording import saturation_tokens as tokens_text
from analysis.wording_emergence import label_sentence, metric_name
from analysis.wording_inference import check_text, checks_of, factor, quality_text, setting_text, size_text
from analysis.wording_longcontext import standing_sentence, windows_text

BEYOND = 1e4  # times the largest compute of the fit, to which the dial of budgets goes
ALL_SIZES = 0.0
WIDE = {"style": {"description_width": "10em"}, "layout": {"width": "46em"}}


@dataclass(frozen=True)
class Shown:
    """What a dial says at one place."""

    lines: Sequence[str] = field(default_factory=list)
    figure: go.Figure | None = None
    table: pd.DataFrame | None = None


def dial(shown: Callable[..., Shown], **controls: Any) -> ipywidgets.VBox:
    """The controls, and below them what `shown` gives for their values, renewed whenever one moves.

    A ValueError of `shown` is what the dial says there. Children: controls, lines (HTML), figure and table (Output).
    """
    lines, drawn = ipywidgets.HTML(), ipywidgets.Output()

    def renew(_change: Any = None) -> None:
        try:
            now = shown(**{name: control.value for name, control in controls.items()})
        except ValueError as error:
            now = Shown([str(error)])
        lines.value = "".join(f"<div>{html.escape(line)}</div>" for line in now.lines)
        drawn.outputs = tuple({"output_type": "display_data", "data": data, "metadata": {}} for data in bundles(now))

    for control in controls.values():
        control.observe(renew, names="value")
    renew()
    return ipywidgets.VBox([*controls.values(), lines, drawn])


def bundles(shown: Shown) -> list[dict[str, Any]]:
    """Figure and table, where they are, as Jupyter displays them."""
    found: list[dict[str, Any]] = []
    if shown.figure is not None:
        found.append(plotly.io.renderers["plotly_mimetype"].to_mimebundle(shown.figure.to_dict()))
    if shown.table is not None:
        found.append({"text/html": shown.table.to_html(index=False)})
    return found


def budget_dial(law: Mapping[str, Any]) -> ipywidgets.VBox:
    """A training budget, and tokens to be served out of it: best size, tokens and loss with their intervals."""
    forecaster = Forecaster.of(law)
    low, high = (math.log10(flops) for flops in forecaster.ranges["flops"])
    first = round(math.log10(forecaster.ranges["tokens"][0]))
    served = [("none", 0.0), *((si(10.0**power), 10.0**power) for power in range(first, first + 7))]
    return dial(
        lambda flops, tokens_served: budget(forecaster, flops, tokens_served),
        flops=ipywidgets.FloatLogSlider(
            value=10 ** round(high + 1, 1), min=round(low - 1, 1), max=round(high + math.log10(BEYOND), 1), step=0.1,
            description="FLOPs to spend", readout_format=".2e", continuous_update=False, **WIDE,
        ),
        tokens_served=ipywidgets.SelectionSlider(
            options=served, description="tokens served", continuous_update=False, **WIDE
        ),
    )  # fmt: skip


def budget(forecaster: Forecaster, flops: float, tokens_served: float) -> Shown:
    """What the law says of one budget. Raises ValueError where serving alone costs more."""
    found = forecaster.served(flops, tokens_served) if tokens_served else forecaster.best(flops)
    warnings = forecaster.warnings(found)

    def spread(name: str) -> str:
        return f" ({' to '.join(map(si, found[name]))})" if name in found else ""

    low, high = found["pi95"]
    told = [
        f"Of {flops:.3g} FLOPs" + f", {si(tokens_served)} tokens served out of them" * bool(tokens_served) + ":",
        f"best size {si(found['params'])}{spread('params_ci95')} parameters",
        f"tokens {si(found['tokens'])}{spread('tokens_ci95')}, {found['tokens_per_param']:.3g} a parameter",
        f"loss {found['loss']:.4f} ({low:.4f} to {high:.4f}, 95% of further runs)",
        *(f"Beware: {warning}" for warning in warnings),
    ]
    _, (section,) = forecast_page(forecaster, {**found, "warnings": warnings})
    return Shown(told, section.figure)


def eps_dial(points: pd.DataFrame, found: Mapping[str, Any]) -> ipywidgets.VBox:
    """The elasticity that counts as saturated: from how many tokens each size has less."""
    slider = ipywidgets.FloatSlider(
        value=found["eps"][0], min=0.005, max=0.1, step=0.005, description="eps", readout_format=".3f",
        continuous_update=False, **WIDE,
    )  # fmt: skip
    return dial(lambda eps: saturated(points, found, eps), eps=slider)


def saturated(points: pd.DataFrame, found: Mapping[str, Any], eps: float) -> Shown:
    """D_sat of every size at one eps; with its interval at those that saturation.json has."""
    sizes = [{**size, "d_sat": [saturation_at(size, eps)]} for size in found["sizes"]]
    told = [f"Doubling the data lowers the loss by less than {doubling_gain(eps)}:"]
    for size in sizes:
        entry = size["d_sat"][0]
        spread = f" ({si_between(entry['ci95'])})" if entry["has_interval"] else ""
        told.append(f"{size['params']:,.0f} parameters, {data_name(size)}: {tokens_text(entry, size)} tokens{spread}")
    told.append(f"Intervals were drawn at eps {', '.join(f'{known:g}' for known in found['eps'])}.")
    return Shown(told, figures_saturation.elasticities(points, {**found, "eps": [eps], "sizes": sizes}))


def saturation_at(size: Mapping[str, Any], eps: float) -> dict[str, Any]:
    """An entry of `d_sat` at any eps: as it was written, or of the chosen form alone, whose interval has no width."""
    for entry in size["d_sat"]:
        if math.isclose(entry["eps"], eps, rel_tol=1e-6):
            return {**entry, "has_interval": True}
    form, span = figures_saturation.chosen_form(dict(size)), (size["shortest_tokens"], size["longest_tokens"])
    tokens = float(saturation_tokens(form.law, np.asarray(form.theta_K)[None], eps, span)[0])
    reached = tokens <= size["longest_tokens"]
    return {"eps": eps, "tokens": tokens, "ci95": [tokens, tokens], "reached": reached, "has_interval": False}


def task_dial(scores: pd.DataFrame, found: Mapping[str, Any]) -> ipywidgets.VBox:
    """One ability at a time: its label by every metric, and every run."""
    names = [name for name in curves_of(scores, found) if name in {curve for curve, _ in labels_of(scores, found)}]
    menu = ipywidgets.Dropdown(options=names, description="ability", **WIDE)
    return dial(lambda name: ability(scores, found, name), name=menu)


def ability(scores: pd.DataFrame, found: Mapping[str, Any], name: str) -> Shown:
    """The labels of one curve and its scores, metric by metric."""
    curves = with_curves(scores)
    own = curves[curves["curve"] == name].drop(columns="curve")
    told = [
        label_sentence(row, metric_name(metric)) for (curve, metric), row in labels_of(scores, found).items()
        if curve == name
    ]  # fmt: skip
    return Shown(told, scores_by_metric(own, found))


def technique_dial(table: Mapping[str, Any]) -> ipywidgets.VBox:
    """One acceleration at one size, or at all: every row with its check, and the speeds that passed."""
    sizes = sorted({row["params"] for row in table["rows"]})
    techniques = list(dict.fromkeys(row["technique"] for row in table["rows"]))
    return dial(
        lambda technique, params: accelerated(table, technique, params),
        technique=ipywidgets.Dropdown(options=techniques, description="technique", **WIDE),
        params=ipywidgets.SelectionSlider(
            options=[("all", ALL_SIZES), *((si(size), float(size)) for size in sizes)], description="parameters", **WIDE
        ),
    )


def accelerated(table: Mapping[str, Any], technique: str, params: float) -> Shown:
    """The rows of one technique, of one size or of all."""
    rows = [r for r in table["rows"] if r["technique"] == technique and params in (ALL_SIZES, r["params"])]
    if not rows:
        return Shown([f"{technique} was not measured at {si(params)} parameters."])
    fast = [row for row in rows if row["status"] == "ok"]
    told = f"{len(fast)} of {len(rows)} passed their check"
    if fast:
        best = max(fast, key=lambda row: row["ratio"])
        speed = f"{factor(best['ratio'], best['ci95'])} times {best['against']}"
        told += f"; the fastest is {speed}, at {size_text(best)}, {setting_text(best)}"
    header = ("parameters", "prompt + new, batch", "status", "times faster", "checks", "quality")
    shown = [
        (size_text(row), setting_text(row), row["status"], factor(row.get("ratio"), row.get("ci95")),
         ", ".join(map(check_text, checks_of(row))) or row.get("reason", ""), quality_text(row))
        for row in rows
    ]  # fmt: skip
    return Shown([f"{told}."], figures_inference.ratios({**table, "rows": rows}), pd.DataFrame(shown, columns=header))


def windows_dial(table: Mapping[str, Any]) -> ipywidgets.VBox:
    """One length at a time: how every arm scores, and for how many tokens."""
    lengths = sorted({row["length_windows"] for row in table["rows"]})
    slider = ipywidgets.SelectionSlider(
        options=[(windows_text(length), length) for length in lengths], value=lengths[-1], description="length", **WIDE
    )
    return dial(lambda windows: at_length(table, windows), windows=slider)


def at_length(table: Mapping[str, Any], windows: int) -> Shown:
    """Every arm on every task at one length."""
    rows = rows_of(table, length_windows=windows)
    told = []
    for profile in profiles_of({"rows": rows}):
        own = [row for row in rows if row["arm"] == SOLVER and row["profile"] == profile]
        where = f"Programs {profile}, {windows_text(windows)}"
        told.append(standing_sentence([compared(table, row) for row in own], where))
    shown = pd.DataFrame([{"task": row["task"], "arm": arm_name(row), "score": row["accuracy"]} for row in rows])
    wide = shown.pivot_table(index="task", columns="arm", values="score").round(2).reset_index()
    return Shown(told, figures_longcontext.score_against_tokens({**table, "rows": rows}), wide)


def curve_dial(curves: pd.DataFrame) -> ipywidgets.VBox:
    """The learning curves of one suite at a time, against tokens or compute; columns as figures_runs.py has them."""
    suites = list(dict.fromkeys(curves["suite"]))
    return dial(
        lambda suite, against: learned(curves, suite, against),
        suite=ipywidgets.Dropdown(options=suites, description="suite", **WIDE),
        against=ipywidgets.ToggleButtons(options=list(figures_runs.AXES), description="against", **WIDE),
    )


def learned(curves: pd.DataFrame, suite: str, against: str) -> Shown:
    """The curves of one suite, and who ended lowest."""
    own = curves[curves["suite"] == suite]
    ends = own[own["stream"] == figures_runs.ENDPOINT]
    told = [f"{suite}: {own['cell'].nunique()} cells, {len(ends)} runs to their end"]
    if len(ends):
        best = ends.sort_values("loss").iloc[0]
        told.append(f"least loss {best['loss']:.4f}: {best['cell']} after {si(best['tokens'])} tokens")
    return Shown(told, figures_runs.learning_curves(own, against))
