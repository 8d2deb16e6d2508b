"""The report: named groups of sections under a summary, in one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from analysis.answers import Answer
from analysis.page import Section, render

TITLE = "What does scale buy?"
SUBTITLE = "The questions, each with its main number, its 95% interval and one sentence; the evidence is below."
LIBRARIES = ("numpy", "pandas", "plotly", "scipy")


@dataclass(frozen=True)
class Group:
    """A chapter: what is asked, the answer for readers in a hurry, and its sections.

    A group without sections says in `remedy` which command makes them; without a remedy it is left out. `kept` are
    answers of tables that were measured elsewhere, each with its origin. `notice` is what to know before reading on.
    """

    name: str
    title: str
    sections: Sequence[Section] = ()
    question: str = ""
    answer: Answer | None = None
    kept: Sequence[tuple[str, Answer]] = ()
    remedy: str = ""
    notice: str = ""

    @property
    def own(self) -> list[tuple[str, Section, bool]]:
        """Names, sections, and which of them stand side by side: of what was measured here."""
        named = [(name, section) for name, section in self._named() if not section.origin]
        return list(zip(*zip(*named, strict=True), halves([one for _, one in named]), strict=True)) if named else []

    @property
    def origins(self) -> list[tuple[str, list[tuple[str, Section, bool]]]]:
        """The same of what was measured elsewhere, by origin."""
        kept = [(name, section) for name, section in self._named() if section.origin]
        found = []
        for origin, run in groupby(kept, key=lambda pair: pair[1].origin):
            named = list(run)
            beside = halves([section for _, section in named])
            found.append((origin, [(*pair, half) for pair, half in zip(named, beside, strict=True)]))
        return found

    def _named(self) -> list[tuple[str, Section]]:
        return [(part.name or f"{self.name}-{n}", part) for n, part in enumerate(self.sections, 1)]


def halves(sections: Sequence[Section]) -> list[bool]:
    """Which sections stand beside another: runs of plain figures in pairs, the first alone where they are odd."""
    found: list[bool] = []
    for plain, run in groupby(sections, key=lambda section: section.is_plain):
        count = len(list(run))
        found += [plain and (count % 2 == 0 or place > 0) for place in range(count)]
    return found


def write_report(
    groups: Sequence[Group], out: Path | str, provenance: Mapping, title: str = TITLE, subtitle: str = SUBTITLE
) -> None:
    """Write the report to `out`, whole or not at all.

    `provenance` is what the caller knows about where the results come from: a mapping of names to strings or to
    further mappings (digests, revisions); the versions that draw this page are added to its `versions`. `title` and
    `subtitle` head the page.
    """
    shown = [group for group in groups if group.sections or group.remedy]
    told = flatten({**provenance, "versions": library_versions(provenance)})
    render(out, "report.html.j2", groups=shown, provenance=told, title=title, subtitle=subtitle)


def library_versions(provenance: Mapping) -> dict[str, str]:
    """The versions that drew this page, under those that the caller recorded for training."""
    return {name: version(name) for name in LIBRARIES} | dict(provenance.get("versions", {}))


def flatten(tree: Mapping, prefix: str = "") -> list[tuple[str, str]]:
    """(name, value) rows of nested mappings, in order, names joined by a space."""
    rows = []
    for name, value in tree.items():
        label = f"{prefix}{name}"
        rows += flatten(value, f"{label} ") if isinstance(value, Mapping) else [(label, str(value))]
    return rows
