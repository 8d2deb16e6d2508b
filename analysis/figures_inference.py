"""Figures of speed in inference.json: ratios by technique and size, laws with their held-out point, crossovers.

The whole content of inference.json in, plotly figure out, in the style of figures.py; None where there is nothing to
draw. A row without a speed (incorrect, unsupported) has none here either.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analysis.figures import BAND, COUNT_AXIS, GREY, SEED_SYMBOLS, colors_of, styled
from analysis.inference import law_values
from analysis.panels import Place, label_axes, wrapped
from analysis.wording import plain_between, si
from analysis.wording_inference import axis_name, line_text, setting_text, size_text

Table = Mapping[str, Any]
SETTING = ("prompt", "output", "batch")
ROW_PIXELS, AROUND = 54, 150  # of a technique, and of legend and axis
SETTING_COLORS = ("#b0479e", "#1f9e77", "#3f86d1", "#d98a1f", "#c4524a", "#7a6fd0", "#5f9e2f", "#2f9fb5")
RATIO_AXIS = {"type": "log", "title": {"text": "times faster"}}
RATIO_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30, 50, 100)


def ratios(table: Table) -> go.Figure | None:
    """Every speed with its 95% interval: a line a technique, colours sizes, symbols settings; the control's band."""
    rows = [row for row in table["rows"] if row["status"] == "ok"]
    if not rows:
        return None
    figure, names = go.Figure(), list(dict.fromkeys(contest_name(row) for row in rows))
    sizes, settings = sorted({row["params"] for row in rows}), settings_of(rows)
    colors = colors_of(sizes)
    detectable = table["control"]["detectable"]
    figure.add_vrect(x0=1 / detectable, x1=detectable, fillcolor=BAND, line_width=0)
    figure.add_vline(x=1, line={"color": GREY, "width": 1})
    for size in sizes:
        own = [row for row in rows if row["params"] == size]
        shift, values = 0.7 * ((sizes.index(size) + 0.5) / len(sizes) - 0.5), [row["ratio"] for row in own]
        figure.add_scatter(
            x=values, y=[names.index(contest_name(row)) + shift for row in own], mode="markers",
            name=size_text(own[0]), error_x=bars(values, [row["ci95"] for row in own], colors[size]),
            marker={"color": colors[size], "size": 7,
                    "symbol": [SEED_SYMBOLS[settings.index(setting(row)) % len(SEED_SYMBOLS)] for row in own]},
            text=[f"{contest_name(row)}<br>{size_text(row)}, {setting_text(row)}<br>{plain_between(row['ci95'])}"
                  for row in own],
            hovertemplate="%{text}<br>%{x:.3g} times faster<extra></extra>",
        )  # fmt: skip
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.4, -0.6]}
    figure.update_layout(xaxis=ratio_axis([end for row in rows for end in row["ci95"]]), yaxis=ticks)
    return styled(figure, "parameters ").update_layout(
        height=AROUND + ROW_PIXELS * len(names), margin={"l": 235}, showlegend=True
    )


def ratios_against_size(table: Table) -> go.Figure | None:
    """A panel a technique: ratio against parameters, a colour a setting; the law and what it foresaw."""
    rows = [row for row in table["rows"] if row["status"] == "ok" and row["trained"]]
    names = dict.fromkeys(contest_name(row) for row in rows)
    names = [name for name in names if len({row["params"] for row in rows if contest_name(row) == name}) > 1]
    if not names:
        return None
    figure, places = wrapped([f"<b>{name}</b>" for name in names], columns=2)
    settings = settings_of(rows)
    for name, place in zip(names, places, strict=True):
        own = [row for row in rows if contest_name(row) == name]
        figure.add_hline(y=1, line={"color": GREY, "width": 1, "dash": "dot"}, **place)
        for index, alike in enumerate(settings):
            line = sorted((row for row in own if setting(row) == alike), key=lambda row: row["params"])
            if line:
                _draw_line(figure, line, SETTING_COLORS[index % len(SETTING_COLORS)], place)
        for law in table["laws"]:
            if law["law"] == "speed" and contest_name(law) == name and law["form"]:
                color = SETTING_COLORS[settings.index(setting(law)) % len(SETTING_COLORS)]
                _draw_law(figure, law, color, place)
        figure.update_yaxes(ratio_axis([end for row in own for end in row["ci95"]]), **place)
    label_axes(figure, places, {**COUNT_AXIS, "title": {"text": "parameters"}}, {"title": {"text": "times faster"}})
    return legend_once(figure)


