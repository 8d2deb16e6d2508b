"""Tables that were measured whole and are kept with the project: what the report says of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from experiments.project import CODE_ROOT
from sweeps import store

if TYPE_CHECKING:
    from analysis.page import Section

ARCHIVE = CODE_ROOT / "experiments" / "archive"
DIGITS = 12  # of a revision


def kept_tables(name: str, preset: str) -> list[tuple[str, dict[str, Any]]]:
    """Each machine's table of that name under its origin: the machine, the preset that asked for it, the revision."""
    found = []
    for path in sorted(ARCHIVE.glob(f"*/{name}")):
        table = store.read_json(path)
        found.append((f"{path.parent.name}, {preset} preset, revision {table['machine']['revision'][:DIGITS]}", table))
    return found


def kept_sections(name: str, preset: str, sections_of: "Callable[[dict[str, Any]], list[Section]]") -> "list[Section]":
    """The sections of these tables."""
    return [
        replace(section, origin=origin) for origin, table in kept_tables(name, preset) for section in sections_of(table)
    ]
