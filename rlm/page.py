"""A trace as one page that needs nothing else: the tree of solvers and calls, with code, output and cost of each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from rlm.trace import last_run

SHOWN = 4_000  # characters of a prompt, an output or an answer; the trace has the rest


@dataclass
class Told:
    """A solver of the tree: what it was asked, its steps in order, how it ended, and what it and all below it cost."""

    begin: dict[str, Any]
    steps: "list[dict[str, Any] | Told]" = field(default_factory=list)
    end: dict[str, Any] | None = None

    @property
    def is_node(self) -> bool:
        """Apart from a call and a program."""
        return True

    def total(self, counter: str) -> float:
        """Sum over its calls and those below."""
        return sum(
            step.total(counter) if isinstance(step, Told) else _cost(step, counter)
            for step in self.steps
            if isinstance(step, Told) or step["event"] == "call"
        )


def _cost(call: dict[str, Any], counter: str) -> float:
    if counter == "calls":
        return 1
    return call["prompt_tokens"] + call["completion_tokens"] if counter == "tokens" else call[counter]


def tree(events: list[dict[str, Any]]) -> Told:
    """The root of the last run; raises ValueError where none began."""
    nodes: dict[int, Told] = {}
    for event in last_run(events):
        if event["event"] == "node":
            nodes[event["node"]] = told = Told(event)
            if event["parent"] is not None:
                nodes[event["parent"]].steps.append(told)
        elif event["event"] in ("call", "program"):
            nodes[event["node"]].steps.append(event)
        elif event["event"] == "end":
            nodes[event["node"]].end = event
    if 0 not in nodes:
        raise ValueError("the trace has no run that began: run the solver anew")
    return nodes[0]


def write_page(events: list[dict[str, Any]], out: Path) -> None:
    """Writes the page, whole or not at all."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shortened"] = _shortened
    page = environment.get_template("trace.html.j2").render(root=tree(events), run=last_run(events)[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(page, encoding="utf-8", errors="backslashreplace")
    partial.replace(out)


def _shortened(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}\n[{len(text) - SHOWN} characters more in the trace]"
