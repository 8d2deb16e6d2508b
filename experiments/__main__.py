"""The command line. A verb imports what it needs when it runs: `scalelab --help` loads nothing heavy."""

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.bench.cli import app as bench
from experiments.check.cli import check
from experiments.executors.params import ExecutorKind
from experiments.options import DryRun, Html, Json, give, give_answer, write_html, write_result
from experiments.solve import solve
from experiments.tables import design, extrapolate, fit, forecast, saturation
from experiments.texts import abilities, corpus, item, world
from experiments.upkeep import gc, status

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(bench, name="bench")
for verb in (corpus, abilities, world, item, fit, saturation, forecast, design, extrapolate, solve, status, gc, check):
    app.command()(verb)

FULL = (errno.ENOSPC, errno.EDQUOT)
SuiteName = Annotated[str, typer.Argument(help="A suite of params.yaml.")]


def main() -> None:
    """Runs the command line; what a user got wrong ends in one line and exit code 2."""
    try:
        app()
    except ValueError as error:
        print(f"scalelab: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        remedy = "make room (`scalelab gc` may), then run it again; what was finished is kept"
        print(f"scalelab: the disk is full ({error}): {remedy}", file=sys.stderr)
        raise SystemExit(1) from None


@app.callback()
def workbench() -> None:
    """What does scale buy? Train families of small transformers, fit scaling laws, see and forecast."""


@app.command()
def plan(suite: SuiteName = "law", json_out: Json = None) -> None:
    """Price a suite before anything runs: cells, FLOPs, seconds, bytes, and what is done, stale or pending."""
    from rich.console import Console

    from experiments.plan import make_plan, show
    from experiments.project import Project

    made = make_plan(Project.here(), suite, Console(stderr=True))
    if json_out is None:
        show(made, Console())
    else:
        write_result({"cells": made.cells, "totals": made.totals}, json_out)


@app.command()
def train(
    suites: Annotated[list[str], typer.Argument(help="Suites of params.yaml, trained side by side.")] = ["law"],  # noqa: B006
    executor: Annotated[
        ExecutorKind | None, typer.Option(help="Where cells run, instead of params.yaml's executor.kind.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster, instead of executor.address.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Train what the cell store lacks of suites."""
    from contextlib import ExitStack

    from experiments.locks import is_held, only_one
    from experiments.project import CACHE, Project
    from experiments.sweep import check_device, check_rows, report_states, train_suite
    from sweeps.repair import repairs

    project = Project.here()
    where = project.params.executor.overridden(executor, address)
    jobs = [job for suite in suites for job in project.jobs(suite)]
    check_rows(jobs, where)
    report_states(jobs)
    if not any(is_held(CACHE / f"{suite}.lock") for suite in suites):  # else they are another run's, which goes on
        for line in repairs(jobs):
            print(line, flush=True)
    if where.kind == "local" and any(job.pending_steps() for job in jobs):
        check_device(where.device)
    if dry_run:
        return
    with ExitStack() as locks:
        for suite in dict.fromkeys(suites):
            locks.enter_context(only_one(CACHE / f"{suite}.lock"))
        try:
            failures = train_suite(jobs, where)
        except KeyboardInterrupt:
            print("interrupted: run it again to go on where it was", file=sys.stderr)
            raise SystemExit(130) from None
    for failure in failures:
        print(f"failed: {failure.cell}: {failure.reason} ({failure.log})", file=sys.stderr)
    if failures:
        raise SystemExit(1)


@app.command()
def evaluate(
    suite: SuiteName = "emergence",
    tasks: Annotated[
        list[str] | None,
        typer.Option(help="An lm-eval task or group; again for more. Without it the mixture's abilities."),
    ] = None,
    dry_run: DryRun = False,
    json_out: Json = None,
) -> None:
    """Ask every checkpoint of a suite the tasks of lm-eval, one call a checkpoint; what is judged is kept."""
    from experiments.evaluate import evaluate_suite, judgements, read_scores, with_progress
    from experiments.locks import only_one
    from experiments.project import CACHE, Project

    project = Project.here()
    found = judgements(project, suite, tasks or ())
    pending = [judgement for judgement in found if not judgement.is_done]
    print(
        f"{len(found)} checkpoints, {len(pending)} to evaluate on {len(found[0].tasks) if found else 0} tasks",
        flush=True,
    )
    if dry_run:
        return
    if pending:
        with only_one(CACHE / f"{suite}-evaluate.lock"):
            for _ in with_progress(evaluate_suite(pending, project.params.executor.workers), len(pending)):
                pass
    if json_out is not None:
        write_result({"checkpoints": [read_scores(judgement) for judgement in found]}, json_out)


@app.command()
def emergence(
    scores: Annotated[
        Path | None,
        typer.Argument(
            help="CSV or Parquet with task, metric, compute, seed, value, num_items, chance; without it our own sweep."
        ),
    ] = None,
    json_out: Json = None,
    html_out: Html = None,
) -> None:
    """Label every task of a table: emergent, smooth, mirage, saturated, flat or undetermined; where, and how wide."""
    from experiments.emergence import emergence_of_table, own_emergence, print_emergence
    from experiments.scores import EMERGENCE

    table, found = own_emergence() if scores is None else emergence_of_table(scores)
    own = EMERGENCE if scores is None else None
    give_answer("emergence", found, own, json_out, lambda: print_emergence(found))
    if html_out is not None:
        from analysis.pages_emergence import emergence_page

        write_html(html_out, *emergence_page(table, found))


@app.command()
def inference(
    dry_run: DryRun = False,
    json_out: Json = None,
    html_out: Html = None,
) -> None:
    """Measure every acceleration on the checkpoints that params.yaml names; rows that were measured before are kept."""
    from rich.console import Console

    from experiments.inference import INFERENCE, describe, own_inference, print_inference
    from experiments.locks import only_one
    from experiments.project import CACHE, Project

    if dry_run:
        Console().print(describe(Project.here()))
        return
    with only_one(CACHE / "inference-measured.lock"):
        found = own_inference(Console(stderr=True))
    give_answer("inference", found, INFERENCE, json_out, lambda: print_inference(found))
    if html_out is not None:
        from analysis.pages_inference import inference_page

        write_html(html_out, *inference_page(found))


@app.command()
def longcontext(dry_run: DryRun = False, json_out: Json = None) -> None:
    """Compare ways to answer from contexts of up to a thousand windows; rows that were measured before are kept."""
    from rich.console import Console

    from experiments.locks import only_one
    from experiments.longcontext import describe, own_longcontext, print_longcontext
    from experiments.longcontext_report import LONGCONTEXT
    from experiments.project import CACHE, Project

    if dry_run:
        print(describe(Project.here()))
        return
    with only_one(CACHE / "longcontext-measured.lock"):
        found = own_longcontext(Console(stderr=True))
    give_answer("longcontext", found, LONGCONTEXT, json_out, lambda: print_longcontext(found))


@app.command()
def posttrain(dry_run: DryRun = False, json_out: Json = None) -> None:
    """Train the built-in model's root further on programs of its own, two ways, and compare; arms are kept."""
    from rich.console import Console

    from experiments.locks import only_one
    from experiments.posttrain import POSTTRAIN, describe, own_posttrain, print_posttrain
    from experiments.project import CACHE, Project

    if dry_run:
        print(describe(Project.here()))
        return
    with only_one(CACHE / "posttrain-measured.lock"):
        found = own_posttrain(Console(stderr=True))
    give(found, json_out or POSTTRAIN, lambda: print_posttrain(found))


@app.command()
def report(
    against: Annotated[
        str | None, typer.Option(help="A git revision, or a folder with another sweep's results: compare with it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Of the comparison; results/comparison.html unless said.")] = None,
    dry_run: DryRun = False,
    json_out: Json = None,
) -> None:
    """Write results/report.html from the results on disk, or these results beside another sweep's."""
    from experiments.report import write_own_report

    if against is None:
        if out is not None or json_out is not None:
            raise ValueError("report: --out and --json are about a comparison: name the other side with --against")
        print(write_own_report(dry_run))
        return
    from experiments.compare import COMPARISON, compare_with, print_comparison

    page = out or COMPARISON
    found = compare_with(against, None if dry_run else page)
    give(found, json_out, lambda: print_comparison(found, None if dry_run else page))


@app.command()
def sync(
    follow: Annotated[bool, typer.Option("--follow", help="Keep publishing while training runs.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Publish records and curves to MLflow; what is there already is left alone."""
    from experiments.publish import publish

    publish(follow, dry_run)


@app.command()
def promote(suite: SuiteName = "law", dry_run: DryRun = False) -> None:
    """Register the best run of a suite's largest size in MLflow, as the model that `baseline` names."""
    from experiments.project import Project
    from experiments.registry import candidate
    from experiments.registry import promote as promoted

    project = Project.here()
    print(f"would register {candidate(project, suite)}" if dry_run else promoted(project, suite))


@app.command()
def use(
    preset: Annotated[str, typer.Argument(help="smoke, laptop, inference, longcontext, full, gpu or cluster.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders or globs of your own texts; the preset is then set to what they afford."),
    ] = None,
    text_field: Annotated[str, typer.Option(help="The column of .jsonl and .parquet that holds the text.")] = "text",
) -> None:
    """Put a preset in place as params.yaml, on texts of your own if you name some."""
    from experiments.presets import put_in_place, put_texts_in_place

    if not texts:
        print(put_in_place(preset))
        return
    for line in put_texts_in_place(preset, texts, text_field, lambda told: print(told, flush=True)):
        print(line)
    print("next: `make law` trains, fits and shows; `dvc repro corpus && scalelab plan` says before what it takes")


if __name__ == "__main__":
    main()
