"""The verbs that write what models train on: `scalelab corpus`, `abilities`, `world`; and `item`."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.options import DryRun


def corpus(dry_run: DryRun = False) -> None:
    """Build the token store of params.yaml's corpus in data/corpus."""
    from experiments.project import DATA, Project

    params = Project.here().params
    if dry_run:
        print(f"{params.corpus.source} text, at most {params.corpus.max_bytes} bytes, to {DATA}")
        return
    from sweeps.corpus.build import build_corpus

    manifest = build_corpus(
        params.corpus,
        params.tokenizer.vocab_size,
        params.validation,
        DATA,
        progress=lambda line: print(line, flush=True),
    )
    train, validation, copies = manifest["train"], manifest["validation"], manifest["duplicates"]
    print(
        f"{train['tokens']:,} training tokens in {train['documents']:,} documents, {validation['tokens']:,} held out "
        f"in {validation['documents']:,}; duplicates removed: {copies['exact']:,} exact and {copies['near']:,} near"
    )


def abilities(dry_run: DryRun = False) -> None:
    """Write the mixture's training documents and the held-out items of every ability to data/abilities."""
    from experiments.project import ABILITIES, Project

    project = Project.here()
    if dry_run:
        names = ", ".join(f"{name} {share:g}" for name, share in project.abilities.shares.items())
        print(f"{project.abilities.documents:,} documents ({names}) to {ABILITIES}")
        return
    from experiments.abilities import build_abilities

    train = build_abilities(project)["train"]
    print(f"{train['documents']:,} training documents of {train['tokens']:,} tokens, {train['bytes']:,} bytes scored")


def world(dry_run: DryRun = False) -> None:
    """Write the built-in model's lessons, and those that are held out, to data/world."""
    from experiments.project import WORLD, Project

    project = Project.here()
    if dry_run:
        asked = project.world
        print(f"{asked.lessons:,} lessons about {asked.words:,} words, {asked.held_out:,} held out, to {WORLD}")
        return
    from experiments.world import build_world

    train = build_world(project)["train"]
    print(f"{train['documents']:,} lessons of {train['tokens']:,} tokens")


def item(
    task: Annotated[str, typer.Argument(help="Of the closed world, as argmax.")],
    windows: Annotated[int, typer.Option(help="Length of the context.")] = 4,
    seed: Annotated[int, typer.Option(help="Another is another item.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the context goes.")] = Path("item.txt"),
) -> None:
    """Draw an item that the built-in model can be asked: its context, question and right answer."""
    from evals.longcontext.task import items
    from evals.longcontext.tasks import TASKS
    from experiments.project import Project

    lexicon = Project.here().world.lexicon
    if task not in TASKS:
        raise ValueError(f"task {task}: there is no such task: give one of {', '.join(TASKS)}")
    if windows < 1:
        raise ValueError(f"--windows {windows}: give 1 or more")
    (drawn,) = items(TASKS[task], lexicon, windows, 1, seed, "held-out")
    try:
        out.write_text(drawn.context)
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written ({error.strerror}): name another file") from None
    print(f"context: {out}\nquestion: {drawn.question}\nright answer: {drawn.gold}")
