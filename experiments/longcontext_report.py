"""What the report and the status say of long contexts."""

from typing import TYPE_CHECKING, Any

from experiments.kept import kept_sections
from experiments.project import RESULTS
from sweeps import store

if TYPE_CHECKING:
    from analysis.page import Section

LONGCONTEXT = RESULTS / "longcontext.json"
OTHER_RUNS = "longcontext.json is of other rows, or of another model, than params.yaml asks for: dvc repro"


def read_longcontext() -> dict[str, Any] | None:
    """What the stage wrote, None where it has not run."""
    return store.read_json(LONGCONTEXT) if LONGCONTEXT.exists() else None


def report_sections() -> "list[Section]":
    """Sections of the project's own results, then of those that were measured whole and committed."""
    from analysis.pages_longcontext import longcontext_sections

    own = read_longcontext()
    sections = [] if own is None else longcontext_sections(own)
    return sections + kept_sections(LONGCONTEXT.name, "longcontext", longcontext_sections)


def status_lines(found: dict[str, Any]) -> list[str]:
    """How many rows, then what the solver beats, a line a profile of its programs."""
    from analysis.longcontext import profiles_of
    from analysis.wording_longcontext import summary

    lines = [f"long contexts: {len(found['rows'])} rows of {found['model']['name']}"]
    return lines + [f"{profile} programs: {summary(found, profile)}" for profile in profiles_of(found)]
