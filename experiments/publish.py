"""`scalelab sync`: this project's suites and results, given to the publisher."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.check.keep import kept_results, publish_checks
from experiments.inference import INFERENCE
from experiments.law import LAW, POINTS
from experiments.longcontext_report import LONGCONTEXT
from experiments.project import CACHE, REPORT, Project
from experiments.saturation import POINTS as SATURATION_POINTS
from experiments.saturation import SATURATION
from experiments.scores import EMERGENCE, SCORES
from experiments.snapshot import Sweep

if TYPE_CHECKING:
    from experiments.track import Told

ARTIFACTS = (POINTS, LAW, SATURATION_POINTS, SATURATION, SCORES, EMERGENCE, INFERENCE, LONGCONTEXT, REPORT)

SQLITE = "sqlite:///"
LOCK_SECONDS = 10.0
LOCKED = "database is locked"
SYMPTOMS = {
    LOCKED: "end what writes to it or wait, then `scalelab sync`; nothing is lost, it is made from runs/",
    "database or disk is full": "make room, then `scalelab sync`; nothing is lost, it is made from runs/",
}


def publish(follow: bool, dry_run: bool) -> None:
    """Publishes every suite of params.yaml and prints what was done."""
    from experiments import track

    project = Project.here()
    sweeps = [Sweep(name, project.cells(name), project.recipe(name)) for name in project.params.suites]
    if dry_run:
        checks = f", {len(kept_results(project.runs))} checks"
        print(
            f"would publish {', '.join(s.suite for s in sweeps)}{checks} and {', '.join(map(str, present(ARTIFACTS)))}"
        )
        return
    with database_errors(os.environ.get("MLFLOW_TRACKING_URI") or track.DEFAULT_TRACKING_URI):
        if follow:
            over = Watch(list(project.params.suites)).is_over
            done = track.follow(project.runs, sweeps, ARTIFACTS, told=results, training_is_over=over)
        else:
            done = track.sync(project.runs, sweeps, ARTIFACTS, told=results)
        publish_checks(project.runs)
    print(f"{done.cells} cells in MLflow, {done.updated} updated now; `make ui` opens it")


def results() -> "Told":
    """What the results on disk say, for the runs that show it."""
    from experiments.findings import QUESTIONS, findings, shown_of
    from experiments.track import Told

    return Told({name: shown_of(name) for name in QUESTIONS}, findings(), (REPORT,))


@contextmanager
def database_errors(tracking_uri: str) -> Iterator[None]:
    """Raises ValueError, in one line with the remedy, where another process keeps a SQLite file locked or it is full.

    A lock is waited for: MLflow's own retries take minutes, and a publisher that was killed leaves none.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    file = Path(tracking_uri.removeprefix(SQLITE)) if tracking_uri.startswith(SQLITE) else None
    if file is not None and file.exists():
        _wait_for(file)
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        for symptom, remedy in SYMPTOMS.items():
            if symptom in str(error):
                raise ValueError(f"{file or tracking_uri}: {symptom}: {remedy}") from None
        raise


def _wait_for(file: Path) -> None:
    """Until the database can be written to."""
    database = sqlite3.connect(file, timeout=LOCK_SECONDS)
    try:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()
    except sqlite3.OperationalError as error:
        if LOCKED not in str(error):
            raise ValueError(f"{file}: {error}: delete it and sync again, it is made from runs/") from None
        raise ValueError(f"{file}: {LOCKED} for {LOCK_SECONDS:g} seconds: {SYMPTOMS[LOCKED]}") from None
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{file}: {error}: delete it and sync again, it is made from runs/") from None
    finally:
        database.close()


class Watch:
    """Training is over once it was seen to run and runs no more; before that it is waited for."""

    def __init__(self, suites: list[str]) -> None:
        self.locks = [CACHE / f"{suite}.lock" for suite in suites]
        self.seen = False

    def is_over(self) -> bool:
        """Looks at the locks that `scalelab train` holds."""
        from experiments.locks import is_held

        running = any(is_held(lock) for lock in self.locks)
        self.seen = self.seen or running
        return self.seen and not running


def present(paths: tuple[Path, ...]) -> list[Path]:
    """Those of the files that exist."""
    return [path for path in paths if path.exists()]
