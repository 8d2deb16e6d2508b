"""Options that several verbs share, and what `--json` does."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sweeps import store

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and stop.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result to this file; - is standard output.")]


def write_result(result: Any, out: Path) -> None:
    """Writes JSON to a file, whole or not at all, or to standard output for `-`."""
    if str(out) == "-":
        sys.stdout.write(store.json_text(result))
        return
    try:
        store.write_json(out, result)
    except OSError as error:
        raise ValueError(f"--json {out} cannot be written ({error.strerror}): name another file") from None
