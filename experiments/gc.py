"""`scalelab gc`: removes what lies below runs/ and is of no use, and says how much room that gives."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.wording import byte_size
from experiments.locks import only_one
from experiments.orphans import Orphan, find_orphans
from experiments.project import CACHE, Project
from experiments.running import holders
from sweeps import store

if TYPE_CHECKING:
    from rich.table import Table

KEEP_ROWS = ("inference", "longcontext", "posttrain")  # verbs; students are trained by the first


def collect(dry_run: bool) -> dict[str, Any]:
    """Finds what is of no use and, unless it is a dry run, removes it; returns what was found.

    Raises ValueError while anything is trained, evaluated or measured: what is half written then is no leftover.
    """
    project = Project.here()
    at_work = holders()
    if at_work:
        process = f" (process {at_work[0].pid})" * (at_work[0].pid is not None)
        raise ValueError(f"another process works on {at_work[0].what}{process}: wait for it or stop it")
    with nullcontext() if dry_run else nobody_writes(list(project.params.suites)):
        found = find_orphans(project)
        orphans = [{"path": str(orphan.path), "why": orphan.why, "bytes": orphan.num_bytes} for orphan in found.orphans]
        if not dry_run:
            for orphan in found.orphans:
                _remove(orphan, project.runs)
    return {
        "removed": not dry_run,
        "orphans": orphans,
        "bytes": sum(orphan["bytes"] for orphan in orphans),
        "left_alone": found.left_alone,
    }


@contextmanager
def nobody_writes(suites: list[str]) -> Iterator[None]:
    """Holds the lock of every verb that writes below runs/: of training, of evaluating, and of what keeps rows."""
    held = [*suites, *(f"{suite}-evaluate" for suite in suites), *(f"{stage}-measured" for stage in KEEP_ROWS)]
    with ExitStack() as stack:
        for name in held:
            stack.enter_context(only_one(CACHE / f"{name}.lock"))
        yield


def _remove(orphan: Orphan, runs: Path) -> None:
    """The file or folder, and the folders above it that are empty then; a stage's own folder stays, as its output."""
    if orphan.path.is_dir():
        shutil.rmtree(orphan.path)
    else:
        orphan.path.unlink(missing_ok=True)
    outputs = {runs, runs / store.EVALUATIONS}
    for parent in orphan.path.parents:
        if outputs & {parent, parent.parent} or any(parent.iterdir()):
            return
        parent.rmdir()


def print_collected(found: dict[str, Any]) -> None:
    """A row a place and reason, then the sum."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for place, reason in found["left_alone"].items():
        console.print(f"left alone: {place}: {reason}", markup=False)
    if not found["orphans"]:
        console.print("nothing to remove")
        return
    console.print(table(found))
    verb = "removed" if found["removed"] else "would remove"
    console.print(f"{verb} {byte_size(found['bytes'])} in {len(found['orphans'])} files and folders; ", end="")
    console.print("DVC keeps copies of what a stage left: `dvc gc --workspace` removes those no longer in use")


def table(found: dict[str, Any]) -> "Table":
    """By suite or store and by reason: how many, and how much."""
    from rich.table import Table

    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for orphan in found["orphans"]:
        key = ("/".join(Path(orphan["path"]).parts[:2]), orphan["why"])
        counts[key] += 1
        sizes[key] += orphan["bytes"]
    made = Table("where", "why", "number", "size")
    for (where, why), count in sorted(counts.items()):
        made.add_row(where, why, str(count), byte_size(sizes[where, why]))
    made.add_row("all", "", str(counts.total()), byte_size(found["bytes"]))
    return made
