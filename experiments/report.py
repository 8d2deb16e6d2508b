"""The report stage: every result on disk to results/report.html."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.wording import QUESTIONS
from experiments import inference, law, longcontext_report, saturation, scores
from experiments.kept import kept_tables
from experiments.project import REPORT, RESULTS, Project, git_revision
from experiments.standing import FILES, OTHER, UNTOLD, Standing, Sweeps, standings
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd

    from analysis.answers import Answer
    from analysis.report import Group

RESULT_FILES = (
    law.LAW, law.POINTS, saturation.SATURATION, saturation.POINTS, scores.EMERGENCE, scores.SCORES,
    inference.INFERENCE, longcontext_report.LONGCONTEXT,
)  # fmt: skip
DIGITS = 16  # of a digest


def write_own_report(dry_run: bool) -> str:
    """Writes the report from the results on disk; returns the line to print."""
    project = Project.here()
    there = [path for path in RESULT_FILES if path.exists()]
    if not there:
        raise ValueError(f"{RESULTS} holds no results to report: run `dvc repro law`")
    if dry_run:
        return f"would write {REPORT} from {', '.join(map(str, there))}"
    from analysis.report import write_report

    found = standings(project, Sweeps.of(project))
    told = notices(found)
    marked = [replace(group, notice=told.get(group.name, "")) for group in groups()]
    write_report(marked, REPORT, provenance(project))
    said = list(dict.fromkeys(told.values()))
    return f"report: {REPORT.resolve()}" + f" ({'; '.join(said)})" * bool(said)


def groups() -> "list[Group]":
    """The chapters of the report, in its order."""
    return [
        law_group(), saturation_group(), emergence_group(), inference_group(), longcontext_group(), cost_group(),
        history_group(),
    ]  # fmt: skip


def law_group() -> "Group":
    """What loss follows."""
    from analysis.answers import law_answer
    from analysis.pages_law import law_sections
    from analysis.report import Group

    found = law.read_law()
    return Group(
        "law", "Law", law_sections(*found) if found else [], QUESTIONS["law"],
        law_answer(found[1]) if found else None, remedy="dvc repro law",
    )  # fmt: skip


def saturation_group() -> "Group":
    """Where more data stops helping."""
    from analysis.answers import saturation_answer
    from analysis.pages_saturation import saturation_sections
    from analysis.report import Group

    found = saturation.read_saturation()
    return Group(
        "saturation", "Saturation", saturation_sections(*found) if found else [], QUESTIONS["saturation"],
        saturation_answer(found[1]) if found else None, remedy="dvc repro saturation",
    )  # fmt: skip


def emergence_group() -> "Group":
    """What emerged."""
    from analysis.answers import emergence_answer
    from analysis.report import Group

    found = scores.read_emergence()
    return Group(
        "emergence", "Emergence", scores.report_sections(), QUESTIONS["emergence"],
        emergence_answer(*found) if found else None, remedy="dvc repro emergence",
    )  # fmt: skip


def inference_group() -> "Group":
    """Which accelerations gain."""
    from analysis.answers import inference_answer
    from analysis.report import Group

    own = inference.read_inference()
    return Group(
        "inference", "Inference", inference.report_sections(), QUESTIONS["inference"],
        inference_answer(own) if own else None, kept_answers(inference.INFERENCE, "inference", inference_answer),
        "dvc repro inference",
    )  # fmt: skip


def longcontext_group() -> "Group":
    """Whether long contexts get answered."""
    from analysis.answers import longcontext_answer
    from analysis.report import Group

    own, path = longcontext_report.read_longcontext(), longcontext_report.LONGCONTEXT
    return Group(
        "longcontext", "Long contexts", longcontext_report.report_sections(), QUESTIONS["longcontext"],
        longcontext_answer(own) if own else None, kept_answers(path, "longcontext", longcontext_answer),
        "dvc repro longcontext",
    )  # fmt: skip


def kept_answers(
    path: Path, preset: str, answer: "Callable[[Mapping[str, Any]], Answer]"
) -> "list[tuple[str, Answer]]":
    """What the tables of that name say that were measured whole."""
    return [(origin, answer(table)) for origin, table in kept_tables(path.name, preset)]


def cost_group() -> "Group":
    """What all of it cost."""
    from analysis.costs import cost_sections
    from analysis.report import Group

    fitted, saturated, scored = law.read_law(), saturation.read_saturation(), scores.read_emergence()
    suites = {name: found[0] for name, found in (("law", fitted), ("saturation", saturated)) if found}
    sections = cost_sections(
        suites, scored[0] if scored else None, inference.read_inference(), longcontext_report.read_longcontext()
    )
    return Group("cost", "Cost", sections, remedy="dvc repro")


def history_group() -> "Group":
    """Whether later revisions got worse."""
    from analysis.report import Group
    from experiments.check.history import report_sections

    return Group("history", "History", report_sections(), "Did a later revision get worse?", remedy="scalelab check")


def notices(found: Mapping[str, Standing]) -> dict[str, str]:
    """What to know before reading a chapter whose results are not known to be of the runs that params.yaml asks for."""
    texts = {name: {"of other runs": OTHER[name], "unknown": untold(name)}.get(now) for name, now in found.items()}
    return {name: text for name, text in texts.items() if text}


def untold(question: str) -> str:
    """Why nobody can tell whose results these are, and what would."""
    return f"{FILES[question].name}: {UNTOLD}: the data that they are compared by are not here: dvc repro makes them"


def provenance(project: Project) -> dict[str, Any]:
    """Where the results come from: revisions, machines and inputs of each result, libraries, and who drew the page."""
    manifest = project.manifest or {}
    tables = {"law": law.read_law(), "saturation": saturation.read_saturation()}
    trained = {name: trained_by(found[0]) for name, found in tables.items() if found}
    measured = {"inference": inference.read_inference(), "long contexts": longcontext_report.read_longcontext()}
    machines = {name: found["machine"] for name, found in measured.items() if found}
    results = {path.name: store.read_json(path) for path in RESULT_FILES if path.suffix == ".json" and path.exists()}
    versions = {name: listed(rows[name] for rows in trained.values()) for name in ("torch", "transformers")}
    return {
        "drawn at": git_revision(),
        "drawn on": f"{platform.platform()}, Python {platform.python_version()}",
        "trained at": {name: rows["revision"] for name, rows in trained.items()},
        "trained with": {name: rows["how"] for name, rows in trained.items()},
        "measured at": {name: one["revision"] for name, one in machines.items()},
        "measured on": {name: f"{one['processor']}, {one['system']}" for name, one in machines.items()},
        "corpus": {"source": project.params.corpus.source, "digest": manifest.get("digest", "not built here")[:DIGITS]},
        "inputs": {name: inputs_text(found["inputs"]) for name, found in results.items()},
        "versions": versions if trained else {},
    }


def trained_by(points: "pd.DataFrame") -> dict[str, str]:
    """Revisions, libraries and settings of the runs in a table."""
    told = {name: listed(points[name]) for name in ("revision", "torch", "transformers", "device", "precision")}
    return {**told, "how": f"{told['device']}, {told['precision']}"}


def listed(values: Any) -> str:
    """Different values, sorted."""
    return ", ".join(sorted(set(map(str, values))))


def inputs_text(inputs: Mapping[str, str]) -> str:
    """What a result was made from, with the beginning of each digest."""
    return ", ".join(f"{name} {digest[:DIGITS]}" for name, digest in inputs.items())
