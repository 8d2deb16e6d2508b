"""`scalelab solve`: the recursive language model on a file, with a model of the user's."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from experiments.options import (
    KEY,
    LOCAL,
    BaseUrl,
    DryRun,
    Json,
    MaxCalls,
    MaxTokens,
    MaxUsd,
    UsdRead,
    UsdWritten,
    Window,
    give,
)

if TYPE_CHECKING:
    from rlm.lm import LanguageModel, Price
    from rlm.sandbox.session import Sandbox
    from rlm.text import Text

STDIN = Path("-")
BUILTIN = "builtin"
SIDE_BY_SIDE = 256  # calls of the built-in model, which are one batch


def solve(
    question: Annotated[str, typer.Option(help="What is to be found out.")],
    context: Annotated[Path, typer.Option(help="A file, a folder of text files, or - for standard input.")],
    lm: Annotated[
        list[str],
        typer.Option(
            help="builtin (the project's own, of the world it learnt), hf:PATH (a Hugging Face directory) or "
            "openai:MODEL (of the server at --base-url); again for the solvers below, and last the model that reads."
        ),
    ] = ["builtin"],  # noqa: B006
    base_url: BaseUrl = LOCAL,
    window: Window = None,
    depth: Annotated[int, typer.Option(help="0: programs alone; 1: they ask models; 2: solvers that ask models.")] = 1,
    profile: Annotated[
        Literal["sealed", "open"],
        typer.Option(help="sealed: only models read the text; open: Python does too, jailed."),
    ] = "sealed",
    unsafe_local: Annotated[
        bool, typer.Option("--unsafe-local", help="Run open programs even where the system lacks Landlock or seccomp.")
    ] = False,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_seconds: Annotated[float | None, typer.Option(help="Seconds, on a clock on the wall.")] = None,
    max_usd: MaxUsd = None,
    usd_read: UsdRead = 0.0,
    usd_written: UsdWritten = 0.0,
    trace: Annotated[Path | None, typer.Option(help="Write every step to this file, as JSON lines.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run of --trace: what it has is kept.")
    ] = False,
    html_out: Annotated[Path | None, typer.Option("--html", help="Write the tree of calls to this page.")] = None,
    dry_run: DryRun = False,
    json_out: Json = None,
) -> None:
    """Answer a question about a text of any length, by a model that reads it through programs (an RLM)."""
    from dataclasses import asdict

    from rlm.budget import Budget
    from rlm.page import write_page
    from rlm.solver import RLM

    price = price_of(usd_read, usd_written, max_usd)
    if len(set(lm)) > 1 and (window is not None or usd_read or usd_written):
        raise ValueError("--window, --usd-read and --usd-written are of one model: leave them out, or name one --lm")
    if html_out is not None and trace is None:
        raise ValueError(f"--html {html_out} is drawn from a trace: give --trace too")
    _check_places(context, {"--trace": trace, "--html": html_out, "--json": json_out})
    text = _text(context)
    if BUILTIN in lm and len(set(lm)) > 1:
        raise ValueError(f"--lm {BUILTIN} is asked in a language of its own: name it alone, or not at all")
    models = [language_model(name, base_url, window, price) for name in lm]
    solver = RLM(
        models,
        sandbox_of(profile, unsafe_local),
        depth=depth,
        budget=Budget(max_calls, max_tokens, max_seconds, max_usd),
        trace=trace,
        resume=resume,
        listen=_progress,
        **language(lm),
    )
    if dry_run:
        windows = ", ".join(f"{one.name} ({one.window} tokens)" for one in models)
        print(
            f"{len(text)} characters in {text.num_lines} lines, about {text.num_bytes // 3 // models[-1].window + 1} "
            f"windows of {models[-1].name}; {profile} profile, depth {depth}; {windows}"
        )
        return
    found = solver.solve(question, text)
    give(asdict(found), json_out, lambda: _show(found))
    if html_out is not None and trace is not None:
        from rlm.trace import read_events

        try:
            write_page(read_events(trace), html_out)
        except OSError as error:
            raise ValueError(f"--html {html_out} cannot be written ({error.strerror}): name another file") from None
    if found.status == "failed" or found.answer is None:
        raise SystemExit(1)


def _check_places(context: Path, given: dict[str, Path | None]) -> None:
    """Raises ValueError where an output is a folder, or would be written over another or the context."""
    taken = {context.resolve(): "--context"}
    for name, out in given.items():
        if out is None or str(out) == "-":
            continue
        if out.is_dir() or out.resolve() in taken:
            told = "a folder" if out.is_dir() else f"that of {taken[out.resolve()]} too"
            raise ValueError(f"{name} {out} is {told}: name another file")
        taken[out.resolve()] = name


def _text(context: Path) -> "Text":
    from rlm.text import Source, Text, gather

    if context != STDIN:
        try:
            return gather(context, lambda told: print(told, file=sys.stderr))
        except OSError as error:
            raise ValueError(f"context {context} cannot be read ({error.strerror}): name another") from None
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            return Text(Source(file))
        except ValueError as error:
            raise ValueError(f"context from standard input: {error}") from None


def price_of(usd_read: float, usd_written: float, max_usd: float | None) -> "Price":
    """Of a model's tokens; raises ValueError where dollars are capped that nothing costs."""
    from rlm.lm import Price

    if max_usd is not None and not (usd_read or usd_written):
        raise ValueError(f"--max-usd {max_usd:g} needs prices: give --usd-read and --usd-written")
    return Price(usd_read, usd_written)


