"""The store of MLflow: which one it is, how it is opened, what its names may be, and what is said where it fails."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
# MLflow's own limits: metrics in one batch, runs in one search.
MAX_BATCH, MAX_RUNS = 1000, 50_000
NOT_IN_A_NAME = re.compile(r"[^\w\-. :/]")  # of a metric
# What a user did not set. MLflow's own seven retries and two minutes each take long to say that nobody answers.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
LOCK_SECONDS = 10.0
LOCKED = "database is locked"
DAMAGED = "delete it, then `scalelab sync`: it is made from runs/"
CHECK = "check its permissions and the disk, then try again"
SYMPTOMS = {
    LOCKED: "end what writes to it or wait, then try again; nothing is lost, it is made from runs/",
    "database or disk is full": "make room, then try again; nothing is lost, it is made from runs/",
    "file is not a database": DAMAGED,
    "database disk image is malformed": DAMAGED,
    "out-of-date database schema": "`mlflow db upgrade` with its address renews it",
}
UNANSWERED = "API request to"  # MLflow's words for a server that is away, or answers with no reason
MOST_SAID = 200  # characters of an error


class StoreError(ValueError):
    """The store is locked, full, damaged, old or away; one line, with the remedy."""


def uri_of(tracking_uri: str | None = None) -> str:
    """That store, the environment's MLFLOW_TRACKING_URI, or the SQLite file beside the params."""
    return tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def database_of(tracking_uri: str) -> Path | None:
    """The file of a SQLite store; None of a server."""
    return Path(tracking_uri.removeprefix(SQLITE)) if tracking_uri.startswith(SQLITE) else None


def client_of(tracking_uri: str | None = None) -> "MlflowClient":
    """A client of the store that `uri_of` says."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(uri_of(tracking_uri))


def experiment_of(client: "MlflowClient", question: str) -> str:
    """Its id; one that somebody deleted in the interface is brought back, for its name stays taken."""
    name = f"scalelab/{question}"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return client.create_experiment(name)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def metric_name(name: str) -> str:
    """As MLflow takes it: a page groups metrics by what stands before the last slash."""
    return NOT_IN_A_NAME.sub("_", name)


@contextmanager
def store_errors(tracking_uri: str | None = None) -> Iterator[None]:
    """Raises StoreError in the place of what MLflow and its database raise.

    A lock is waited for: MLflow's own retries take minutes, and a publisher that was killed leaves none.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import DatabaseError, SQLAlchemyError

    uri = uri_of(tracking_uri)
    file = database_of(uri)
    if file is not None and file.exists():
        _wait_for(file)
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        said = " ".join(str(error).split())
        for symptom, remedy in SYMPTOMS.items():
            if symptom in said:
                raise StoreError(f"{file or uri}: {symptom}: {remedy}") from None
        if isinstance(error, DatabaseError) or UNANSWERED in said:
            remedy = CHECK if file else "start it, see that it lets you in, or name another in MLFLOW_TRACKING_URI"
            raise StoreError(f"{file or uri}: {said[:MOST_SAID]}: {remedy}") from None
        raise


def _wait_for(file: Path) -> None:
    """Until the database can be written to."""
    database = sqlite3.connect(file, timeout=LOCK_SECONDS)
    try:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()
    except sqlite3.DatabaseError as error:
        waited = f" for {LOCK_SECONDS:g} seconds" * (LOCKED in str(error))
        remedy = next((remedy for symptom, remedy in SYMPTOMS.items() if symptom in str(error)), CHECK)
        raise StoreError(f"{file}: {error}{waited}: {remedy}") from None
    finally:
        database.close()
