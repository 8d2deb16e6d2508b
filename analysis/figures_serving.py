"""Figures of inference.json beyond single speeds: quality, acceptance, compositions, load and distillation.

The whole content of inference.json in, plotly figure out; None where there is nothing to draw.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analysis.figures import BAND, COUNT_AXIS, GREY, colors_of, styled
from analysis.figures_inference import SETTING_COLORS, bars, legend_once, ratio_axis
from analysis.inference.acceptance import DATA_ALONE, RATES, way_name
from analysis.inference.rows import grouped
from analysis.panels import label_axes, wrapped
from analysis.wording import si
from analysis.wording_inference import VERDICTS

Table = Mapping[str, Any]
VERDICT_COLORS = {"product": "#1f9e77", "more": "#3f86d1", "less": "#d98a1f", "undetermined": GREY}
POLICY_COLORS = {"sequential": GREY, "static": "#3f86d1", "continuous": "#b0479e"}
LOAD_PANELS = (
    ("tokens_per_second", "tokens a second"),
    ("seconds_to_first_token", "seconds to the first token"),
    ("seconds_per_token", "seconds a token after it"),
)
CONTRASTS = (
    ("loss", "loss, nats a token"),
    ("score", "mean score"),
    ("greedy", "acceptance, greedy"),
    ("sampling", "acceptance, sampling"),
)


def acceptance_against_size(table: Table) -> go.Figure | None:
    """Greedy and sampled acceptance against the drafter's share of the target's size, of each suite; the laws.

    A colour a way.
    """
    rows = table.get("acceptance") or []
    if not rows:
        return None
    panels = [(suite, own, rate) for suite, own in grouped(rows, ("suite",)) for rate in RATES]
    titles = [f"<b>{', '.join(filter(None, (suite['suite'], rate)))}</b>" for suite, _, rate in panels]
    figure, places = wrapped(titles, columns=2, panel=300)
    ways = sorted({way_name(row["way"]) for row in rows}, key=lambda way: (way != DATA_ALONE, way))
    for (suite, alike, rate), place in zip(panels, places, strict=True):
        shares = [row["drafter_params"] / row["target_params"] for row in alike]
        reach = np.geomspace(min(shares), max(shares), 60)
        which = {"law": "acceptance", **suite, "rate": rate}
        law = next((one for one in table["laws"] if which.items() <= one.items()), None)
        for way, color in zip(ways, SETTING_COLORS * len(ways), strict=False):
            own = [row for row in alike if way_name(row["way"]) == way and row[rate] is not None]
            if not own:
                continue
            values = [row[rate] for row in own]
            figure.add_scatter(
                x=[row["drafter_params"] / row["target_params"] for row in own], y=values, mode="markers", name=way,
                marker={"color": color, "size": 7},
                error_y=bars(values, [row.get(f"{rate}_ci95") or (row[rate],) * 2 for row in own], color),
                text=[f"{row['drafter']} for {row['target']}" for row in own],
                hovertemplate="%{text}, share %{x:.3g}: %{y:.3f}<extra></extra>", **place,
            )  # fmt: skip
            if law and law["coefficients"] and (way in law["coefficients"] or way == law["baseline_way"]):
                told = {name: entry["value"] for name, entry in law["coefficients"].items()}
                logit = told["constant"] + told.get("size_ratio", 0.0) * np.log(reach) + told.get(way, 0.0)
                figure.add_scatter(
                    x=reach, y=1 / (1 + np.exp(-logit)), mode="lines", line={"color": color, "width": 2}, name="law",
                    hoverinfo="skip", **place,
                )  # fmt: skip
    x_axis = {"type": "log", "dtick": "D2", "title": {"text": "drafter's parameters over target's"}}
    label_axes(figure, places, x_axis, {"range": [0, 1.02], "title": {"text": "accepted"}})
    return legend_once(figure)


def divergence_against_size(table: Table) -> go.Figure | None:
    """A panel a lossy technique: divergence against parameters, a colour a number of training tokens; the law."""
    rows = [row for row in table.get("precision") or [] if row["status"] == "ok" and row["kl"] > 0]
    if not rows:
        return None
    techniques, colors = list(dict.fromkeys(row["technique"] for row in rows)), colors_of(row["tokens"] for row in rows)
    figure, places = wrapped([f"<b>{name}</b>" for name in techniques], columns=2, panel=260)
    for technique, place in zip(techniques, places, strict=True):
        law = next(one for one in table["laws"] if one["law"] == "quality-pooled" and one["technique"] == technique)
        for tokens, color in colors.items():
            own = sorted(
                (row for row in rows if (row["technique"], row["tokens"]) == (technique, tokens)),
                key=lambda row: row["params"],
            )
            if not own:
                continue
            sizes, values = [row["params"] for row in own], [row["kl"] for row in own]
            figure.add_scatter(
                x=sizes, y=values, mode="markers", name=f"{si(tokens)} tokens", marker={"color": color, "size": 7},
                error_y=bars(values, [row["kl_ci95"] for row in own], color), text=[row["model"] for row in own],
                hovertemplate="%{text}, %{x:.3s} parameters: %{y:.3g} nats<extra></extra>", **place,
            )  # fmt: skip
            if law["coefficients"]:
                reach = np.geomspace(min(sizes), max(sizes), 40)
                figure.add_scatter(
                    x=reach, y=_pooled_value(law, params=reach, tokens=tokens), mode="lines", name="law",
                    line={"color": color, "width": 2}, hoverinfo="skip", **place,
                )  # fmt: skip
    y_axis = {"type": "log", "exponentformat": "power", "dtick": "D2", "title": {"text": "KL divergence, nats a token"}}
    label_axes(figure, places, {**COUNT_AXIS, "title": {"text": "parameters"}}, y_axis)
    return legend_once(figure)


def _pooled_value(law: Mapping[str, Any], **axes: Any) -> np.ndarray:
    """A pooled law where these are its axes."""
    told = {name: entry["value"] for name, entry in law["coefficients"].items()}
    log_value = told.pop("constant")
    for name, slope in told.items():
        log_value = log_value + slope * np.log(axes[name] / law["reference"][name])
    return np.exp(log_value)


def products(table: Table) -> go.Figure | None:
    """Two techniques together against the product of what each gains alone; the band is what the control may miss."""
    rows = [row for row in table.get("compositions") or [] if row["status"] == "ok"]
    if not rows:
        return None
    figure = go.Figure()
    values = [row[name] for row in rows for name in ("product", "ratio_both")]
    detectable = table["control"]["detectable"]
    ends = np.array([min(*values, 1.0) / 1.2, max(*values, 1.0) * 1.2])
    figure.add_scatter(
        x=[*ends, *ends[::-1]], y=[*(ends * detectable), *(ends[::-1] / detectable)], fill="toself", fillcolor=BAND,
        line={"width": 0}, name="may be nothing", hoverinfo="skip", showlegend=False, mode="lines",
    )  # fmt: skip
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": GREY, "dash": "dot", "width": 1},
        showlegend=False,
        hoverinfo="skip",
    )
    for verdict, color in VERDICT_COLORS.items():
        own = [row for row in rows if row["verdict"] == verdict]
        if own:
            both = [row["ratio_both"] for row in own]
            spread = [[row["product"] * end for end in row["synergy_ci95"]] for row in own]
            figure.add_scatter(
                x=[row["product"] for row in own], y=both, mode="markers", name=VERDICTS[verdict],
                marker={"color": color, "size": 9}, error_y=bars(both, spread, color),
                text=[f"{row['first']} with {row['second']}, {row['model']}" for row in own],
                hovertemplate="%{text}<br>product %{x:.3g}, measured %{y:.3g}<extra></extra>",
            )  # fmt: skip
    x_axis, y_axis = (
        {**ratio_axis(values), "title": {"text": title}} for title in ("product of the two alone", "both together")
    )
    figure.update_layout(xaxis=x_axis, yaxis=y_axis)
    return styled(figure, "")


def load(table: Table) -> go.Figure | None:
    """Throughput and latencies by policy and arrival rate: solid medians, dotted 95th percentiles."""
    row = loaded_row(table)
    if row is None:
        return None
    figure, places = wrapped([f"<b>{title}</b>" for _, title in LOAD_PANELS], columns=3, panel=260)
    for (name, _), place in zip(LOAD_PANELS, places, strict=True):
        for policy in dict.fromkeys(entry["policy"] for entry in row["load"]):
            own = sorted(
                (entry for entry in row["load"] if entry["policy"] == policy),
                key=lambda entry: entry["requests_per_second"],
            )
            rates = [entry["requests_per_second"] for entry in own]
            for level in ("p50", "p95") if isinstance(own[0][name], Mapping) else ("",):
                values = [entry[name][level] if level else entry[name] for entry in own]
                figure.add_scatter(
                    x=rates, y=values, mode="lines+markers", name=policy,
                    line={"color": POLICY_COLORS.get(policy, GREY), "dash": "dot" if level == "p95" else "solid"},
                    hovertemplate=f"{policy} {level} at %{{x:.3g}} requests/s: %{{y:.3g}}<extra></extra>", **place,
                )  # fmt: skip
        scale = {} if name == "tokens_per_second" else {"type": "log", "dtick": "D2"}
        figure.update_yaxes({"tickformat": "~s", **scale}, **place)
    label_axes(figure, places, {"type": "log", "dtick": "D2", "title": {"text": "requests a second"}}, {})
    return legend_once(figure)


def loaded_row(table: Table) -> Mapping[str, Any] | None:
    """The load that is drawn: of the largest trained member's largest batch, or of random weights without a member."""
    loaded = [row for row in table["rows"] if row["status"] == "ok" and row.get("load")]
    return max(loaded, key=lambda row: (row["trained"], row["params"], row["batch"])) if loaded else None


