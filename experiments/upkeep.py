"""The verbs that look after a project: `scalelab status` and `gc`."""

from typing import Annotated

import typer

from experiments.options import DryRun, Json, give


def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow what runs until nothing does; Ctrl-C ends it.")
    ] = False,
    json_out: Json = None,
) -> None:
    """Say where every suite stands, what runs, failed or is damaged, and what the results say."""
    if watch and json_out is not None:
        raise ValueError("status: --watch follows and --json writes once: give one of them")
    if watch:
        from experiments.watch import watch as follow

        follow()
        return
    from experiments.status import print_status, read_status

    found = read_status()
    give(found, json_out, lambda: print_status(found))


def gc(dry_run: DryRun = False, json_out: Json = None) -> None:
    """Remove what runs/ holds of models and settings that params.yaml no longer asks for, and what killed runs left."""
    from experiments.gc import collect, print_collected

    found = collect(dry_run)
    give(found, json_out, lambda: print_collected(found))
