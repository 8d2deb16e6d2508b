"""Options that several verbs share, and what `--json` does."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweeps import store

if TYPE_CHECKING:
    from analysis.page import Section

KEY = "OPENAI_API_KEY"

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and stop.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result to this file; - is standard output.")]

Html = Annotated[Path | None, typer.Option("--html", help="Write a page with figures to this file.")]

BaseUrl = Annotated[str, typer.Option(help=f"Of an OpenAI-compatible server; its key is taken from {KEY}.")]
Window = Annotated[int | None, typer.Option(help="Tokens of the model's window, where it does not tell.")]
MaxCalls = Annotated[int | None, typer.Option(help="Calls of models, all together.")]
MaxTokens = Annotated[int | None, typer.Option(help="Tokens read and written, all together.")]
MaxUsd = Annotated[float | None, typer.Option(help="US dollars; wants --usd-read and --usd-written.")]
UsdRead = Annotated[float, typer.Option(help="US dollars a million tokens read.")]
UsdWritten = Annotated[float, typer.Option(help="US dollars a million tokens written.")]
LOCAL = "http://localhost:8000/v1"


def give(result: dict[str, Any], json_out: Path | None, show: Callable[[], None]) -> None:
    """Shows the result, then writes it, so that a place that cannot be written loses nothing; `-` is JSON alone."""
    if str(json_out) != "-":
        show()
    if json_out is not None:
        write_result(result, json_out)


def give_answer(
    question: str, result: dict[str, Any], own: Path | None, json_out: Path | None, show: Callable[[], None]
) -> None:
    """As `give`; without --json the pipeline's result goes to the file `own`, and its headline beside it.

    own: None where the result is of somebody's table.
    """
    give(result, json_out or own, show)
    if own is not None and json_out is None:
        from experiments.headline import write_headline

        write_headline(question, result)


def write_html(out: Path, title: str, sections: "Sequence[Section]") -> None:
    """Writes a page, whole or not at all."""
    from analysis.page import write_page

    try:
        write_page(out, title, sections)
    except OSError as error:
        raise ValueError(f"--html {out} cannot be written ({error.strerror}): name another file") from None


def write_result(result: Any, out: Path) -> None:
    """Writes JSON to a file, whole or not at all, or to standard output for `-`."""
    if str(out) == "-":
        sys.stdout.write(store.json_text(result))
        return
    try:
        store.write_json(out, result)
    except OSError as error:
        raise ValueError(f"--json {out} cannot be written ({error.strerror}): name another file") from None
