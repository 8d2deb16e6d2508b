"""`scalelab bench`: a verb imports what it needs when it runs."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from experiments.options import (
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
    write_result,
)

TASKS, ARMS, WINDOWS = ["argmax", "count_by_user"], ["truncation", "map-reduce", "rlm-1"], [1, 16]

app = typer.Typer(no_args_is_help=True, help="Measure against peers, and what the parametrisation promises.")


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
    give(result, json_out, lambda: show(result, console))
    if any(part["status"] != "ok" for part in (*result["widths"], result["grid"])):
        raise SystemExit(1)  # the two sides did not compute the same losses


@app.command("executors")
def bench_executors(json_out: Json = None, dry_run: DryRun = False) -> None:
    """What a cell costs that does nothing, on local processes and on Ray."""
    from rich.console import Console

    from experiments.bench.executors import ExecutorsBench, describe, run, show

    bench, console = ExecutorsBench(), Console()
    if dry_run:
        console.print(describe(bench))
        return
    result = run(bench, Console(stderr=True))
    give(result, json_out, lambda: show(result, console))
    if result["status"] != "ok":
        raise SystemExit(1)  # slower than promised


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
    give(result, json_out, lambda: show(result, console))
    if json_out is not None and str(json_out) != "-":
        from experiments.bench.rates_figure import write_figure

        console.print(f"figure: {write_figure(result, json_out.with_suffix('.html'))}")
    if result["status"] != "ok":
        raise SystemExit(1)  # the grid does not hold the best rate of every width


@app.command("fit")
def bench_fit(
    points: Annotated[Path | None, typer.Argument(help="CSV with params, tokens, loss; our own runs without.")] = None,
    drop_highest: Annotated[int, typer.Option(help="Leave out that many of the highest losses.")] = 0,
    json_out: Json = None,
    dry_run: DryRun = False,
) -> None:
    """Our fit of a scaling law against PyPI's chinchilla: CPU-seconds and objective."""
    from rich.console import Console

    from experiments.bench.fit import FitBench, describe, run, show
    from experiments.law import POINTS

    bench, source, console = FitBench(), points or POINTS, Console()
    if dry_run:
        console.print(describe(bench, source))
        return
    result = run(bench, source, drop_highest, Console(stderr=True))
    give(result, json_out, lambda: show(result, console))
    if result["status"] != "ok":
        raise SystemExit(1)  # slower than promised, or a worse minimum


def _simulated(module: Any, bench: Any, json_out: Path | None, dry_run: bool) -> dict[str, Any] | None:
    """Runs, shows and writes a benchmark by simulation; None where it is only described."""
    from rich.console import Console

    console = Console()
    if dry_run:
        console.print(module.describe(bench))
        return None
    result = module.run(bench, Console(stderr=True))
    give(result, json_out, lambda: module.show(result, console))
    return result


@app.command("coverage")
def bench_coverage(
    sweeps: Annotated[int, typer.Option(min=1, help="Simulated sweeps in every setting.")] = 1000,
    json_out: Json = None,
    dry_run: DryRun = False,
) -> None:
    """How often the engine's 95% intervals hold the truth, on simulated sweeps."""
    from experiments.bench import coverage

    bench = coverage.CoverageBench(sweeps=sweeps)
    result = _simulated(coverage, bench, json_out, dry_run)
    if result and result["status"] != "ok":
        raise SystemExit(1)  # an interval holds the truth too seldom or too often


@app.command("design")
def bench_design(json_out: Json = None, dry_run: DryRun = False) -> None:
    """Whether the runs that `design` chooses narrow a forecast more than others at equal cost, on simulated sweeps."""
    from experiments.bench import design

    bench = design.DesignBench()
    _simulated(design, bench, json_out, dry_run)


