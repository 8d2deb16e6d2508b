"""What MLflow shows of results: the question and the answer in words, figures, and rows as runs that compare.

A series is what one chart compares: a technique over sizes, a way to answer over lengths, a task over compute. Each is
one run, its metrics named alike and stepped by what varies.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import wording
from analysis.longcontext import arm_name
from analysis.wording import saturation_law
from experiments import inference, longcontext_report, scores
from experiments.inference import INFERENCE
from experiments.law import LAW, POINTS, heldout_sentence
from experiments.longcontext_report import LONGCONTEXT
from experiments.project import REPORT
from experiments.saturation import POINTS as SATURATION_POINTS
from experiments.saturation import SATURATION, saturation_sentence
from experiments.scores import EMERGENCE, SCORES
from experiments.snapshot import digest_of
from sweeps import store

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_SERIES = 100  # MLflow's page compares no more runs than that with ease
QUESTIONS = {
    **wording.QUESTIONS,
    "teacher": "The model that students learn from, and that roundings are asked abilities of.",
    "policy": "The model that writes programs about long texts and reads their parts.",
}
# A step of MLflow is an integer of 64 bits: 9.2e18 FLOPs are beyond it, and no large run.
SCORE, FLOPS_PER_STEP = "score_over_mflop", 1e6
USUAL = ("float32", "cpu", "True")  # left out of a run's name: dtype, device, trained
Row = Mapping[str, Any]
Draw = Callable[[], "Figure | None"]


@dataclass(frozen=True)
class Shown:
    """What stands on the parent run of a question: Markdown, and figures by name."""

    note: str = ""
    figures: Mapping[str, Draw] = field(default_factory=dict)


@dataclass(frozen=True)
class Series:
    """One run: what tells it apart, and its points (metric, step, value)."""

    name: str
    params: Mapping[str, str]
    points: Sequence[tuple[str, int, float]]


@dataclass(frozen=True)
class Finding:
    """A results file as a parent run with a run a series; `rows` is its table."""

    question: str
    path: Path
    shown: Shown
    series: Sequence[Series]
    rows: Sequence[Row]

    @property
    def identity(self) -> str:
        """Digest of the file: the same results are published once."""
        return digest_of([self.question, self.path.read_text()])

    @property
    def written(self) -> int:
        """Unix milliseconds of the file."""
        return int(self.path.stat().st_mtime * 1000)


def shown_of(question: str) -> Shown:
    """Of a suite's parent run, from what is on disk."""
    told: list[str] = []
    figures: dict[str, Draw] = {}
    if question == "law" and LAW.exists():
        law = store.read_json(LAW)
        told = [f"{law_sentence(law)}.", *([heldout_sentence(law["heldout"])] if law["heldout"] else [])]
        figures = law_figures() if POINTS.exists() else {}
    elif question == "saturation" and SATURATION.exists():
        found = store.read_json(SATURATION)
        told = [*map(saturation_law, found["law"]), *map(saturation_sentence, found["sizes"])]
        figures = saturation_figures() if SATURATION_POINTS.exists() else {}
    elif question == "emergence" and EMERGENCE.exists():
        told = scores.status_lines(store.read_json(EMERGENCE))
    elif question == "inference" and INFERENCE.exists():
        told = inference.status_lines(store.read_json(INFERENCE))
    return Shown(note_of(question, told), figures)


def law_sentence(law: Mapping[str, Any]) -> str:
    """Its formula and the values in it, of any of the laws; N are non-embedding parameters, D tokens."""
    values = ", ".join(f"{name} = {value:.4g}" for name, value in law["params"].items())
    return f"L = {law['formula']}: {values}"


def note_of(question: str, told: Sequence[str]) -> str:
    """Markdown: the question, the answer a line each, and where the report is."""
    answer = "\n".join(f"- {line}" for line in told)
    where = f"All of it, with figures: `{REPORT.name}` among the artifacts, `{REPORT}` in the checkout."
    return "\n\n".join(filter(None, (f"### {QUESTIONS.get(question, question)}", answer, where)))


def findings() -> list[Finding]:
    """Of the results on disk, those whose rows are no training runs."""
    found = []
    if EMERGENCE.exists() and SCORES.exists():
        found.append(emergence_finding(store.read_json(EMERGENCE)))
    if INFERENCE.exists():
        found.append(inference_finding(store.read_json(INFERENCE)))
    if LONGCONTEXT.exists():
        found.append(longcontext_finding(store.read_json(LONGCONTEXT)))
    return found