def distilled(table: Table) -> go.Figure | None:
    """What each way of distillation changes against training on data alone, with 95% intervals; a colour a size."""
    contrasts = (table.get("distillation") or {}).get("contrasts") or []
    if not contrasts:
        return None
    figure, places = wrapped([f"<b>{title}</b>" for _, title in CONTRASTS], columns=2, panel=200)
    colors = colors_of(row["size"] for row in contrasts)
    ways = list(dict.fromkeys(row["way"] for row in contrasts))
    for (name, _), place in zip(CONTRASTS, places, strict=True):
        figure.add_vline(x=0, line={"color": GREY, "width": 1}, **place)
        for index, (size, color) in enumerate(colors.items()):
            own = [row for row in contrasts if row["size"] == size]
            values = [row[name]["difference"] for row in own]
            shift = 0.3 * (index - (len(colors) - 1) / 2)
            figure.add_scatter(
                x=values, y=[ways.index(row["way"]) + shift for row in own], mode="markers", name=f"width {size}",
                marker={"color": color, "size": 8}, error_x=bars(values, [row[name]["ci95"] for row in own], color),
                text=[row["way"] for row in own], hovertemplate="%{text}: %{x:+.3g}<extra></extra>", **place,
            )  # fmt: skip
        ticks = {"tickvals": list(range(len(ways))), "ticktext": ways, "range": [-0.6, len(ways) - 0.4]}
        figure.update_yaxes(ticks if place["col"] == 1 else {**ticks, "showticklabels": False}, **place)
    label_axes(figure, places, {"title": {"text": "change"}}, {})
    return legend_once(figure).update_layout(margin={"l": 90})
