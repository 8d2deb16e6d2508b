"""Figures of longcontext.json: scores against length, and against the tokens that an item takes.

The whole content of longcontext.json in, plotly figure out, in the style of figures.py. An arm keeps one colour; its
open programs are dashed and hollow.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import plotly.graph_objects as go

from analysis.figures import COUNT_AXIS, GREY, SEED_SYMBOLS
from analysis.figures_inference import bars, legend_once
from analysis.longcontext import ARMS, SOLVER, arm_name, arms_of, noted_windows, rows_of, shared_windows, tasks_of
from analysis.panels import Place, label_axes, wrapped
from analysis.wording import si
from analysis.wording_longcontext import windows_text

Table = Mapping[str, Any]
Row = Mapping[str, Any]
COLORS = dict(
    zip(
        ARMS,
        ("#5f9e2f", "#8d7f5a", "#3f86d1", "#2f9fb5", "#1f9e77", "#d98a1f", "#c4524a", "#a5794f",
         "#d58ac6", "#b0479e", "#7a6fd0"),
        strict=True,
    )
)  # fmt: skip
PANEL, LEGEND_LINE, ENTRIES = 190, 19, 7  # pixels; entries of the legend on a line
SCORE_AXIS = {"range": [-0.05, 1.08], "title": {"text": "mean score"}}
NOTED, SHARED = "circle", "x"  # symbols of the two lengths in the figure of costs


def score_against_length(table: Table) -> go.Figure:
    """A panel a task: the mean score of every arm with its 95% interval, and what guessing scores (dotted)."""
    tasks = tasks_of(table)
    reading = {row["task"]: row["reading"] for row in table["rows"]}
    figure, places = wrapped([f"<b>{task}</b><br><sup>reads {reading[task]}</sup>" for task in tasks], panel=PANEL)
    for task, place in zip(tasks, places, strict=True):
        rows = sorted(rows_of(table, task=task), key=lambda row: row["length_windows"])
        floor = {row["length_windows"]: row["chance"] for row in rows}
        figure.add_scatter(
            x=list(floor), y=list(floor.values()), mode="lines", name="chance",
            line={"color": GREY, "width": 1.5, "dash": "dot"}, hovertemplate="chance %{y:.3f}<extra></extra>", **place,
        )  # fmt: skip
        for name in arms_of(rows):
            _draw_arm(figure, [row for row in rows if arm_name(row) == name], place)
    lengths = sorted({row["length_windows"] for row in table["rows"]})
    ticks = {"tickvals": lengths, "ticktext": [si(length) for length in lengths], "tickangle": 0}
    label_axes(figure, places, {"type": "log", **ticks, "title": {"text": "length, windows"}}, SCORE_AXIS)
    return roomy(legend_once(figure))


def _draw_arm(figure: go.Figure, line: Sequence[Row], place: Place) -> None:
    color, scores = color_of(line[0]), [row["accuracy"] for row in line]
    figure.add_scatter(
        x=[row["length_windows"] for row in line], y=scores, mode="lines+markers", name=arm_name(line[0]),
        line={"color": color, "width": 3 if line[0]["arm"] == SOLVER else 1.5,
              "dash": "dash" if line[0]["profile"] == "open" else "solid"},
        marker={"color": color, "size": 6, "symbol": symbol_of(line[0])},
        error_y=bars(scores, [row["ci95"] for row in line], color), text=[said(row) for row in line],
        hovertemplate="%{text}<extra></extra>", **place,
    )  # fmt: skip


def score_against_tokens(table: Table) -> go.Figure:
    """The mean over tasks and a panel a task: the mean score against the tokens that an item takes.

    Circles are of the noted length, crosses of the longest that all arms share, where that is another.
    """
    lengths = [noted_windows(table)]
    lengths += [one for one in (shared_windows(table),) if one is not None and one != lengths[0]]
    tasks = [task for task in tasks_of(table) if any(rows_of(table, task=task, length_windows=n) for n in lengths)]
    means = [row for windows in lengths for row in means_over_tasks(table, windows)]
    panels = [("mean over tasks", means)] * bool(means) + [(task, rows_of(table, task=task)) for task in tasks]
    figure, places = wrapped([f"<b>{title}</b>" for title, _ in panels], panel=PANEL)
    for (_, rows), place in zip(panels, places, strict=True):
        for name in arms_of(table["rows"]):
            for windows, symbol in zip(lengths, (NOTED, SHARED), strict=False):
                own = [row for row in rows if arm_name(row) == name and row["length_windows"] == windows]
                if own:
                    _draw_cost(figure, own, symbol, place)
    label_axes(figure, places, {**COUNT_AXIS, "dtick": 1, "title": {"text": "tokens an item"}}, SCORE_AXIS)
    return roomy(legend_once(figure))


def _draw_cost(figure: go.Figure, own: Sequence[Row], symbol: str, place: Place) -> None:
    color, scores = color_of(own[0]), [row["accuracy"] for row in own]
    shown = f"{symbol}-open" if own[0]["profile"] == "open" else symbol
    figure.add_scatter(
        x=[row["tokens"] for row in own], y=scores, mode="markers", name=arm_name(own[0]),
        marker={"color": color, "size": 10 if own[0]["arm"] == SOLVER else 8, "symbol": shown},
        error_y=bars(scores, [row["ci95"] for row in own], color), text=[said(row) for row in own],
        hovertemplate="%{text}<extra></extra>", **place,
    )  # fmt: skip


def means_over_tasks(table: Table, windows: int) -> list[dict[str, Any]]:
    """A row an arm at a length, of the tasks that all of its arms have; empty with fewer than two such tasks.

    Each end of its interval is as far away as the tasks' own ends are together, in squares: tasks are drawn apart
    (Zou and Donner 2008, Statistics in Medicine 27:1693).
    """
    rows = rows_of(table, length_windows=windows)
    names = arms_of(rows)
    tasks = [task for task in tasks_of(table) if arms_of(row for row in rows if row["task"] == task) == names]
    found = []
    for name in names if len(tasks) > 1 else ():
        own = [row for row in rows if arm_name(row) == name and row["task"] in tasks]
        score = mean(row["accuracy"] for row in own)
        lows, highs = zip(*(row["ci95"] for row in own), strict=True)
        below, above = (math.dist([row["accuracy"] for row in own], ends) / len(own) for ends in (lows, highs))
        amounts = {amount: mean(row[amount] for row in own) for amount in ("tokens", "calls", "seconds")}
        told = {"task": f"mean of {len(tasks)} tasks", "accuracy": score, "ci95": [score - below, score + above]}
        found.append({**own[0], **told, **amounts})
    return found


def said(row: Row) -> str:
    """A row where a pointer rests on it."""
    low, high = row["ci95"]
    return (
        f"<b>{arm_name(row)}</b>, {row['task']}, {windows_text(row['length_windows'])}<br>"
        f"score {row['accuracy']:.3f} ({low:.3f} to {high:.3f})<br>"
        f"{si(row['calls'])} calls, {si(row['tokens'])} tokens, {si(row['seconds'])} s an item"
    )


def color_of(row: Row) -> str:
    """The colour of the arm, in either profile."""
    return COLORS.get(row["arm"], GREY)


def symbol_of(row: Row) -> str:
    """The symbol of the arm, hollow where its programs are open."""
    place = ARMS.index(row["arm"]) if row["arm"] in ARMS else 0
    return SEED_SYMBOLS[place % len(SEED_SYMBOLS)] + "-open" * (row["profile"] == "open")


def roomy(figure: go.Figure) -> go.Figure:
    """The figure with room above for as many lines of legend as its arms take."""
    entries = sum(trace.get("showlegend", True) for trace in figure.to_dict()["data"])
    more = LEGEND_LINE * ((entries - 1) // ENTRIES)
    top, height = figure.layout.margin.t, figure.layout.height
    return figure.update_layout(height=height + more, margin={"t": top + more})
