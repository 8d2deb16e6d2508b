"""Emergence on a page: sentences, tables and figures, for `--html` and for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.emergence_curves import (
    at_largest_scale,
    curves_of,
    labels_of,
    main_rows,
    steps_minus_direct,
    with_curves,
)
from analysis.figures_emergence import map_of_scores, scatter_of_seeds, scores_by_metric
from analysis.figures_foreseen import forecasts, task_names
from analysis.figures_steps import samples_at_test_time, steps_against_direct
from analysis.figures_thresholds import thresholds
from analysis.page import Section
from analysis.wording import si
from analysis.wording_emergence import (
    MEANINGS,
    METRICS,
    counted,
    detector_sentence,
    forecast_sentences,
    interval,
    metric_name,
    threshold_text,
    width_text,
)

AXIS_NAMES = {"params": "parameters", "tokens": "tokens", "loss": "loss, nats a token"}
QUESTION = "Which abilities emerge, and where?"
# Drawing, title and caption of each, in the order of a page; a drawing without data is left out.
FIGURES = (
    (scores_by_metric, "Scores against compute, metric by metric",
     "Every run is a dot, diamonds are means over seeds, the dotted line is what guessing scores. The coloured curve "
     "is the likeliest rise, as a mean over seeds; the dashed line its threshold with the band of its 95% interval. "
     "Where exact match jumps and the log-likelihood of the same answers does not, the metric made the jump."),
    (thresholds, "Thresholds and widths",
     "The compute at which half of the rise is done, and the decades of compute from a tenth to nine tenths of it; "
     "bars are 95% intervals, cut off where the axis ends. Left of the dotted line a rise is sharp."),
    (map_of_scores, "Parameters and tokens",
     "Every run by its size and its tokens, seeds side by side, coloured by score."),
    (steps_against_direct, "What writing the steps buys",
     "Exact match with the steps written out, less exact match of the answer at once, of the same checkpoints: lines "
     "are means, small symbols runs."),
    (samples_at_test_time, "What samples at test time buy",
     "From the answer at once through one sampled solution with steps to eight: as soon as one of them is right "
     "(pass@k), or where the most frequent answer is (majority). A line is a scale."),
    (scatter_of_seeds, "Do seeds fall into two groups?",
     "Every seed; p is the probability of a scatter as divided as this one if there is one group at every scale."),
)  # fmt: skip


def emergence_page(table: pd.DataFrame, found: Mapping[str, Any]) -> tuple[str, list[Section]]:
    """What `scalelab emergence --html` writes of a table of scores and its emergence.json."""
    main = main_rows(table, found)
    several = f"{len(main)} curves" if len(main) > 1 else "One curve"
    return f"{several}: {counted(row['label'] for row in main.values())}", emergence_sections(table, found)


def emergence_sections(
    table: pd.DataFrame, found: Mapping[str, Any], detector: Mapping[str, Any] | None = None
) -> list[Section]:
    """Labels, what they rest on, and the figures; `detector` is what `scalelab bench emergence` wrote."""
    main = main_rows(table, found)
    sentences = [
        f"By {' and '.join(dict.fromkeys(metric_name(row['metric']) for row in main.values()))}: "
        f"{counted(row['label'] for row in main.values())}.",
        MEANINGS,
        "In brackets 95% intervals.",
    ]
    if detector is not None:
        sentences.append(detector_sentence(detector))
    header, rows = label_rows(table, found)
    sections = [Section(QUESTION, " ".join(sentences), None, header, rows)]
    known = [(name, "; ".join(row["diagnostics"])) for name, row in main.items() if row["diagnostics"]]
    if known:
        sections.append(Section("Before you trust these labels", "", None, ("", "what to know"), known))
    drawn = [(draw(table, found), title, caption) for draw, title, caption in FIGURES]
    sections += [Section(title, caption, figure) for figure, title, caption in drawn if figure is not None]
    sections += forecast_section(table, found) + metric_section(table, found)
    return sections + axes_section(main) + run_section(found)


def label_rows(table: pd.DataFrame, found: Mapping[str, Any]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Header and a row a curve."""
    curves, gains = with_curves(table), at_largest_scale(steps_minus_direct(table))
    about = curves.drop_duplicates("curve").set_index("curve").replace({np.nan: None})
    header = ["", "label", "threshold, FLOPs", "width, decades", "rise"]
    header += ["kind"] * ("kind" in about) + ["steps less direct"] * bool(gains)
    rows = []
    for name, row in main_rows(table, found).items():
        rise = "-" if row["amplitude"] is None else f"{row['amplitude']:.2f}"
        cells = [name, row["label"], threshold_text(row), width_text(row), rise]
        if "kind" in about:
            cells.append(str(about.loc[name, "kind"] or ""))
        if gains:
            gain = gains.get(str(about.loc[name, "ability"])) if about.loc[name, "style"] == "steps" else None
            cells.append("" if gain is None else f"{gain[0]:+.2f} ({gain[1]:+.2f} to {gain[2]:+.2f})")
        rows.append(cells)
    return header, rows


