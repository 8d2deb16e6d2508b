"""HTML pages in one file, plotly.js inlined once: readable offline, on a phone and in the dark."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis import wording


@dataclass(frozen=True)
class Section:
    """A part of a page: a figure, a table, or both, under a heading."""

    title: str
    note: str = ""
    figure: go.Figure | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"{self.title}: cells are not under their heads"


def write_page(out: Path | str, title: str, sections: Sequence[Section]) -> None:
    """Writes the sections one below the other, whole or not at all."""
    drawn = {
        str(index): section.figure for index, section in enumerate(sections, start=1) if section.figure is not None
    }
    render(out, "page.html.j2", drawn, title=title, sections=sections)


def render(out: Path | str, template: str, drawn: Mapping[str, go.Figure], **values: Any) -> None:
    """Writes a template of this folder, whole or not at all; figure `name` fills the element `figure-name`."""
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template(template).render(
        drawings=_script_json(drawn), plotly_js=Markup(get_plotlyjs()), wording=wording, si=wording.si, **values
    )
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _script_json(drawn: Mapping[str, go.Figure]) -> Markup:
    """The figures as JSON that may stand inside a script element."""
    text = json.dumps({name: json.loads(figure.to_json() or "{}") for name, figure in drawn.items()})
    return Markup(text.replace("<", "\\u003c"))
