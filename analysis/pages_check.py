"""Checks on a page: every kind over time against its baseline, and the last check row by row.

A result is what `scalelab check --json` writes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from analysis.figures import ACCENT, GREY, styled
from analysis.page import Section

Result = Mapping[str, Any]
TITLES = {
    "golden": "Golden losses over time",
    "law": "The law's parameters and intervals over time",
    "detector": "Errors of the emergence detector over time",
    "inference": "What decoding costs in counts, over time",
    "speed": "Speed over time",
}
NOTES = {
    "golden": "Losses, gradient norms and rates of tiny cells at fixed seeds.",
    "law": "Fits of fixed simulated tables, and the law of the checkout.",
    "detector": "Wrong labels on fixed simulated curves.",
    "inference": "Forwards, tokens and bytes of a decoder with random weights.",
    "speed": "Seconds a step in turns with the revision that each check was held against: above zero is slower.",
}
LOOKS = {
    "same": (GREY, "circle"),
    "faster": ("#2f9e8f", "triangle-down"),
    "regressed": ("#d1495b", "x"),
    "changed": ("#d98e2b", "diamond"),
    "incomparable": (ACCENT, "square"),
}
COUNTED = "detector"  # errors may be none: their difference is shown, not their ratio


def check_sections(history: Sequence[Result]) -> list[Section]:
    """A figure a kind that was ever checked, and a table of the last check; nothing without a check."""
    if not history:
        return []
    parts = [section for kind in TITLES for section in kind_section(kind, history)]
    return [*parts, last_section(history[-1])]


def kind_section(kind: str, history: Sequence[Result]) -> list[Section]:
    """How far every value of a kind lay from its baseline, by verdict."""
    marks = [mark for result in history for row in result["rows"] if (mark := mark_of(kind, result, row)) is not None]
    if not marks:
        return []
    checks = [result for result in history if kind in result["kinds"]]
    failed = sum(kind in result["failing"] for result in checks)
    note = f"{NOTES[kind]} {len(checks)} checks, {failed} of them failed in it."
    return [Section(TITLES[kind], note, over_time(kind, marks))]


def mark_of(kind: str, result: Result, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row as a point; None where it is of another kind or has no number to show."""
    was, now = row["baseline"], row["present"]
    if row["kind"] != kind or row["verdict"] not in LOOKS or not is_number(was) or not is_number(now):
        return None
    if kind == COUNTED:
        moved = float(now - was)
    elif was:
        moved = 100 * (now / was - 1)
    else:
        return None
    text = f"{row['name']}: {number(now)}, was {number(was)}<br>{result['revision'][:12]}, {row['verdict']}"
    return {"x": result["time"], "y": moved, "verdict": row["verdict"], "text": text}


def over_time(kind: str, marks: Sequence[Mapping[str, Any]]) -> go.Figure:
    """A point a row and check, coloured by its verdict; the ones that fail are drawn last."""
    figure = go.Figure()
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    for verdict, (color, symbol) in LOOKS.items():
        own = [mark for mark in marks if mark["verdict"] == verdict]
        if own:
            figure.add_scatter(
                x=[mark["x"] for mark in own], y=[mark["y"] for mark in own], text=[mark["text"] for mark in own],
                mode="markers", name=verdict, hovertemplate="%{text}<extra></extra>",
                marker={"color": color, "symbol": symbol, "size": 8, "opacity": 0.7},
            )  # fmt: skip
    title = "errors more than the baseline" if kind == COUNTED else "difference from the baseline, %"
    figure.update_layout(xaxis={"type": "date", "title": {"text": "check"}}, yaxis={"title": {"text": title}})
    return styled(figure, "")


def last_section(result: Result) -> Section:
    """The last check, row by row, what fails first."""
    rows = sorted(result["rows"], key=lambda row: not row["fails"])
    told = [
        (row["kind"], row["name"], row["verdict"], number(row["baseline"]), number(row["present"]), row["reason"])
        for row in rows
    ]
    dirty = " with changes that no commit holds" * bool(result["dirty"])
    note = (
        f"{result['time']}, revision {result['revision'][:12]}{dirty} against {str(result['baseline_revision'])[:12]} "
        f"on {result['machine']['processor']}: {result['outcome']}"
        + f", in {', '.join(result['failing'])}" * bool(result["failing"])
        + "."
    )
    header = ("kind", "name", "verdict", "baseline", "present", "reason")
    return Section("The last check", note, None, header, told)


def is_number(value: Any) -> bool:
    """Whether a row's value can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> str:
    """A row's value in a cell."""
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
