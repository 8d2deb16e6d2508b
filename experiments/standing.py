"""Whether the results on disk are of the runs that params.yaml asks for: one answer a question, for all who tell it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments import inference, law, longcontext, longcontext_report, saturation, scores
from experiments.points import is_of_present_grid
from experiments.project import Project
from sweeps.train_job import CellJob

# unknown: the data that its runs are compared by are not there.
Standing = Literal["missing", "current", "of other runs", "unknown"]
FILES: dict[str, Path] = {
    "law": law.LAW,
    "saturation": saturation.SATURATION,
    "emergence": scores.EMERGENCE,
    "inference": inference.INFERENCE,
    "longcontext": longcontext_report.LONGCONTEXT,
}
OTHER: dict[str, str] = {
    "law": law.OTHER_RUNS,
    "saturation": saturation.OTHER_RUNS,
    "emergence": scores.OTHER_RUNS,
    "inference": inference.OTHER_RUNS,
    "longcontext": longcontext_report.OTHER_RUNS,
}
UNTOLD = "whether these results are of the runs that params.yaml asks for cannot be told"


@dataclass(frozen=True)
class Sweeps:
    """The suites of params.yaml whose data are there, and why the others cannot be told."""

    jobs: dict[str, list[CellJob]]
    unknown: dict[str, str]

    @staticmethod
    def of(project: Project) -> "Sweeps":
        """Every suite of the project."""
        jobs, unknown = {}, {}
        for name in project.params.suites:
            try:
                jobs[name] = project.jobs(name)
            except ValueError as error:
                unknown[name] = str(error)
        return Sweeps(jobs, unknown)


def standings(project: Project, sweeps: Sweeps) -> dict[str, Standing]:
    """How the results of every question stand."""
    return {question: standing(project, sweeps, question) for question in FILES}


def standing(project: Project, sweeps: Sweeps, question: str) -> Standing:
    """How one question's results stand."""
    if not FILES[question].exists():
        return "missing"
    if _is_current(project, question):
        return "current"
    return "unknown" if _suite_of(question) in sweeps.unknown else "of other runs"


def _is_current(project: Project, question: str) -> bool:
    tables = {"law": law.POINTS, "saturation": saturation.POINTS, "emergence": scores.SCORES}
    if question in tables:
        return is_of_present_grid(project, question, tables[question])
    return (inference if question == "inference" else longcontext).is_of_present_grid(project)


def _suite_of(question: str) -> str:
    """The suite whose runs it is about; of long contexts that of the model that was asked."""
    found = longcontext_report.read_longcontext() if question == "longcontext" else None
    return found["model"]["name"].partition("/")[0] if found else question
