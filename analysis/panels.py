"""Small multiples: axes, titles and heights that stay readable however many panels there are."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures import styled

PANEL, GAP, TITLE, TOP, BOTTOM = 140, 58, 34, 78, 52  # pixels; a gap holds tick labels and a title of two lines
BESIDE = 0.055  # of the width, for the tick labels between two panels
COLUMNS = 3
SMALL = {"tickfont": {"size": 11}, "title_font": {"size": 12}}
Place = dict[str, Any]  # row and col


def wrapped(titles: Sequence[str], columns: int = COLUMNS, panel: int = PANEL + 40) -> tuple[go.Figure, list[Place]]:
    """A figure with a panel a title, so many a line, and the places of the panels."""
    columns = min(columns, len(titles))
    lines = [titles[start : start + columns] for start in range(0, len(titles), columns)]
    return in_lines(lines, panel)


def in_lines(lines: Sequence[Sequence[str]], panel: int = PANEL) -> tuple[go.Figure, list[Place]]:
    """A figure with these titles on its lines, each line from the left, and the places of the panels."""
    columns, inside = max(map(len, lines)), len(lines) * panel + (len(lines) - 1) * GAP
    places = [{"row": row, "col": col} for row, line in enumerate(lines, 1) for col, _ in enumerate(line, 1)]
    figure = make_subplots(
        len(lines), columns, horizontal_spacing=min(BESIDE, 0.25 / columns),
        vertical_spacing=GAP / inside if len(lines) > 1 else 0,
        specs=[[{} if col < len(line) else None for col in range(columns)] for line in lines],
        subplot_titles=[title for line in lines for title in line],
    )  # fmt: skip
    styled(figure, "")
    for annotation, axis in zip(figure.select_annotations(), figure.select_xaxes(), strict=True):
        annotation.update(
            x=axis.domain[0], xanchor="left", align="left", yanchor="bottom", yshift=2, font={"size": 12.5}
        )
    figure.update_layout(
        height=inside + TOP + BOTTOM, margin={"l": 52, "r": 12, "t": TOP, "b": BOTTOM}, showlegend=True,
        legend={"y": 1 + (TITLE + 4) / inside, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    return figure, places


def label_axes(figure: go.Figure, places: Sequence[Place], x: Mapping[str, Any], y: Mapping[str, Any]) -> None:
    """The same axes for all panels, with titles at the lowest panel of a column and the first of a line."""
    lowest = {place["col"]: place["row"] for place in places}
    for place in places:
        edge = lowest[place["col"]] == place["row"]
        figure.update_xaxes({**SMALL, **x, "title": x.get("title") if edge else None}, **place)
        figure.update_yaxes({**SMALL, **y, "title": y.get("title") if place["col"] == 1 else None}, **place)
