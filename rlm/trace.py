"""What a run did, event by event as it happens: a file of JSON lines, by which it is told, replayed and resumed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)

Listen = Callable[[dict[str, Any]], None]


class Trace:
    """Writes events, to a file if there is one, and tells whoever listens.

    run: what is asked, first in the file. sandbox: what holds its programs. node: a solver of the tree begins. call: a
    model answered, or did not; where it was tried again, each attempt. program: one ran. end: of a node, with its
    answer. An event of a node names it.
    """

    def __init__(self, path: Path | None, listen: Listen | None = None) -> None:
        self.path, self.listen = path, listen
        self._file: TextIO | None = None
        self._nodes = 0

    def __enter__(self) -> "Trace":
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _drop_cut_line(self.path)
            self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def kept(self) -> bool:
        """Whether anybody has the events."""
        return self._file is not None or self.listen is not None

    def write(self, event: str, **fields: Any) -> None:
        """Adds an event; it is in the file when this returns."""
        if self._file is not None:
            self._file.write(ENCODER.encode({"event": event, **fields}) + "\n")
            self._file.flush()
        if self.listen is not None:
            self.listen({"event": event, **fields})

    def node(self, parent: int | None, depth: int, question: str, **fields: Any) -> int:
        """Begins a node; its number."""
        number, self._nodes = self._nodes, self._nodes + 1
        self.write("node", node=number, parent=parent, depth=depth, question=question, **fields)
        return number


def read_events(path: Path) -> list[dict[str, Any]]:
    """Events of the file; a last line that was cut by a crash is left out.

    Raises ValueError for what is no trace.
    """
    events = []
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
    for number, line in enumerate(lines):
        try:
            event = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines) - 1:
                break
            raise ValueError(f"{path}, line {number + 1}: no trace: {error.msg}") from None
        if not isinstance(event, dict) or "event" not in event:
            raise ValueError(f"{path}, line {number + 1}: no trace: an event has a field `event`")
        events.append(event)
    return events


def _drop_cut_line(path: Path) -> None:
    """A crash may have cut the last line, which nothing could be added to."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def last_run(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events of the last run: one that was resumed writes on in its file."""
    starts = [place for place, event in enumerate(events) if event["event"] == "run"]
    return events[starts[-1] :] if starts else []
