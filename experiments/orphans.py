"""What lies below runs/ that nothing in params.yaml asks for or could use again.

Only what has the name of a cell, a branch or a row is looked at: what somebody else put there stays.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments import longcontext, posttrain
from experiments.measurements import ROWS, Measurements
from experiments.project import PARAMS, Project
from experiments.standing import Sweeps
from sweeps import store
from sweeps.distil.job import SUITE as DISTILLED
from sweeps.train_job import CellJob

MACHINE = "machine.json"  # beside the measurements: their control
CELL = re.compile(r"w\d+(-l\d+)?-s\d+(-u\d+)?")
BRANCH = re.compile(r"t\d+")
PART = re.compile(r"\..+\.part")
UNASKED = f"{PARAMS} no longer asks for it"
OTHER_SETTINGS = "of other params, data or training code"
LEFTOVER = "left by a run that was killed or failed"
NO_RECORD = "cannot be read, or has no record"
OTHER_MODEL = "of another model or other code"


@dataclass(frozen=True)
class Orphan:
    """A file or folder to remove, and why it is of no use."""

    path: Path
    why: str

    @property
    def num_bytes(self) -> int:
        """Of the file, or of all files below the folder."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.lstat().st_size for file in files if not file.is_dir() or file.is_symlink())


@dataclass(frozen=True)
class Found:
    """The orphans, and why some places could not be judged: those are left alone."""

    orphans: list[Orphan]
    left_alone: dict[str, str]


def find_orphans(project: Project) -> Found:
    """Looks through every store below runs/; nothing is removed."""
    sweeps = Sweeps.of(project)
    left_alone = {str(project.runs / name): reason for name, reason in sweeps.unknown.items()}
    orphans = [*_of_unasked_suites(project)]
    for jobs in sweeps.jobs.values():
        orphans += _of_suite(jobs)
        orphans += _of_evaluations(jobs)
    for store_name, look in (
        (ROWS, _of_measurements),
        (longcontext.ROWS, _of_longcontext),
        (DISTILLED, _of_distillation),
        (posttrain.ARMS, _of_posttrain),
    ):
        if (project.runs / store_name).exists():
            try:
                orphans += list(look(project))
            except ValueError as error:  # What they are rows of is not trained: nobody can say which are of it.
                left_alone[str(project.runs / store_name)] = str(error)
    return Found(sorted(orphans, key=lambda orphan: orphan.path), left_alone)


def _of_unasked_suites(project: Project) -> Iterator[Orphan]:
    """Folders that hold a suite's cells, or its evaluations, of a name that params.yaml does not have."""
    others = {ROWS, longcontext.ROWS, DISTILLED, posttrain.ARMS, store.EVALUATIONS}
    for folder in _folders(project.runs):
        is_suite = any(folder.glob(f"*/{store.TRUNK}/fingerprint")) or any(folder.glob("*/t[0-9]*/record.json"))
        if is_suite and folder.name not in {*project.params.suites, *others}:
            yield Orphan(folder, UNASKED)
    for folder in _folders(project.runs / store.EVALUATIONS):
        if folder.name not in {*project.params.suites, DISTILLED}:
            yield Orphan(folder, UNASKED)


def _of_suite(jobs: list[CellJob]) -> Iterator[Orphan]:
    by_name = {job.cell.name: job for job in jobs}
    for folder in _folders(jobs[0].directory.parent):
        if folder.name in by_name:
            yield from _of_cell(by_name[folder.name])
        elif CELL.fullmatch(folder.name):
            yield Orphan(folder, UNASKED)


def _of_cell(job: CellJob) -> Iterator[Orphan]:
    """Of a cell of the grid. Its trunk's states stay: a longer branch can leave from them."""
    asked = {store.branch_name(steps * job.recipe.training.batch_tokens): steps for steps in job.cell.steps}
    for folder in _folders(job.directory):
        if folder.name == store.TRUNK:
            if store.trunk_is_current(job.runs, job.cell, job.recipe):
                yield from (Orphan(path, LEFTOVER) for path in folder.glob("*.tmp"))
            else:
                yield Orphan(folder, OTHER_SETTINGS)
        elif PART.fullmatch(folder.name):
            yield Orphan(folder, LEFTOVER)
        elif folder.name in asked:
            yield from _of_branch(job, folder, asked[folder.name])
        elif BRANCH.fullmatch(folder.name):
            yield Orphan(folder, UNASKED)
    log = job.directory / "error.log"
    if log.exists() and not job.pending_steps():
        yield Orphan(log, "of a failure since overcome")


def _of_branch(job: CellJob, folder: Path, steps: int) -> Iterator[Orphan]:
    state = job.state(steps)
    if state == "stale":
        yield Orphan(folder, OTHER_SETTINGS)
    elif state == "pending":
        yield Orphan(folder, NO_RECORD)
    elif state == "failed":  # The record says why; what lies beside it is of the branch that was here before.
        yield from (Orphan(path, OTHER_SETTINGS) for path in folder.iterdir() if path.name != "record.json")
    else:
        yield from (Orphan(path, LEFTOVER) for path in folder.glob(".record.json.*"))


