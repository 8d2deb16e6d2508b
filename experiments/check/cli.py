"""`scalelab check`: a verb that imports what it needs when it runs."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.check.row import KINDS, Kind
from experiments.options import DryRun, Json, give

if TYPE_CHECKING:
    from rich.console import Console


def check(
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(KINDS)}; again for more.")] = None,
    against: Annotated[
        str | None, typer.Option(help="A revision: its baseline and its speed, instead of the committed one's.")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Measure, and make this revision the baseline.")] = False,
    json_out: Json = None,
    dry_run: DryRun = False,
) -> None:
    """Compare this revision with the baseline: losses, laws, labels, decoding, speed; exit 1 where it fails."""
    from rich.console import Console

    from experiments.check.keep import keep
    from experiments.check.run import Check, describe, run
    from experiments.check.show import show

    console, progress = (Console(stderr=on_stderr, soft_wrap=True, highlight=False) for on_stderr in (False, True))
    if update:
        if only or against is not None or json_out is not None:
            raise ValueError("--update measures every kind of this revision: leave out --only, --against and --json")
        renew(dry_run, console, progress)
        return
    asked = Check(kinds_of(only), against)
    if dry_run:
        console.print(describe(asked))
        return
    result = run(asked, progress)
    keep(result)
    give(result, json_out, lambda: show(result, console))
    record()
    if result["outcome"] != "passed":
        raise SystemExit(1)


def kinds_of(names: list[str] | None) -> tuple[Kind, ...]:
    """The kinds named, in their own order; raises ValueError for a name that is none."""
    for name in names or ():
        if name not in KINDS:
            raise ValueError(f"--only {name} is no kind of check: give one of {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if not names or kind in names)


def renew(dry_run: bool, console: "Console", progress: "Console") -> None:
    """Writes the baseline, and prints what changed."""
    from experiments.check.baseline import require_clean
    from experiments.check.checkout import BASELINE
    from experiments.check.run import update
    from experiments.check.show import show_update

    if dry_run:
        require_clean()
        console.print(f"would measure golden, law, detector and inference and write {BASELINE}")
        return
    show_update(*update(progress), console)


def record() -> None:
    """Publishes what is kept; a store that is away, locked or damaged loses nothing."""
    from mlflow.exceptions import MlflowException

    from experiments.check.keep import publish_checks
    from experiments.mlflow_store import MOST_SAID, store_errors

    try:
        with store_errors():
            publish_checks()
    except (ValueError, MlflowException) as error:
        said = " ".join(str(error).split())[:MOST_SAID]
        print(f"not published ({said}): `scalelab sync` does it later", file=sys.stderr)
