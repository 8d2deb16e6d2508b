"""MLflow on SQLite against run directories: a projection is complete, free of doubles, and survives a kill."""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import load_dict
from mlflow.entities import Run

from experiments import track
from experiments.mlflow_store import StoreError
from experiments.snapshot import Sweep
from sweeps import store
from sweeps.grid import Cell

BATCH = 1024


def runs_of(tracking_uri: str, suite: str = "law") -> tuple[list[Run], list[Run]]:
    """Parents and children, children by name."""
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name(f"scalelab/{suite}")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return parents, sorted(children, key=lambda run: str(run.info.run_name))


def points(tracking_uri: str, run: Run, key: str) -> list[tuple[int, float]]:
    """(tokens, value) of every point of a metric, doubles included."""
    history = MlflowClient(tracking_uri).get_metric_history(run.info.run_id, key)
    return sorted((m.step, m.value) for m in history)


def all_points(tracking_uri: str) -> list[tuple[Any, ...]]:
    """Every metric row of the database, by the run's name."""
    with sqlite3.connect(tracking_uri.removeprefix("sqlite:///")) as database:
        rows = "SELECT r.name, m.key, m.step, m.value, m.timestamp FROM metrics m JOIN runs r USING (run_uuid)"
        return sorted(database.execute(rows))


def test_sync_twice_leaves_one_parent_and_one_child_a_cell(writer, tracking_uri) -> None:
    sweep = writer.sweep(3)
    writer.write(sweep)
    assert track.sync(writer.runs, [sweep], tracking_uri=tracking_uri) == track.Published(3, 3, settled=True)
    before = all_points(tracking_uri)
    assert track.sync(writer.runs, [sweep], tracking_uri=tracking_uri) == track.Published(3, 0, settled=True)
    parents, children = runs_of(tracking_uri)
    assert [run.info.run_name for run in parents] == [f"law-{sweep.identity[:8]}"]
    assert [run.info.run_name for run in children] == [cell.name for cell in sweep.cells]
    assert {run.info.status for run in [*parents, *children]} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert all_points(tracking_uri) == before


def test_child_holds_curves_params_tags_datasets_and_records(writer, tracking_uri) -> None:
    sweep = writer.sweep(1)
    writer.write(sweep)
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    _, (child,) = runs_of(tracking_uri)
    assert points(tracking_uri, child, "trunk/loss") == [(s * BATCH, 5.0 - s / 1000) for s in range(20, 161, 20)]
    assert points(tracking_uri, child, "t204800/learning_rate") == [(180 * BATCH, 0.01), (200 * BATCH, 0.01)]
    assert points(tracking_uri, child, "validation/loss") == [(100 * BATCH, 2.1), (200 * BATCH, 2.05)]
    params = child.data.params
    assert (params["size"], params["seed"], params["learning_rate"], params["device"]) == ("32", "0", "0.01", "cpu")
    assert int(params["params_non_embedding"]) < int(params["params_total"])
    tags = child.data.tags
    assert (tags["mlflow.source.git.commit"], tags["scalelab.dirty"], tags["scalelab.status"]) == (
        "abc",
        "false",
        "done",
    )
    assert child.inputs is not None
    digests = {d.dataset.name: d.dataset.digest for d in child.inputs.dataset_inputs}
    assert digests == {"corpus-training": ("data" * 9), "corpus-validation": ("validation" * 6)[:36]}
    client = MlflowClient(tracking_uri)
    assert {a.path for a in client.list_artifacts(child.info.run_id)} == {"t102400", "t204800"}
    assert [a.path for a in client.list_artifacts(child.info.run_id, "t102400")] == ["t102400/record.json"]


def test_parent_holds_results_and_renews_them(writer, tracking_uri, tmp_path: Path) -> None:
    sweep, law = writer.sweep(1), tmp_path / "law.json"
    writer.write(sweep)
    for content in ("{}", '{"law": 1}'):
        law.write_text(content)
        track.sync(writer.runs, [sweep], [law, tmp_path / "absent.html"], tracking_uri)
        (parent,), _ = runs_of(tracking_uri)
        assert (
            Path(MlflowClient(tracking_uri).download_artifacts(parent.info.run_id, "law.json")).read_text() == content
        )


