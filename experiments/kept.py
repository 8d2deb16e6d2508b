"""Tables that were measured whole and are kept with the project: what the report says of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from experiments.project import CODE_ROOT
from sweeps import store

if TYPE_CHECKING:
    from analysis.page import Section

ARCHIVE = CODE_ROOT / "experiments" / "archive"


def kept_sections(name: str, preset: str, sections_of: "Callable[[dict[str, Any]], list[Section]]") -> "list[Section]":
    """The sections of each machine's table of that name, titled with the machine and the preset that asked for it."""
    sections = []
    for path in sorted(ARCHIVE.glob(f"*/{name}")):
        table = store.read_json(path)
        first, *rest = sections_of(table)
        origin = f"Kept with the project, not measured by this run: revision {table['machine']['revision']}."
        sections += [
            replace(section, title=f"{section.title} ({path.parent.name}, {preset} preset)")
            for section in (replace(first, note=f"{origin} {first.note}"), *rest)
        ]
    return sections
