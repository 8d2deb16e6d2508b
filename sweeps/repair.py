"""What a run finds that is not whole, and what it will do about it. Standard library only."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sweeps import store
from sweeps.schedule import fork
from sweeps.train_job import CellJob
from sweeps.whole import checkpoint_is_whole, ends_in_a_line, state_is_whole

CHECKPOINT = "checkpoint"


def repairs(jobs: Sequence[CellJob]) -> list[str]:
    """A line for each thing in the jobs' cells that is not whole: what it is, and what training does with it.

    While training runs, what it is writing looks the same: ask before it begins.
    """
    return [line for job in jobs for line in _of_cell(job)]


def _of_cell(job: CellJob) -> Iterator[str]:
    pending = job.pending_steps()
    if pending:
        yield from _of_trunk(job, _fork_start(job, pending[0]))
    for steps in pending:
        directory = store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens)
        for said in _of_branch(job, steps, directory):
            yield f"{job.cell.suite}/{job.cell.name}/{directory.name}: {said}"


def _of_branch(job: CellJob, steps: int, directory: Path) -> Iterator[str]:
    record = store.read_record(directory)
    if record is None:
        if (directory / "record.json").exists():
            yield "record.json cannot be read: the branch is trained again"
        elif directory.exists():
            yield "it has no record: the branch is trained again"
    elif (
        _is_of(record, job, steps) and record["status"] == "done" and not checkpoint_is_whole(directory / "checkpoint")
    ):
        yield "its checkpoint is damaged: the branch is trained again"
    if directory.with_name(f".{directory.name}.part").exists():
        yield "a run left half of it: that is removed and the branch trained from the trunk"


def _of_trunk(job: CellJob, latest_start: int) -> Iterator[str]:
    """Of the states, those from which the first pending branch could have left."""
    trunk, name = job.directory / store.TRUNK, f"{job.cell.suite}/{job.cell.name}/{store.TRUNK}"
    if not store.trunk_is_current(job.runs, job.cell, job.recipe):
        return
    for path in sorted(trunk.glob("*.tmp")):
        yield f"{name}/{path.name} is half written: it is removed"
    usable = [int(path.stem) for path in trunk.glob("*.pt") if int(path.stem) <= latest_start]
    damaged = [step for step in usable if not state_is_whole(trunk / f"{step}.pt")]
    whole = sorted(set(usable) - set(damaged))
    for step in sorted(damaged):
        # The furthest state is loaded: a damaged one before it is never looked at.
        if not whole or step > whole[-1]:
            origin = f"from step {whole[-1]}" if whole else "from the start"
            yield f"{name}/{step}.pt is damaged: it is removed and the trunk trained again {origin}"
    if not ends_in_a_line(trunk / "metrics.jsonl"):
        yield f"{name}/metrics.jsonl ends in the middle of a line: the line is dropped"


def _is_of(record: dict[str, Any], job: CellJob, steps: int) -> bool:
    return record["fingerprint"] == store.fingerprint(job.cell, job.recipe, steps)


def _fork_start(job: CellJob, steps: int) -> int:
    training = job.recipe.training
    return fork(steps, training.cooldown_share, training.warmup_steps).start
