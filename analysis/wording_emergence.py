"""How labels, thresholds and forecasts of emergence are said, on the screen, in pages and in the report.

Standard library only. A row is one of `rows` in emergence.json.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.wording import si

LABELS = ("emergent", "mirage", "smooth", "saturated", "flat", "undetermined")
MEANINGS = (
    "Emergent: flat at chance, then a rise within less than a decade of compute that a score without cliffs shows too. "
    "Mirage: as sharp, but the likelihood of the same answers gains smoothly. Smooth: a rise of a decade or more. "
    "Saturated and flat: nothing left to gain, nothing gained. Undetermined: the runs do not say."
)
METRICS = {
    "exact_match": "exact match",
    "logprob_per_char": "log-likelihood a character",
    "edit_similarity": "edit similarity",
    "acc": "accuracy",
    "brier": "Brier score",
    "icl_score": "gain from context, nats a character",
}


def metric_name(metric: str) -> str:
    """A metric in words."""
    return METRICS.get(metric, metric)


def interval(ends: Sequence[float | None] | None, decimals: int | None = None) -> str:
    """An interval of counts, or of numbers with so many decimals; an end that is None is open."""
    if ends is None:
        return ""
    low, high = (None if end is None else si(end) if decimals is None else f"{end:.{decimals}f}" for end in ends)
    if low is None:
        return "open" if high is None else f"{high} or less"
    return f"{low} or more" if high is None else f"{low} to {high}"


def threshold_text(row: Mapping[str, Any]) -> str:
    """Where it rises, in FLOPs, with its interval; a dash where no rise was placed."""
    if row["threshold"] is None:
        return "-"
    return f"{si(row['threshold'])} ({interval(row['threshold_ci95'])})"


def width_text(row: Mapping[str, Any]) -> str:
    """From a tenth to nine tenths of the rise, in decades, with its interval."""
    if row["width_decades"] is None:
        return "-"
    return f"{row['width_decades']:.2f} ({interval(row['width_ci95'], 2)})"


def counted(labels: Iterable[str]) -> str:
    """Labels counted, in the order of LABELS: "2 emergent, 1 flat"."""
    count = Counter(labels)
    return ", ".join(f"{count[label]} {label}" for label in LABELS if count[label])


def label_sentence(row: Mapping[str, Any], name: str) -> str:
    """One curve in a line."""
    placed = f", threshold {threshold_text(row)} FLOPs, width {width_text(row)} decades"
    reasons = f" ({'; '.join(row['diagnostics'])})" if row["diagnostics"] else ""
    return f"{name}: {row['label']}" + placed * (row["threshold"] is not None) + reasons


def forecast_sentences(forecast: Mapping[str, Any]) -> list[str]:
    """What predicting the runs beyond the cut was worth, and how many emergent tasks it missed."""
    beyond = sum(not task["can_be_forecast"] for task in forecast["tasks"])
    said = [
        f"Runs of more than {si(forecast['cut_compute'])} FLOPs were predicted from the smaller ones: the nats of "
        f"their answers, and from these the scores. {beyond} of {len(forecast['tasks'])} tasks are beyond a forecast, "
        "because their 95% interval says nothing."
    ]
    if forecast["num_pairs"]:
        said.append(
            f"Of the others, {forecast['num_pairs']} pairs of a run and a task: mean absolute error "
            f"{forecast['mean_absolute_error']:.3f} nats, against {forecast['persistence_error']:.3f} for no change, "
            f"and {forecast['score_error']:.3f} of the score; {forecast['coverage']:.0%} inside their 95% interval."
        )
    later, predicted, beyond = (
        forecast[f"num_emergent_{name}"] for name in ("above_cut", "predicted", "beyond_forecast")
    )
    said.append(
        f"Of {later} emergent tasks that rise above the cut {predicted} were predicted to rise, {beyond} were declared "
        f"beyond a forecast and {later - predicted - beyond} missed."
        if later
        else "No emergent task rises above the cut, so that there was none to miss."
    )
    return said


NOTHING_SHARP = ("flat", "linear", "power", "convex", "2", "1.3")


def detector_sentence(bench: Mapping[str, Any]) -> str:
    """How often the detector is wrong, of the content of `scalelab bench emergence --json`."""
    cells = [cell for cell in bench["cells"] if cell["labels"]]
    nothing, boundary, mirage, step = (
        [cell["emergent"] for cell in cells if cell["kind"].split()[0] in kinds]
        for kinds in (NOTHING_SHARP, ("1",), ("mirage",), ("0",))
    )
    held = [cell["threshold_coverage"] for cell in cells if cell["threshold_coverage"] is not None]
    return (
        f"On simulated curves whose truth is known ({bench['curves']} of a kind and design) the detector calls "
        f"emergent at most {max(nothing):.1%} of those without a sharp rise, at most {max(boundary):.1%} of rises of "
        f"exactly one decade and at most {max(mirage):.1%} of mirages; of steps it finds {min(step):.0%} to "
        f"{max(step):.0%}, and its 95% intervals hold the threshold in {min(held):.0%} to {max(held):.0%}."
    )
