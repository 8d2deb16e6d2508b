"""Figures of what thinking aloud buys: writing the steps against answering at once, and samples at test time."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from analysis.emergence_curves import steps_minus_direct
from analysis.figures import GREY, SEED_SYMBOLS, styled
from analysis.figures_emergence import FLOPS_AXIS
from analysis.panels import label_axes, wrapped
from analysis.wording import si

DIRECT = "direct"
WAYS = {"pass@": "one of k right", "majority@": "majority of k"}


def steps_against_direct(table: pd.DataFrame, _found: Mapping[str, Any]) -> go.Figure | None:
    """Score with steps less score without, of the same checkpoints; None where no ability has both."""
    gains = steps_minus_direct(table)
    if gains.empty:
        return None
    figure, abilities = go.Figure(), list(gains["ability"].unique())
    colors = sample_colorscale("Plasma", list(np.linspace(0.3, 0.87, max(2, len(abilities)))))
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    for index, ability in enumerate(abilities):
        rows, color = gains[gains["ability"] == ability], colors[index]
        mean = rows.groupby("compute")["difference"].mean()
        symbol = SEED_SYMBOLS[index % len(SEED_SYMBOLS)]
        figure.add_scatter(
            x=rows["compute"], y=rows["difference"], mode="markers", name=ability, legendgroup=ability,
            showlegend=False, marker={"color": color, "size": 6, "symbol": symbol, "opacity": 0.45}, text=rows["run"],
            hovertemplate="%{text}: %{y:+.3f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=mean.index, y=mean, mode="lines+markers", name=ability, legendgroup=ability,
            line={"color": color, "width": 2}, marker={"color": color, "size": 9, "symbol": symbol},
            hovertemplate=f"{ability}: mean %{{y:+.3f}} at %{{x:.2e}} FLOPs<extra></extra>",
        )  # fmt: skip
    figure.update_layout(xaxis=FLOPS_AXIS, yaxis={"title": {"text": "exact match, steps less direct"}})
    return styled(figure, "")


def samples_at_test_time(table: pd.DataFrame, _found: Mapping[str, Any]) -> go.Figure | None:
    """Score against samples, a line a scale: from the direct answer through pass@k and the majority of k.

    None where nothing was sampled.
    """
    sampled = samples_of(table)
    if sampled.empty:
        return None
    pairs = list(sampled[["ability", "way"]].drop_duplicates().itertuples(index=False, name=None))
    figure, places = wrapped([f"<b>{ability}</b> {WAYS[way]}" for ability, way in pairs], columns=2)
    scales = sorted(sampled["compute"].unique())
    colors = sample_colorscale("Plasma", list(np.linspace(0.3, 0.87, max(2, len(scales)))))
    for (ability, way), place in zip(pairs, places, strict=True):
        rows = sampled[(sampled["ability"] == ability) & (sampled["way"] == way)]
        for compute, color in zip(scales, colors, strict=False):
            line = rows[rows["compute"] == compute].sort_values("k")
            name = f"{si(compute)} FLOPs"
            figure.add_scatter(
                x=line["k"].map(lambda k: str(k) if k else DIRECT), y=line["value"], mode="lines+markers", name=name,
                legendgroup=name, showlegend=place == places[0], line={"color": color, "width": 2},
                marker={"color": color, "size": 6}, hovertemplate=f"{name}, %{{x}}: %{{y:.3f}}<extra></extra>", **place,
            )  # fmt: skip
        ordered = [str(k) if k else DIRECT for k in sorted(rows["k"].unique())]
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=ordered, **place)
    x_title = {"text": "samples with steps, after the direct answer"}
    label_axes(figure, places, {"title": x_title}, {"range": [-0.04, 1.04], "title": {"text": "score"}})
    return figure


def samples_of(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds by ability, way (pass@ or majority@), samples k and compute; k is 0 for the direct answer.

    A majority of one sample is that sample: pass@1 begins both ways.
    """
    if not {"ability", "style"} <= set(table):
        return pd.DataFrame()
    split = table["metric"].str.extract(r"^(?P<way>pass@|majority@)(?P<k>\d+)$")
    rows = table.assign(way=split["way"], k=split["k"])
    drawn = rows.dropna(subset=["k"])
    if drawn.empty:
        return pd.DataFrame()
    ways = list(drawn["way"].unique())
    first = drawn[drawn["metric"] == "pass@1"]
    direct = rows[
        (rows["metric"] == "exact_match") & (rows["style"] == DIRECT) & rows["ability"].isin(drawn["ability"])
    ]
    direct = direct[direct["task"].str.endswith(f"_{DIRECT}")].assign(k="0")
    shared = [part.assign(way=way) for way in ways for part in (first, direct)]
    every = pd.concat([drawn[drawn["metric"] != "pass@1"], *shared]).astype({"k": int})
    return every.groupby(["ability", "way", "k", "compute"], sort=False)["value"].mean().reset_index()
