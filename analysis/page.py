"""HTML pages in one file, plotly.js inlined once: readable offline, on a phone and in the dark."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from analysis import wording

SHORT_NOTE = 150  # characters of a note that stay in sight, or its first sentence
SHORT_TABLE, BESIDE_A_FIGURE = 14, 6  # rows that stay in sight
LONG_WORDS, WORDS = 60, 26  # characters of a cell from which it is broken
USUAL_HEIGHT = 440  # pixels of a figure that says nothing of its height
SENTENCE_ENDS = re.compile(r"(?<=[.:;]) (?=[A-Z(\"])")
POWER = re.compile(r"\^(-?[\w.]*\w)")
NUMBER = re.compile(r"[-+<>~]?\s*[\d.,]+[kMGTPE%]?(?:$| \(| to | of | or )|-$")
WITH_INTERVAL = re.compile(r"(\S|\S.*?\S) (\([^()]*(?: to | or more| or less|open| a parameter)[^()]*\))([^()]*)")


@dataclass(frozen=True)
class Section:
    """A part of a page: a figure, a table, or both, under a heading."""

    title: str
    note: str = ""
    figure: go.Figure | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    name: str = ""  # of its anchor and its figure; the page numbers those that have none
    origin: str = ""  # where its results come from, if they were not measured here

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"{self.title}: cells are not under their heads"

    @property
    def lead(self) -> str:
        """What stays in sight of the note: its first sentence, and further ones while they are short."""
        first, *rest = SENTENCE_ENDS.split(self.note)
        for sentence in rest:
            if len(first) + len(sentence) > SHORT_NOTE:
                break
            first += f" {sentence}"
        return first

    @property
    def more(self) -> str:
        """The rest of the note."""
        return self.note[len(self.lead) :].strip()

    @property
    def is_long(self) -> bool:
        """Whether its table has more rows than stay in sight."""
        return len(self.rows) > (SHORT_TABLE if self.figure is None else BESIDE_A_FIGURE)

    @property
    def is_plain(self) -> bool:
        """Whether it is one figure of the usual height, which may stand beside another."""
        return self.figure is not None and not self.rows and self.figure.layout.height == USUAL_HEIGHT

    @property
    def word_columns(self) -> set[int]:
        """Numbers of the columns that hold more words than numbers."""
        told = {
            column: [bool(NUMBER.match(row[column])) for row in self.rows if row[column]]
            for column in range(1, len(self.columns))
        }
        return {column for column, numbers in told.items() if 2 * sum(numbers) <= len(numbers)}


def write_page(out: Path | str, title: str, sections: Sequence[Section]) -> None:
    """Writes the sections one below the other, whole or not at all."""
    render(out, "page.html.j2", title=title, sections=sections)


def render(out: Path | str, template: str, **values: Any) -> None:
    """Writes a template of this folder, whole or not at all."""
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"script_json": script_json, "cell": cell, "cell_class": cell_class, "raised": raised}
    page = environment.get_template(template).render(plotly_js=Markup(get_plotlyjs()), wording=wording, **values)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def script_json(figure: go.Figure) -> Markup:
    """The figure as JSON that may stand inside a script element."""
    return Markup((figure.to_json() or "{}").replace("<", "\\u003c"))


def cell(text: str) -> Markup:
    """A cell's text; an interval after a value stands on a line of its own below it."""
    found = WITH_INTERVAL.fullmatch(text)
    if found is None or len(text) > LONG_WORDS:
        return raised(text)
    value, interval, rest = found.groups()
    return Markup('{}<span class="ends">{}{}</span>').format(raised(value), f" {interval}", rest)


def raised(text: str) -> Markup:
    """The text with what stands after a ^ raised: N^0.46."""
    return Markup(POWER.sub(r"<sup>\1</sup>", str(escape(text))))


def cell_class(text: str, holds_words: bool) -> Markup:
    """The class attribute of a cell; empty for a number."""
    broken = (
        "long"
        if len(text) > LONG_WORDS
        else "some"
        if len(text) > WORDS and WITH_INTERVAL.fullmatch(text) is None
        else ""
    )
    names = " ".join(filter(None, ("words" * (holds_words or broken == "long"), broken)))
    return Markup(' class="{}"').format(names) if names else Markup("")