def test_commit_without_retraining_creates_nothing_and_new_cells_join(writer, tracking_uri) -> None:
    sweep = writer.sweep(1)
    writer.write(sweep)
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    wider = writer.sweep(2, steps=(100, 200, 300))
    for cell in wider.cells:
        writer.write_trunk(wider, cell, 240)
        writer.write_branch(wider, cell, 300, revision="def-dirty")
    track.sync(writer.runs, [wider], tracking_uri=tracking_uri)
    (parent,), (first, second) = runs_of(tracking_uri)
    assert (first.info.status, second.info.status, parent.info.status) == ("FINISHED", "RUNNING", "RUNNING")
    assert first.data.tags["scalelab.revisions"] == "abc, def-dirty"
    assert first.data.tags["scalelab.dirty"] == "true"
    assert [tokens for tokens, _ in points(tracking_uri, first, "validation/loss")] == [102400, 204800, 307200]


def test_another_recipe_opens_another_parent_and_stale_cells_stay_out(writer, tracking_uri) -> None:
    before = writer.sweep(2)
    writer.write(before)
    track.sync(writer.runs, [before], tracking_uri=tracking_uri)
    after = writer.sweep(2, recipe=replace(writer.recipe, code_digest="new"))
    assert track.sync(writer.runs, [after], tracking_uri=tracking_uri) == track.Published(0, 0, settled=False)
    writer.write_trunk(after, after.cells[0], 160)
    track.sync(writer.runs, [after], tracking_uri=tracking_uri)
    parents, children = runs_of(tracking_uri)
    assert {run.info.run_name for run in parents} == {f"law-{s.identity[:8]}" for s in (before, after)}
    assert [run.info.run_name for run in children] == ["w0032-s0", "w0032-s0", "w0032-s1"]


def test_growing_cell_gains_points_without_doubles(writer, tracking_uri) -> None:
    sweep = writer.sweep(1)
    (cell,) = sweep.cells
    for upto in (60, 60, 160):
        writer.write_trunk(sweep, cell, upto)
        assert not track.sync(writer.runs, [sweep], tracking_uri=tracking_uri).settled
        (parent,), (child,) = runs_of(tracking_uri)
        assert (parent.info.status, child.info.status, child.data.tags["scalelab.status"]) == (
            *("RUNNING", "RUNNING"),
            "growing",
        )
        assert [t for t, _ in points(tracking_uri, child, "trunk/loss")] == [s * BATCH for s in range(20, upto + 1, 20)]


def test_trunk_trained_again_is_not_logged_again(writer, tracking_uri) -> None:
    sweep = writer.sweep(1)
    (cell,) = sweep.cells
    writer.write(sweep)
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    before = all_points(tracking_uri)
    shutil.rmtree(store.cell_dir(writer.runs, cell) / store.TRUNK)
    assert track.sync(writer.runs, [sweep], tracking_uri=tracking_uri).updated == 1
    writer.write_trunk(sweep, cell, 160)
    assert track.sync(writer.runs, [sweep], tracking_uri=tracking_uri).updated == 1
    assert all_points(tracking_uri) == before


def test_diverged_is_finished_and_failed_can_still_finish(writer, tracking_uri) -> None:
    sweep = writer.sweep(2, steps=(100,))
    diverged, failed = sweep.cells
    writer.write_branch(sweep, diverged, 100, status="diverged")
    writer.write_branch(sweep, failed, 100, status="failed")
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    _, (first, second) = runs_of(tracking_uri)
    assert (first.info.status, first.data.tags["scalelab.status"]) == ("FINISHED", "diverged")
    assert "nan" in first.data.tags["scalelab.reason"]
    assert (second.info.status, second.data.tags["scalelab.status"]) == ("FAILED", "failed")
    writer.write_branch(sweep, failed, 100)
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    (parent,), (_, second) = runs_of(tracking_uri)
    assert (parent.info.status, second.info.status) == ("FINISHED", "FINISHED")
    assert points(tracking_uri, second, "validation/loss") == [(102400, 2.1)]


def test_deleting_the_database_loses_nothing(writer, tracking_uri, tmp_path: Path) -> None:
    sweep = writer.sweep(2)
    writer.write(sweep)
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    again = f"sqlite:///{tmp_path / 'again.db'}"
    track.sync(writer.runs, [sweep], tracking_uri=again)
    assert all_points(again) == all_points(tracking_uri)


