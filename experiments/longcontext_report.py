"""What the report says of long contexts: the project's own results, and those measured whole and committed."""

from dataclasses import replace
from typing import TYPE_CHECKING

from experiments.inference import ARCHIVE
from experiments.project import RESULTS
from sweeps import store

if TYPE_CHECKING:
    from analysis.page import Section

LONGCONTEXT = RESULTS / "longcontext.json"


def report_sections() -> "list[Section]":
    """Sections of results/longcontext.json, where the stage has run, then of each machine's in the archive."""
    from analysis.pages_longcontext import longcontext_sections

    sections = longcontext_sections(store.read_json(LONGCONTEXT)) if LONGCONTEXT.exists() else []
    for path in sorted(ARCHIVE.glob(f"*/{LONGCONTEXT.name}")):
        table = store.read_json(path)
        first, *rest = longcontext_sections(table)
        origin = f"Kept with the project, not measured by this run: revision {table['provenance']['revision']}."
        sections += [
            replace(section, title=f"{section.title} ({path.parent.name}, full preset)")
            for section in (replace(first, note=f"{origin} {first.note}"), *rest)
        ]
    return sections
