"""A suite's records as the table that analysis reads."""

import csv
from pathlib import Path
from typing import Any

from experiments.project import Project
from sweeps import store
from sweeps.train_job import CellJob

COLUMNS = (
    "run_id", "fingerprint", "suite", "family", "size", "cell", "branch", "seed", "params", "params_total",
    "params_with_head", "tokens", "unique_tokens", "flops", "flops_6nd", "loss", "loss_se", "bits_per_byte",
    "learning_rate", "batch_tokens", "steps", "seconds", "tokens_per_second", "device", "precision", "compile",
    "status", "reason", "revision", "torch", "transformers",
)  # fmt: skip


def settled_branches(project: Project, suite: str) -> list[tuple[CellJob, Path, dict[str, Any]]]:
    """(job, directory, record) of every branch of the suite's grid; raises ValueError where some are to be trained."""
    found, missing = [], []
    for job in project.jobs(suite):
        for steps in job.cell.steps:
            directory = store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens)
            if not store.is_settled(job.state(steps)):
                missing.append(f"{job.cell.name}/{directory.name}")
                continue
            record = store.read_record(directory)
            assert record is not None
            found.append((job, directory, record))
    if missing:
        raise ValueError(f"{len(missing)} branches are not trained ({missing[0]}, ...): run `scalelab train {suite}`")
    return found


def checkpoint_of(branch: Path) -> Path:
    """The folder of a finished branch's weights; raises ValueError where its record alone is left."""
    checkpoint = branch / "checkpoint"
    if not checkpoint.is_dir():
        suite = branch.parent.parent
        raise ValueError(
            f"{checkpoint} is not there, its record is: `dvc checkout --force {suite}` may bring it back; else remove "
            f"{branch} and run `scalelab train {suite.name}`"
        )
    return checkpoint


def collect_points(project: Project, suite: str) -> list[dict[str, Any]]:
    """One row a branch; raises ValueError where some are still to be trained."""
    return [
        {
            **record,
            **record["versions"],
            "run_id": f"{suite}/{record['cell']}/{record['branch']}",
            "params": record["params_non_embedding"],
        }
        for _, _, record in settled_branches(project, suite)
    ]


def write_points(project: Project, suite: str, path: Path) -> None:
    """Writes the suite's table, whole or not at all."""
    import pandas as pd

    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    pd.DataFrame(collect_points(project, suite))[list(COLUMNS)].to_csv(partial, index=False)
    partial.replace(path)


def is_of_present_grid(project: Project, suite: str, path: Path) -> bool:
    """Whether the table holds the branches that the params ask for, under present settings, data and code, alone.

    A diverged branch may be left out of it.
    """
    try:
        jobs = project.jobs(suite)
        with path.open(newline="") as table:
            fitted = {row["fingerprint"] for row in csv.DictReader(table)}
    except (ValueError, FileNotFoundError, KeyError):  # No corpus of these params, no table, not our table.
        return False
    states = {store.fingerprint(job.cell, job.recipe, n): job.state(n) for job in jobs for n in job.cell.steps}
    return fitted <= set(states) and all(states[missing] == "diverged" for missing in set(states) - fitted)
