"""How a session gets at the context: the one place to change for another kind of text."""

import mmap
import os
from dataclasses import dataclass, field
from typing import Any

from rlm.sandbox.values import Refer, Restore, no_reference, no_text


@dataclass(frozen=True)
class Context:
    """The host's side. fd: an open file; it is opened anew, to read, for the session, so it need not stay open.

    extra: a JSON object for `bind`. `refer` and `restore` are the host's; those of a program come from `bind`.
    """

    fd: int
    extra: dict[str, Any] = field(default_factory=dict)
    refer: Refer = no_reference
    restore: Restore = no_text


@dataclass(frozen=True)
class Bound:
    """A program's side: what the name `context` is, and how parts of it cross to the host and back."""

    value: Any
    refer: Refer = no_reference
    restore: Restore = no_text


def bind(fd: int, extra: dict[str, Any]) -> Bound:
    """Runs in the session before it is confined. The file must be mapped or read here; it is closed afterwards."""
    if os.fstat(fd).st_size == 0:
        return Bound("")
    with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as data:
        return Bound(data[:].decode("utf-8", "replace"))