def language_model(name: str, base_url: str, window: int | None, price: "Price") -> "LanguageModel":
    """The model of a name; raises ValueError where there is none."""
    kind, _, rest = name.partition(":")
    if name == BUILTIN:
        from experiments.longcontext import built_in
        from rlm.hf import HuggingFace

        if window is not None:
            raise ValueError(f"--window {window}: --lm {BUILTIN} has its own: leave it out")
        return HuggingFace(built_in(), price=price)
    if kind == "hf" and rest:
        from rlm.hf import HuggingFace

        return HuggingFace(Path(rest), window=window, price=price)
    if kind == "openai" and rest:
        from rlm.server import connect

        return connect(rest, base_url, os.environ.get(KEY, "none"), window, price)
    raise ValueError(f"--lm {name!r}: give {BUILTIN}, hf:PATH or openai:MODEL")


def language(names: list[str]) -> dict[str, Any]:
    """How the models are asked, how long their answers may be, and how many programs a root may write."""
    if BUILTIN not in names:
        return {}
    from rlm.policy import LEAF_TOKENS, ROOT_TOKENS, TURNS, Trained

    return {
        "prompts": Trained(),
        "reply_tokens": ROOT_TOKENS,
        "leaf_tokens": LEAF_TOKENS,
        "max_turns": TURNS,
        "concurrency": SIDE_BY_SIDE,
    }


def sandbox_of(profile: Literal["sealed", "open"], unsafe: bool) -> "Callable[[], Sandbox]":
    """What makes the sandbox of a run; raises ValueError for unsafe where nothing can be."""
    if profile == "open":
        from rlm.sandbox.open import Open

        return partial(Open, unsafe)
    if unsafe:
        raise ValueError("--unsafe-local is of the open profile: add --profile open, or leave it out")
    from rlm.sandbox.sealed import Sealed

    return Sealed


def _progress(event: dict[str, Any]) -> None:
    """What holds the programs, and a line for each, on standard error."""
    if event["event"] == "sandbox":
        held = [name if holds is True else f"no {name} ({holds})" for name, holds in event["layers"].items()]
        print(f"sandbox: {', '.join(held)}", file=sys.stderr, flush=True)
    if event["event"] == "program":
        error = (event["error"] or "").splitlines()[-1:]
        told = "".join(error) or " ".join(event["printed"].split())[:80] or "nothing printed"
        print(f"solver {event['node']}: {told}", file=sys.stderr, flush=True)


def _show(found: Any) -> None:
    print(found.answer if found.answer is not None else "no answer")
    why = f" ({found.reason})" if found.reason else ""
    usd = f", ${found.usd:.4f}" if found.usd else ""
    print(
        f"{found.status}{why}: {found.calls} calls, {found.tokens:,} tokens, {found.seconds:.1f} s{usd}",
        file=sys.stderr,
    )