def metric_section(table: pd.DataFrame, found: Mapping[str, Any]) -> list[Section]:
    """Labels of every curve under every labelled metric, where there are several."""
    labels, names = labels_of(table, found), curves_of(table, found)
    metrics = list(dict.fromkeys(metric for _, metric in labels))
    if len(metrics) < 2:
        return []
    ordered = [metric for metric in METRICS if metric in metrics]
    ordered += [metric for metric in metrics if metric not in ordered]
    rows = [
        [name, *(labels[name, metric]["label"] if (name, metric) in labels else "" for metric in ordered)]
        for name in names
    ]
    note = "The same runs, scored otherwise."
    return [Section("Labels by metric", note, None, ["", *map(metric_name, ordered)], rows)]


def axes_section(main: Mapping[str, Mapping[str, Any]]) -> list[Section]:
    """Thresholds along parameters, tokens and loss, of curves that rise."""
    axes = [axis for axis in AXIS_NAMES if any(axis in row["axes"] for row in main.values())]
    rows = []
    for name, row in main.items():
        if row["threshold"] is None:
            continue
        places = (row["axes"].get(axis) for axis in axes)
        rows.append([name, *("" if place is None else axis_text(place) for place in places)])
    if not axes or not rows:
        return []
    note = "The same rises against what else grew from run to run; each axis by itself, whatever the others did."
    return [Section("Thresholds along other axes", note, None, ["", *(AXIS_NAMES[axis] for axis in axes)], rows)]


def axis_text(place: Mapping[str, Any]) -> str:
    """A threshold along an axis."""
    return f"{si(place['threshold'])} ({interval(place['threshold_ci95'])})"


def run_section(found: Mapping[str, Any]) -> list[Section]:
    """Runs that break through while they train, where the table has checkpoints on the way."""
    rows = [
        (f"{entry['task']}, {entry['run']}", metric_name(entry["metric"]), entry["axis"], axis_text(entry))
        for entry in found["training_time"]
        if entry["threshold"] is not None
    ]
    note = "Checkpoints of one run, apart from the comparison of runs: where the score rises while it trains."
    return [Section("While a run trains", note, None, ("run", "metric", "axis", "threshold"), rows)] if rows else []


def forecast_section(table: pd.DataFrame, found: Mapping[str, Any]) -> list[Section]:
    """The largest runs as they were predicted from the others."""
    figure = forecasts(table, found)
    if figure is None:
        return []
    names = task_names(table, found["forecast"])
    rows = [
        (
            names[task["task"], task["metric"]],
            f"{task['widest_interval']:.2f}" + " (beyond a forecast)" * (not task["can_be_forecast"]),
            f"{task['mean_absolute_error']:.3f}",
            f"{task['persistence_error']:.3f}",
            "risen below the cut" if task["risen_below_cut"] else f"{task['probability_of_rise']:.0%}",
            task["label"] or "",
        )
        for task in found["forecast"]["tasks"]
    ]
    header = ("", "widest interval, nats", "error", "of no change", "chance of a rise", "label by all runs")
    note = " ".join(forecast_sentences(found["forecast"]))
    return [Section("Predicted before it was seen", note, figure, header, rows)]
