"""MLflow's store locked, damaged or away: said in one line or waited for, and nothing is lost."""

import sqlite3
import time

import pytest

from experiments import mlflow_store


@pytest.fixture
def published(trained, workplace):
    """A project whose runs are in its MLflow."""
    workplace.copy_runs(trained)
    done = workplace.scalelab("sync")
    assert done.returncode == 0, done.stderr
    assert "1 cells in MLflow, 1 updated now" in done.stdout
    return workplace


def points(workplace) -> list[tuple[str, int, float]]:
    with sqlite3.connect(workplace.path / "mlflow.db") as database:
        return sorted(database.execute("SELECT key, step, value FROM metrics"))


def test_a_locked_database_is_named_and_then_waited_for(published) -> None:
    before = points(published)
    assert before
    with sqlite3.connect(published.path / "mlflow.db", isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        refused = published.scalelab("sync")
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert refused.stderr.startswith(
            f"scalelab: mlflow.db: database is locked for {mlflow_store.LOCK_SECONDS:g} seconds: "
        )
        assert "wait, then try again; nothing is lost" in refused.stderr
        # A new one begins to wait, and goes on when the database is let go.
        waiting = published.start("sync")
        time.sleep(5)
        holder.execute("ROLLBACK")
        out, err = waiting.communicate(timeout=100)
        assert waiting.returncode == 0, err
        assert "1 cells in MLflow, 0 updated now" in out
    assert points(published) == before


def test_a_damaged_database_is_made_anew_from_the_files(published) -> None:
    before = points(published)
    database = published.path / "mlflow.db"
    database.write_bytes(b"not a database" * 1000)
    refused = published.scalelab("sync")
    assert refused.returncode == 2
    assert (
        refused.stderr
        == "scalelab: mlflow.db: file is not a database: delete it, then `scalelab sync`: it is made from runs/\n"
    )
    assert published.refusal("promote") == refused.stderr.strip()
    database.unlink()
    assert published.scalelab("sync").returncode == 0
    assert points(published) == before


def test_a_server_that_is_away_is_said_within_seconds(trained, workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace.copy_runs(trained)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    began = time.monotonic()
    for verb in ("sync", "promote"):
        refused = workplace.scalelab(verb)
        assert refused.returncode == 2, refused.stderr
        assert refused.stderr.count("\n") == 1
        assert refused.stderr.startswith("scalelab: http://127.0.0.1:9: API request to ")
        assert refused.stderr.endswith(": start it, see that it lets you in, or name another in MLFLOW_TRACKING_URI\n")
    assert time.monotonic() - began < 60


def test_how_often_a_server_is_asked_is_the_users_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    mlflow_store.client_of("http://127.0.0.1:9")
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

    assert (MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(), MLFLOW_HTTP_REQUEST_TIMEOUT.get()) == (5, 30)
