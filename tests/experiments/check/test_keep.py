"""Checks in files and in MLflow: published once, read back from either."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.check.cli import record
from experiments.check.history import read_history, report_sections
from experiments.check.keep import EXPERIMENT, keep, publish_checks
from tests.conftest import Workplace


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Artifacts of a SQLite store go to the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def published(tracking_uri: str) -> list[Run]:
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return sorted(client.search_runs([experiment.experiment_id]), key=lambda run: str(run.info.run_name))


def test_every_check_is_one_run_however_often_it_is_published(place: Path, history, tracking_uri: str) -> None:
    for result in history:
        keep(result, place)
        assert publish_checks(place, tracking_uri) == 1
        assert publish_checks(place, tracking_uri) == 0
    runs = published(tracking_uri)
    assert [run.info.run_name for run in runs] == [result["name"] for result in history]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert runs[1].data.metrics == {"golden/text/w0032-s0/t1": 3.03}
    assert runs[2].data.metrics["detector/errors/flat"] == 9
    tags = runs[2].data.tags
    assert (tags["scalelab.outcome"], tags["scalelab.failing"]) == ("failed", "speed, detector")
    assert (tags["scalelab.revision"], tags["scalelab.baseline_revision"]) == (f"{19:040}", "b" * 40)
    assert json.loads(tags["scalelab.machine"]) == {"processor": "a processor"}
    client = MlflowClient(tracking_uri)
    history_of = client.get_metric_history(runs[1].info.run_id, "golden/text/w0032-s0/t1")
    assert len(history_of) == 1
    (artifact,) = client.list_artifacts(runs[0].info.run_id)
    assert artifact.path == f"{history[0]['name']}.json"


def test_a_publication_that_was_killed_is_taken_up(place: Path, history, tracking_uri: str) -> None:
    keep(history[0], place)
    publish_checks(place, tracking_uri)
    (run,) = published(tracking_uri)
    MlflowClient(tracking_uri).update_run(run.info.run_id, "RUNNING")
    assert publish_checks(place, tracking_uri) == 1
    (again,) = published(tracking_uri)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")


def test_history_joins_files_and_what_mlflow_alone_has(place: Path, history, tracking_uri: str) -> None:
    for result in history:
        keep(result, place)
    publish_checks(place, tracking_uri)
    (place / "checks" / f"{history[1]['name']}.json").unlink()
    assert read_history(place, tracking_uri) == history


def test_history_makes_no_store(place: Path, history, tmp_path: Path) -> None:
    keep(history[0], place)
    assert read_history(place) == history[:1]
    assert read_history(place, f"sqlite:///{tmp_path}/absent.db") == history[:1]
    assert not list(tmp_path.glob("**/*.db"))
    assert report_sections()


def test_a_server_that_is_not_there_leaves_the_files(place: Path, history, capsys: pytest.CaptureFixture[str]) -> None:
    keep(history[0], place)
    assert read_history(place, "http://127.0.0.1:9") == history[:1]
    assert "checks in MLflow are left out" in capsys.readouterr().err


def test_a_store_that_is_damaged_leaves_the_files_and_is_said(
    place: Path, history, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mlflow.db").write_bytes(b"not a database" * 1000)
    keep(history[0], place)
    assert read_history(place) == history[:1]
    assert "checks in MLflow are left out: mlflow.db: file is not a database" in capsys.readouterr().err
    record()
    assert capsys.readouterr().err == (
        "not published (mlflow.db: file is not a database: delete it, then `scalelab sync`: it is made from runs/): "
        "`scalelab sync` does it later\n"
    )


def test_no_check_is_no_section(place: Path) -> None:
    found: list[Any] = report_sections()
    assert found == []


def test_sync_publishes_checks_beside_sweeps(
    make_workplace: Callable[[], Workplace], history, empty_database: Path
) -> None:
    place = make_workplace()
    shutil.copy(empty_database, place.path / "mlflow.db")
    for result in history:
        keep(result, place.path / "runs")
    for _ in range(2):
        done = place.scalelab("sync")
        assert done.returncode == 0, done.stderr
        runs = published(f"sqlite:///{place.path}/mlflow.db")
        assert [run.info.run_name for run in runs] == [result["name"] for result in history]
    assert "3 checks" in place.scalelab("sync", "--dry-run").stdout