def _of_evaluations(jobs: list[CellJob]) -> Iterator[Orphan]:
    """Scores that vouch for another checkpoint than the one that lies there now."""
    place = jobs[0].runs / store.EVALUATIONS / jobs[0].cell.suite
    current = {}
    for job in jobs:
        for steps in job.cell.steps:
            branch = store.branch_name(steps * job.recipe.training.batch_tokens)
            current[place / job.cell.name / branch] = (
                store.fingerprint(job.cell, job.recipe, steps) if job.state(steps) == "done" else None
            )
    for folder in (branch for cell in _folders(place) for branch in _folders(cell)):
        if folder not in current:
            yield Orphan(folder, UNASKED)
        else:
            yield from _of_scores(folder, current[folder])


def _of_scores(folder: Path, fingerprint: str | None) -> Iterator[Orphan]:
    """Of one checkpoint: its own tasks' scores and, in folders of their own, those of tasks that were asked by name."""
    scored = [one for one in (folder, *_folders(folder)) if (one / store.SCORES).exists()]
    others = [one for one in scored if not _vouches_for(one, fingerprint)]
    if others == scored:
        yield Orphan(folder, OTHER_SETTINGS if scored else LEFTOVER)
        return
    for one in others:
        paths = [folder / store.SCORES, folder / store.SAMPLES] if one == folder else [one]
        yield from (Orphan(path, OTHER_SETTINGS) for path in paths)
    yield from (Orphan(path, LEFTOVER) for path in folder.rglob(".*"))


def _vouches_for(folder: Path, fingerprint: str | None) -> bool:
    """Whether the scores there are of that record's checkpoint."""
    try:
        return fingerprint is not None and store.read_evaluation(folder, fingerprint) is not None
    except ValueError:  # not JSON
        return False


def _of_measurements(project: Project) -> Iterator[Orphan]:
    """A row that is asked for stays, also one of another machine or model: only a new measurement replaces it."""
    place, params = project.runs / ROWS, project.params.inference
    if params is None:
        yield from (Orphan(path, UNASKED) for path in sorted(place.iterdir()))
        return
    rows = {row.path for row in Measurements(project, params, dry_run=True).rows}
    for path in sorted(place.rglob("*.json*")):
        if path.name.startswith("."):
            yield Orphan(path, LEFTOVER)
        elif path != place / MACHINE and path not in rows:
            yield Orphan(path, UNASKED)


def _of_longcontext(project: Project) -> Iterator[Orphan]:
    place, params = project.runs / longcontext.ROWS, project.params.longcontext
    if params is None:
        yield from (Orphan(path, UNASKED) for path in sorted(place.iterdir()))
        return
    rows, reading = longcontext.planned(project, params, longcontext.chosen_model(project, params))
    asked = {row.path: row for row in [*rows, reading]}
    for path in sorted(place.iterdir()):
        if path.name.startswith("."):
            yield Orphan(path, LEFTOVER)
        elif path not in asked:
            yield Orphan(path, UNASKED)
        elif asked[path].read() is None:
            yield Orphan(path, OTHER_MODEL)


def _of_distillation(project: Project) -> Iterator[Orphan]:
    """Students and their evaluations; the teacher's evaluation goes when the last student does."""
    places = [project.runs / DISTILLED, project.runs / store.EVALUATIONS / DISTILLED]
    params = project.params.distillation
    if params is None:
        yield from (Orphan(folder, UNASKED) for place in places for folder in _folders(place))
        return
    from experiments.distillation import Comparison

    comparison = Comparison(project, params)
    kept = {job.name: job.fingerprint for job in comparison.jobs}
    current = {job.name for job in comparison.jobs if job.is_settled}
    for way in (way for cell in _folders(places[0]) for way in _folders(cell)):
        name = f"{way.parent.name}/{way.name}"
        if way.name.startswith("."):
            yield Orphan(way, LEFTOVER)
        elif name not in current:
            yield Orphan(way, OTHER_SETTINGS if name in kept else UNASKED)
    teacher = comparison.teacher[2]["fingerprint"]
    judged = {places[1] / name: fingerprint for name, fingerprint in kept.items()} | {places[1] / "teacher": teacher}
    for folder in (path.parent for path in sorted(places[1].rglob(store.SCORES))):
        if folder not in judged or not _vouches_for(folder, judged[folder]):
            yield Orphan(folder, OTHER_SETTINGS if folder in judged else UNASKED)


def _of_posttrain(project: Project) -> Iterator[Orphan]:
    place, params = project.runs / posttrain.ARMS, project.params.posttrain
    if params is None:
        yield from (Orphan(folder, UNASKED) for folder in _folders(place))
        return
    arms = {job.directory: job for job in posttrain.planned(project, params)[1]}
    for folder in _folders(place):
        job = arms.get(folder)
        if job is None:
            yield Orphan(folder, LEFTOVER if folder.suffix == ".part" else UNASKED)
        elif job.trained() is None and job.rows() is None:
            yield Orphan(folder, OTHER_MODEL)


def _folders(place: Path) -> list[Path]:
    """The folders there, hidden ones too; a link is none: what it leads to is not ours to remove."""
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.is_symlink())