def _draw_line(figure: go.Figure, line: Sequence[Mapping[str, Any]], color: str, place: Place) -> None:
    values = [row["ratio"] for row in line]
    figure.add_scatter(
        x=[row["params"] for row in line], y=values, mode="markers", name=setting_text(line[0]),
        marker={"color": color, "size": 7}, error_y=bars(values, [row["ci95"] for row in line], color),
        text=[row["model"] for row in line], hovertemplate="%{text}, %{x:.3s} parameters: %{y:.3g}<extra></extra>",
        **place,
    )  # fmt: skip


def _draw_law(figure: go.Figure, law: Mapping[str, Any], color: str, place: Place) -> None:
    """The law, and beside the largest member its prediction."""
    sizes = [point["params"] for point in law["points"]]
    reach = np.geomspace(sizes[0], sizes[-1], 60)
    figure.add_scatter(
        x=reach, y=law_values(law, reach), mode="lines", line={"color": color, "width": 2}, name="law",
        hoverinfo="skip", **place,
    )  # fmt: skip
    held = law["heldout"]
    if held:
        figure.add_scatter(
            x=[held["params"] * 1.12], y=[held["prediction"]], mode="markers", name="foreseen, 90% interval",
            marker={"color": color, "size": 9, "symbol": "diamond-open"},
            error_y=bars([held["prediction"]], [held["interval"]], color),
            hovertemplate=f"foreseen by {held['num_fitted']} smaller members: %{{y:.3g}}<extra></extra>", **place,
        )  # fmt: skip


def crossing_places(table: Table) -> go.Figure | None:
    """A panel an axis: where a technique turns from gain to loss, between the points (thin line) that enclose it."""
    lines = [line for line in table["crossovers"] if line["crossings"]]
    axes = list(dict.fromkeys(line["axis"] for line in lines))
    if not axes:
        return None
    most = max(sum(line["axis"] == axis for line in lines) for axis in axes)
    figure, places = wrapped([f"<b>{axis_name(axis)}</b>" for axis in axes], columns=1, panel=30 * most + 60)
    color = SETTING_COLORS[0]
    for axis, place in zip(axes, places, strict=True):
        own = [line for line in lines if line["axis"] == axis]
        for line in own:
            name = line_text(line)
            for one in line["crossings"]:
                ends = [end or far for end, far in zip(one["ci95"], one["between"], strict=True)]
                figure.add_scatter(
                    x=one["between"], y=[name, name], mode="lines", line={"color": GREY, "width": 1},
                    name="between these points", hoverinfo="skip", **place,
                )  # fmt: skip
                figure.add_scatter(
                    x=[one["at"]], y=[name], mode="markers", name="passes 1, 95% interval",
                    marker={"color": color, "size": 8}, error_x=bars([one["at"]], [ends], color),
                    hovertemplate=f"{name}<br>%{{x:.3s}} {axis_name(axis)}<extra></extra>", **place,
                )  # fmt: skip
        figure.update_xaxes({**COUNT_AXIS, "title": {"text": axis_name(axis)}}, **place)
    figure.update_yaxes(automargin=True, tickfont={"size": 11})
    return legend_once(figure)


def contest_name(row: Mapping[str, Any]) -> str:
    """A technique and what it is compared with."""
    other = [row[name] for name, usual in (("dtype", "float32"), ("device", "cpu")) if row[name] != usual]
    return f"{', '.join([row['technique'], *other])}<br><sup>against {row.get('against') or '-'}</sup>"


def setting(row: Mapping[str, Any]) -> tuple:
    """The cell of the grid."""
    return tuple(row[name] for name in SETTING)


def settings_of(rows: Sequence[Mapping[str, Any]]) -> list[tuple]:
    """The cells of the grid, in order."""
    return sorted({setting(row) for row in rows})


def bars(values: Sequence[float], ends: Sequence[Sequence[float]], color: str) -> dict[str, Any]:
    """Error bars from intervals."""
    return {
        "type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": color,
        "array": [high - value for value, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [value - low for value, (low, _) in zip(values, ends, strict=True)],
    }  # fmt: skip


def ratio_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis around these ratios and 1, with round ticks."""
    low, high = min(*values, 1.0) / 1.15, max(*values, 1.0) * 1.15
    ticks = [tick for tick in RATIO_TICKS if low <= tick <= high]
    return {
        **RATIO_AXIS,
        "range": np.log10([low, high]).tolist(),
        "tickvals": ticks,
        "ticktext": [si(t) for t in ticks],
    }


def legend_once(figure: go.Figure) -> go.Figure:
    """One entry a name, however many panels have it."""
    seen: set[str] = set()

    def enter(trace: Any) -> None:
        trace.update(legendgroup=trace.name, showlegend=trace.name not in seen)
        seen.add(trace.name)

    return figure.for_each_trace(enter)
