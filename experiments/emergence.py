"""`scalelab emergence`: a table of scores to labels; our own sweep's with a forecast and the detector's error rates."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from analysis.wording_emergence import threshold_text, width_text
from experiments.project import Project
from experiments.scores import DETECTED, DETECTOR, SCORES, write_scores
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd


def own_emergence() -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Of the project's own sweep, whose table it writes first; returns the scores and what emergence.json says."""
    from analysis.emergence import forecast_table, label_table
    from analysis.points import file_digest

    table = write_scores(Project.here())
    found = label_table(table[table["metric"].isin(DETECTED)], {SCORES.name: file_digest(SCORES)})
    labels = {(row["task"], row["metric"]): row["label"] for row in found["rows"]}
    likely = table[(table["metric"] == "exact_match") & ~table["task"].str.endswith("_generate")]
    forecast = forecast_table(likely, labels)
    return table, found | {"forecast": forecast, "simulation": simulated_rates()}


def simulated_rates() -> dict[str, Any]:
    """{design: {kind of curve: share called emergent}} of the committed simulation."""
    rates: dict[str, Any] = {}
    for cell in store.read_json(DETECTOR)["cells"]:
        if cell["labels"]:
            rates.setdefault(cell["design"], {})[cell["kind"]] = cell["emergent"]
    return rates


def emergence_of_table(path: Path) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Of anyone's table of scores; returns it and what `--json` writes."""
    from analysis.emergence import label_table, read_scores
    from analysis.points import file_digest

    table = read_scores(path)
    return table, label_table(table, {path.name: file_digest(path)})


def print_labels(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """A row a task and metric, then what to know about each."""
    whole = (Column(name, overflow="fold") for name in ("task", "metric", "label"))
    table = Table(*whole, "threshold (FLOPs)", "width (decades)", "over seeds", "rise", "p flat, sharp")
    for row in rows:
        table.add_row(
            Text(row["task"]),  # brackets in a name are no markup
            Text(row["metric"]),
            row["label"],
            threshold_text(row),
            width_text(row),
            _with_interval(row["pooled_width_decades"], row["pooled_width_ci95"], ".2f"),
            _number(row["amplitude"], ".2f"),
            f"{_number(row['p_flat'], '.3f')}, {_number(row['p_sharp'], '.3f')}",
        )
    console.print(table)
    for row in rows:
        for sentence in row["diagnostics"]:
            console.print(Text(f"{row['task']} {row['metric']}: {sentence}"))


def print_emergence(found: dict[str, Any]) -> None:
    """The labels, what was left out, and the runs that break through while they train."""
    console = Console(soft_wrap=True, highlight=False)
    print_labels(found["rows"], console)
    if found["left_out"]:
        counts = ", ".join(f"{metric} ({rows} rows)" for metric, rows in found["left_out"].items())
        console.print(Text(f"left out, without a chance in [0, 1) to compare with: {counts}"))
    for entry in found["training_time"]:
        if entry["threshold"] is not None:
            place = _with_interval(entry["threshold"], entry["threshold_ci95"], ".2e", " ")
            console.print(Text(f"{entry['task']} {entry['metric']}: run {entry['run']} at {entry['axis']} {place}"))


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _with_interval(value: float | None, ends: Sequence[float | None] | None, spec: str, gap: str = "\n") -> str:
    """An estimate over its interval; an end that the scores do not set is an ellipsis."""
    if value is None or ends is None:
        return "-"
    low, high = ("..." if end is None else format(end, spec) for end in ends)
    return f"{value:{spec}}{gap}({low} to {high})"