@app.command("emergence")
def bench_emergence(
    curves: Annotated[int, typer.Option(min=1, help="Simulated curves of every kind.")] = 300,
    json_out: Json = None,
    dry_run: DryRun = False,
) -> None:
    """How often the emergence detector is right, on simulated curves and on the BIG-bench tasks of public models."""
    from experiments.bench import emergence

    bench = emergence.EmergenceBench(curves=curves, curves_at_boundary=max(curves, 10 * curves // 3))
    result = _simulated(emergence, bench, json_out, dry_run)
    if result and result["status"] != "ok":
        raise SystemExit(1)  # a share of wrong labels is larger than promised


@app.command("check")
def bench_check(
    reruns: Annotated[int, typer.Option(min=0, help="Checks of the same revision, which must raise no alarm.")] = 10,
    json_out: Json = None,
    dry_run: DryRun = False,
) -> None:
    """Whether `scalelab check` notices regressions that are planted in a clone, and raises no alarm without."""
    from experiments.bench import check

    result = _simulated(check, check.CheckBench(reruns), json_out, dry_run)
    if result and result["status"] != "ok":
        raise SystemExit(1)  # a plant was missed, or an alarm was false


@app.command("inference")
def bench_inference(
    model: Annotated[Path, typer.Option(help="A Hugging Face directory, ours or another's.")],
    drafter: Annotated[Path | None, typer.Option(help="A smaller one with the same tokenizer, for drafts.")] = None,
    technique: Annotated[list[str] | None, typer.Option(help="Only this one; may be given again.")] = None,
    text: Annotated[Path | None, typer.Option(help="Prompts are parts of it; our held-out text without.")] = None,
    training_text: Annotated[
        Path | None, typer.Option(help="What quantisation-aware training trains on; unsupported without.")
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where it decodes.")] = "cpu",
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Of the model on both sides.")] = "float32",
    prompt: Annotated[int, typer.Option(min=2, help="Tokens of a prompt.")] = 64,
    output: Annotated[int, typer.Option(min=1, help="Tokens to decode after it.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Prompts.")] = 4,
    pairs: Annotated[int, typer.Option(min=6, help="Times that both sides take a turn.")] = 11,
    json_out: Json = None,
    dry_run: DryRun = False,
) -> None:
    """How much faster a model decodes with each acceleration, where what it decodes is right."""
    from rich.console import Console

    from experiments.bench.inference import InferenceBench, describe, run, show

    bench = InferenceBench(
        model, drafter, tuple(technique or ()), text, training_text, prompt, output, batch, pairs, device, dtype
    )
    console = Console()
    if dry_run:
        console.print(describe(bench))
        return
    result = run(bench, Console(stderr=True))
    give(result, json_out, lambda: show(result, console))
    if any(row["status"] == "incorrect" for row in result["rows"]):
        raise SystemExit(1)  # a technique does not give what it must


@app.command("longcontext")
def bench_longcontext(
    context: typer.Context,
    lm: Annotated[str, typer.Option(help="As for solve: builtin, hf:PATH or openai:MODEL.")] = "builtin",
    base_url: BaseUrl = LOCAL,
    window: Window = None,
    task: Annotated[list[str], typer.Option(help="Of the closed world, RULER's or OOLONG's; again for more.")] = TASKS,
    arm: Annotated[list[str], typer.Option(help="A way to answer; again for more.")] = ARMS,
    windows: Annotated[list[int], typer.Option(help="Length of contexts; again for more.")] = WINDOWS,
    items: Annotated[int, typer.Option(help="Of each task and length.")] = 20,
    profile: Annotated[Literal["sealed", "open"], typer.Option(help="Of the sandbox.")] = "sealed",
    concurrency: Annotated[int | None, typer.Option(help="Calls to a server under way: 16 where not given.")] = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    usd_read: UsdRead = 0.0,
    usd_written: UsdWritten = 0.0,
    overhead: Annotated[
        bool, typer.Option("--overhead", help="Instead, what the solver costs beside its model, and PyPI's rlms.")
    ] = False,
    json_out: Json = None,
    dry_run: DryRun = False,
) -> None:
    """Ways to answer from long contexts, on generated tasks; --json has what is done so far, row by row."""
    from rich.console import Console

    if overhead:
        for name in set(context.params) - {"overhead", "json_out", "dry_run"}:
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise ValueError(f"--{name.replace('_', '-')}: --overhead measures loads of its own: leave it out")
        bench_overhead(json_out, dry_run)
        return

    from experiments.bench.longcontext import LongContextBench, describe, run, show
    from experiments.solve import price_of
    from rlm.budget import Budget

    budget, price = Budget(max_calls, max_tokens, None, max_usd), price_of(usd_read, usd_written, max_usd)
    bench = LongContextBench(
        lm, tuple(task), tuple(arm), tuple(windows), items, profile, budget=budget, price=price, concurrency=concurrency
    )
    console = Console(soft_wrap=True, highlight=False)
    if dry_run:
        console.print(describe(bench))
        return

    def keep(found: dict[str, Any]) -> None:
        if json_out is not None and str(json_out) != "-":
            write_result(found, json_out)

    found = run(bench, base_url, window, Console(stderr=True), keep)
    give(found, json_out, lambda: show(found, console))
    if found["exhausted"]:
        raise SystemExit(f"scalelab: {found['exhausted']}: {len(found['rows'])} of {bench.num_rows} rows are there")


def bench_overhead(json_out: Path | None, dry_run: bool) -> None:
    """What the recursive solver costs a call beside its model, and PyPI's rlms."""
    from rich.console import Console

    from experiments.bench.overhead import OverheadBench, describe, run, show

    bench, console = OverheadBench(), Console(soft_wrap=True, highlight=False)
    if dry_run:
        console.print(describe(bench))
        return
    result = run(bench, Console(stderr=True))
    give(result, json_out, lambda: show(result, console))
    if result["status"] != "ok":
        raise SystemExit(1)  # slower than promised