def test_follow_ends_when_cells_are_settled_or_training_is_over(writer, tracking_uri) -> None:
    sweep = writer.sweep(1)
    writer.write_trunk(sweep, sweep.cells[0], 60)
    asked = iter([False, True])
    published = track.follow(
        writer.runs, [sweep], tracking_uri=tracking_uri, training_is_over=lambda: next(asked), seconds=0.01
    )
    assert (published.settled, list(asked)) == (False, [])
    writer.write(sweep)
    assert track.follow(writer.runs, [sweep], tracking_uri=tracking_uri).settled


def test_follow_asks_a_store_again_that_failed_meanwhile(writer, tmp_path: Path, capsys) -> None:
    sweep, database = writer.sweep(1), tmp_path / "mlflow.db"
    writer.write(sweep)
    database.write_text("not a database, before somebody takes it away")

    def take_it_away_later() -> bool:
        if capsys.readouterr().err:
            database.unlink()
        return False

    published = track.follow(
        writer.runs, [sweep], tracking_uri=f"sqlite:///{database}", training_is_over=take_it_away_later, seconds=0.01
    )
    assert (published.settled, published.updated) == (True, 1)
    database.write_text("not a database again, and nobody is left to mend it")
    with pytest.raises(StoreError, match="file is not a database"):
        track.follow(writer.runs, [sweep], tracking_uri=f"sqlite:///{database}", training_is_over=lambda: True)


def test_samples_are_texts_word_for_word(writer, tracking_uri) -> None:
    sweep = writer.sweep(1, steps=(100,))
    (cell,) = sweep.cells
    writer.write(sweep)
    branch = f"t{100 * BATCH}"
    directory = store.evaluation_dir(writer.runs, cell, branch)
    targets, keys = ["12.", "007", "1e5"], ["2020-01-01", "5", "0b1"]
    samples = [
        {"task": "t", "key": key, "prompt": "1", "target": target, "responses": ["3", "4"], "metrics": {"acc": 1.0}}
        for key, target in zip(keys, targets, strict=True)
    ]
    store.write_json(
        directory / store.SCORES,
        {"identity": "i", "fingerprint": store.fingerprint(cell, sweep.recipe, 100), "scores": []},
    )
    for row in samples:
        row["date"] = "2020-01-01"  # a name that pandas takes for a time
    (directory / store.SAMPLES).write_text("".join(json.dumps(row) + "\n" for row in samples))
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    _, (run,) = runs_of(tracking_uri)
    table = load_dict(f"{run.info.artifact_uri}/{branch}/samples-i.json")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["target"] for row in rows] == targets
    assert [row["key"] for row in rows] == keys
    assert {(row["prompt"], row["responses"], row["date"]) for row in rows} == {("1", "3 | 4", "2020-01-01")}


def test_environment_names_the_server(writer, tracking_uri, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = writer.sweep(1)
    writer.write(sweep)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    track.sync(writer.runs, [sweep])
    assert len(runs_of(tracking_uri)[1]) == 1


def finished_children(tracking_uri: str) -> int:
    """Read beside the publisher; 0 while there is no database yet."""
    try:
        with sqlite3.connect(f"file:{tracking_uri.removeprefix('sqlite:///')}?mode=ro", uri=True) as database:
            return database.execute("SELECT COUNT(*) FROM runs WHERE status = 'FINISHED'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_killed_sync_repeated_is_complete(writer, tracking_uri, tmp_path: Path) -> None:
    sweep = Sweep("law", [Cell("law", "decoder", 32, seed, (2000, 4000)) for seed in range(12)], writer.recipe)
    writer.write(sweep)
    spawn = multiprocessing.get_context("spawn")
    publisher = spawn.Process(target=track.sync, args=(writer.runs, [sweep], (), tracking_uri))
    publisher.start()
    deadline = time.monotonic() + 120
    while finished_children(tracking_uri) < 2:
        assert publisher.is_alive(), "the sync ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert publisher.pid is not None
    os.kill(publisher.pid, signal.SIGKILL)
    publisher.join()
    assert finished_children(tracking_uri) < len(sweep.cells), "killed too late to show anything"
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    untouched = f"sqlite:///{tmp_path / 'untouched.db'}"
    track.sync(writer.runs, [sweep], tracking_uri=untouched)
    assert all_points(tracking_uri) == all_points(untouched)
    parents, children = runs_of(tracking_uri)
    assert (len(parents), [run.info.run_name for run in children]) == (1, sorted(c.name for c in sweep.cells))
    assert {run.info.status for run in [*parents, *children]} == {"FINISHED"}