def inference_finding(found: dict[str, Any]) -> Finding:
    """A run a technique, opponent and setting, over parameters; a run a technique where that would be too many."""

    def figure() -> "Figure | None":
        from analysis.figures_inference import ratios

        return ratios(found)

    setting = ("prompt", "output", "batch")
    named = ("technique", "against", "dtype", "device", "trained")
    few = len({tuple(row.get(name) for name in named + setting) for row in found["rows"]}) <= MAX_SERIES
    told = named + setting if few else named

    def points(row: Row) -> Iterable[tuple[str, int, float]]:
        place = "" if few else "/" + "-".join(str(row[name]) for name in setting)
        values = {"times_faster": row.get("ratio"), "kl": row.get("kl"), "bytes_saved": row.get("bytes_saved")}
        low, high = row.get("ci95") or (None, None)
        values |= {"times_faster_low": low, "times_faster_high": high}
        values |= {"passed": float(row["status"] == "ok")}
        return ((name + place, int(row["params"]), float(v)) for name, v in values.items() if v is not None)

    shown = Shown(note_of("inference", inference.status_lines(found)), {"times_faster": figure})
    return Finding("inference", INFERENCE, shown, series_of(found["rows"], told, points), found["rows"])


def longcontext_finding(found: dict[str, Any]) -> Finding:
    """A run a way to answer and profile of programs, over lengths in windows."""

    def figure() -> "Figure | None":
        from analysis.figures_longcontext import score_against_length

        return score_against_length(found)

    def points(row: Row) -> Iterable[tuple[str, int, float]]:
        for name in ("accuracy", "tokens", "calls", "seconds"):
            yield f"{name}/{row['task']}", row["length_windows"], float(row[name])

    shown = Shown(note_of("longcontext", longcontext_report.status_lines(found)), {"score_against_length": figure})
    plain = [{"arm": arm_name(row), **{k: v for k, v in row.items() if k != "arm"}} for row in found["rows"]]
    series = series_of(found["rows"], ("arm", "profile"), points)
    return Finding("longcontext", LONGCONTEXT, shown, series, plain)


def emergence_finding(found: dict[str, Any]) -> Finding:
    """A run a labelled task and metric: its mean score over seeds against compute, and where it rises."""
    import pandas as pd

    table = pd.read_csv(SCORES)
    means = table.groupby(["task", "metric", "compute"])["value"].mean()

    def figure() -> "Figure | None":
        from analysis.figures_emergence import scores_by_metric

        return scores_by_metric(table, found)

    def points(row: Row) -> Iterable[tuple[str, int, float]]:
        for compute, value in means[row["task"], row["metric"]].items():
            yield f"{SCORE}/{row['metric']}", round(compute / FLOPS_PER_STEP), float(value)
        for name in ("threshold", "width_decades", "amplitude"):
            if row[name] is not None:
                yield name, 0, float(row[name])

    shown = Shown(note_of("emergence", scores.status_lines(found)), {"scores": figure})
    series = series_of(found["rows"], ("task", "metric", "label"), points)
    return Finding("emergence", EMERGENCE, shown, series, found["rows"])


def series_of(
    rows: Sequence[Row], named: Sequence[str], points: Callable[[Row], Iterable[tuple[str, int, float]]]
) -> list[Series]:
    """Rows that share the named values in one series, in their order."""
    gathered: dict[str, Series] = {}
    for row in rows:
        params = {name: str(row[name]) for name in named if row.get(name) is not None}
        unusual = {key: value for key, value in params.items() if value not in USUAL}
        name = " ".join(f"{key}={value}" if value.isdigit() else value for key, value in unusual.items())
        before = gathered.get(name, Series(name, params, ()))
        gathered[name] = Series(name, params, (*before.points, *points(row)))
    return list(gathered.values())


def law_figures() -> dict[str, Draw]:
    """The law's figures on the parent of its sweep."""

    def drawn(name: str) -> "Figure | None":
        from analysis import figures
        from analysis.points import read_points

        return getattr(figures, name)(read_points(POINTS), store.read_json(LAW))

    return {name: (lambda name=name: drawn(name)) for name in ("loss_against_tokens", "isoflop")}


def saturation_figures() -> dict[str, Draw]:
    """The elasticities on the parent of the saturation sweep."""

    def drawn() -> "Figure | None":
        from analysis.figures_saturation import elasticities
        from analysis.points import read_points

        return elasticities(read_points(SATURATION_POINTS), store.read_json(SATURATION))

    return {"elasticities": drawn}


def table_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Columns of a table of MLflow's: what is no number or text is JSON."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [plain(row.get(name)) for row in rows] for name in names}


def plain(value: Any) -> Any:
    """As it is, or as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value
