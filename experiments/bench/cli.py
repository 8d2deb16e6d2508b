"""`scalelab bench`: a verb imports what it needs when it runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Measure against peers, and what the parametrisation promises.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and stop.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")]


@app.command("train")
def bench_train(json_out: Json = None, dry_run: DryRun = False) -> None:
    """Our training loop against the Hugging Face Trainer: steps, a small grid, and the machine's arithmetic."""
    from rich.console import Console

    from experiments.bench.train import TrainBench, describe, run, show
    from experiments.project import Project

    bench, project, console = TrainBench(), Project.here(), Console()
    if dry_run:
        console.print(describe(bench, project))
        return
    result = run(bench, project, Console(stderr=True))
    show(result, console)
    write(result, json_out)
    if any(row["status"] != "ok" for row in result["widths"]):
        raise SystemExit(1)  # the two sides did not compute the same losses


@app.command("rates")
def bench_rates(json_out: Json = None, dry_run: DryRun = False) -> None:
    """The best learning rate at several widths, and how activations grow with the width."""
    from rich.console import Console

    from experiments.bench.rates import RatesBench, describe, run, show
    from experiments.project import Project

    bench, project, console = RatesBench(), Project.here(), Console()
    if dry_run:
        console.print(describe(bench, project))
        return
    result = run(bench, project, Console(stderr=True))
    show(result, console)
    write(result, json_out)
    if json_out is not None:
        from experiments.bench.rates_figure import write_figure

        console.print(f"figure: {write_figure(result, json_out.with_suffix('.html'))}")


def write(result: dict[str, Any], out: Path | None) -> None:
    """Writes the table whole or not at all; nothing without a place to write it."""
    from sweeps.store import write_json

    if out is not None:
        write_json(out, result)
