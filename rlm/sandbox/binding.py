"""How a session gets at the context, and how parts of it cross between host and program: as places, not as bytes."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from rlm.sandbox.values import Refer, Restore, no_reference, no_text
from rlm.text import Index, Source, Text


@dataclass(frozen=True)
class Context:
    """The host's side. fd: an open file; it is opened anew, to read, for the session, so it need not stay open.

    extra: a JSON object for `bind`. `refer` and `restore` are the host's; those of a program come from `bind`.
    """

    fd: int
    extra: dict[str, Any] = field(default_factory=dict)
    refer: Refer = no_reference
    restore: Restore = no_text

    @staticmethod
    def of(text: Text, question: str) -> "Context":
        """The text, whose index the session need not make again, and what is asked about it."""
        source = text.source
        extra = {"index": asdict(source.index), "start": text.start, "end": text.end, "question": question}
        return Context(source.fd, extra, *_crossing(source))


@dataclass(frozen=True)
class Bound:
    """A program's side: what it finds, by name, and how parts of the context cross to the host and back."""

    names: dict[str, Any]
    refer: Refer = no_reference
    restore: Restore = no_text


def bind(fd: int, extra: dict[str, Any]) -> Bound:
    """Runs in the session before it is confined. The file is mapped here, for reading."""
    with os.fdopen(fd, "rb", closefd=False) as file:
        source = Source(file, Index(**extra["index"]))
    source.release()
    names = {"context": Text(source, extra["start"], extra["end"]), "question": extra["question"]}
    return Bound(names, *_crossing(source))


def _crossing(source: Source) -> tuple[Refer, Callable[[int, int], Text]]:
    """Where a part of the source lies, and the part that lies there."""

    def refer(value: Any) -> tuple[int, int] | None:
        return (value.start, value.end) if isinstance(value, Text) and value.source is source else None

    def restore(start: int, end: int) -> Text:
        return source.part(start, end)

    return refer, restore
