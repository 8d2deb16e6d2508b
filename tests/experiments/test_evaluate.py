"""The mixture through its stages: documents, masked training, lm-eval on the checkpoints, tables in MLflow."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import load_dict

from experiments import track
from experiments.evaluate import evaluate_in_worker, judgements, read_scores
from experiments.points import is_of_present_grid
from experiments.project import Project
from experiments.scores import collect_scores
from experiments.snapshot import Sweep

ITEMS, CELLS = 8, ("w0008-s0", "w0012-s0")
MIXTURE: dict[str, Any] = {
    "documents": 400,
    "items": ITEMS,
    "shares": {"text": 1, "transform": 2, "parity": 1},
    "dials": {"parity": {"num_bits": 11}},
}
SUITE: dict[str, Any] = {
    "family": "decoder",
    "data": "abilities",
    "grid": [{"sizes": [8, 12], "tokens": [9600]}],
    "training": {
        "sequence_length": 30, "batch_tokens": 480, "learning_rate": 0.002, "warmup_steps": 5, "compile": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(make_workplace: Callable[[], Any]) -> Any:
    """A project whose mixture is written, trained on and evaluated by the command line. Read only."""
    place = make_workplace()
    place.tree |= {"abilities": MIXTURE, "suites": {"emergence": SUITE}}
    place.write()
    for arguments in (["abilities"], ["train", "emergence"], ["evaluate"]):
        done = place.scalelab(*arguments)
        assert done.returncode == 0, done.stderr
    return place


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_documents_have_the_shares_and_only_answers_are_scored(evaluated) -> None:
    rows = lines(evaluated.path / "data/abilities/documents.jsonl")
    text = [row for row in rows if row["loss_spans"] == [[1, len(row["text"])]]]
    heads = [row["text"].partition(":")[0].partition("#")[0] for row in rows if row not in text]
    assert len(rows) == 400
    assert len(text) == 100
    assert heads.count("par") == 100
    held = {row["text"] for row in lines(evaluated.path / "data/abilities/validation.jsonl")}
    assert not held & {row["text"] for row in rows}


def test_every_style_is_asked_in_one_call_and_its_samples_are_kept(evaluated) -> None:
    for cell in CELLS:
        directory = evaluated.path / "runs/evaluations/emergence" / cell / "t9600"
        scores = json.loads((directory / "scores.json").read_text())["scores"]
        found = {(score["task"], score["metric"]) for score in scores}
        assert {
            ("scalelab_transform_direct", "exact_match"), ("scalelab_transform_direct_generate", "edit_similarity"),
            ("scalelab_parity_steps", "logprob_per_char"), ("scalelab_parity_direct_choice", "brier"),
            ("scalelab_parity_steps_sampled", "pass@8"), ("scalelab_text", "icl_score"),
        } <= found  # fmt: skip
        asked = [row for row in lines(directory / "samples.jsonl") if row["task"] == "scalelab_parity_steps"]
        assert len(asked) == ITEMS
        assert all(row["prompt"].startswith("par#") for row in asked)


@pytest.mark.usefixtures("one_thread")
def test_what_is_judged_is_kept_until_the_checkpoint_changes_and_then_judged_alike(evaluated) -> None:
    assert "2 checkpoints, 0 to evaluate on 10 tasks" in evaluated.scalelab("evaluate", "--dry-run").stdout
    with contextlib.chdir(evaluated.path):
        first, _ = judgements(Project.here(), "emergence")
        weights = first.checkpoint / "model.safetensors"
        kept = weights.read_bytes()
        try:
            weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
            states = [judgement.is_done for judgement in judgements(Project.here(), "emergence")]
        finally:
            weights.write_bytes(kept)
        before = read_scores(first)
        evaluate_in_worker(first)
        assert read_scores(first) == before
    assert states == [False, True]


@pytest.mark.usefixtures("one_thread")
def test_other_tasks_lie_apart_from_the_mixtures(evaluated) -> None:
    with contextlib.chdir(evaluated.path):
        own, other = (judgements(Project.here(), "emergence", asked)[0] for asked in ((), ("scalelab_text_late",)))
        assert own.is_done
        assert not other.is_done
        evaluate_in_worker(other)
        assert other.is_done
        assert {score["task"] for score in read_scores(other)["scores"]} == {"scalelab_text_late"}
        assert own.is_done


def test_a_diverged_run_is_left_out_and_does_not_make_the_table_stale(evaluated, tmp_path: Path) -> None:
    record = evaluated.path / "runs/emergence/w0012-s0/t9600/record.json"
    kept = record.read_text()
    try:
        record.write_text(json.dumps(json.loads(kept) | {"status": "diverged"}))
        with contextlib.chdir(evaluated.path):
            table = collect_scores(Project.here())
            table.to_csv(tmp_path / "scores.csv", index=False)
            assert set(table["run"]) == {"w0008-s0"}
            assert is_of_present_grid(Project.here(), "emergence", tmp_path / "scores.csv")
            record.write_text(kept)
            assert not is_of_present_grid(Project.here(), "emergence", tmp_path / "scores.csv")
    finally:
        record.write_text(kept)


def test_a_checkpoint_that_is_gone_is_told_in_one_line(evaluated, tmp_path: Path) -> None:
    checkpoint = next((evaluated.path / "runs/emergence").glob("*/t*/checkpoint"))
    checkpoint.rename(tmp_path / "checkpoint")
    try:
        refused = evaluated.refusal("evaluate", "--dry-run")
        assert f"{checkpoint.relative_to(evaluated.path)} is not there, its record is: " in refused
        assert "`dvc checkout --force runs/emergence` may bring it back" in refused
    finally:
        (tmp_path / "checkpoint").rename(checkpoint)


def test_data_of_another_version_are_refused(evaluated) -> None:
    manifest = evaluated.path / "data/abilities/tokens/manifest.json"
    kept = manifest.read_text()
    try:
        manifest.write_text(json.dumps(json.loads(kept) | {"schema_version": 1}))
        assert "is of another version of scalelab: run `dvc repro -f abilities`" in evaluated.refusal("evaluate")
    finally:
        manifest.write_text(kept)


def test_the_table_has_a_row_a_checkpoint_task_and_metric_and_the_counterpart(evaluated) -> None:
    with contextlib.chdir(evaluated.path):
        table = collect_scores(Project.here())
    exact = table[(table["task"] == "scalelab_parity_steps") & (table["metric"] == "exact_match")]
    assert sorted(exact["run"]) == list(CELLS)
    likelihood = table[(table["task"] == "scalelab_parity_steps") & (table["metric"] == "logprob_per_char")]
    assert exact["continuous"].tolist() == likelihood["value"].tolist()
    assert (likelihood["value"] < 0).all()
    record = json.loads((evaluated.path / "runs/emergence/w0012-s0/t9600/record.json").read_text())
    row = exact.set_index("run").loc["w0012-s0"]
    assert (row["compute"], row["loss"], row["tokens"]) == (record["flops"], record["loss"], 9600)


def test_mlflow_has_the_scores_and_the_samples_as_a_table_once(evaluated, tmp_path: Path) -> None:
    with contextlib.chdir(evaluated.path):
        project = Project.here()
        sweep = Sweep("emergence", project.cells("emergence"), project.recipe("emergence"))
    tracking_uri = f"sqlite:///{tmp_path}/mlflow.db"
    with contextlib.chdir(tmp_path):
        for updated in (2, 0):
            assert track.sync(evaluated.path / "runs", [sweep], tracking_uri=tracking_uri).updated == updated
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name("scalelab/emergence")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'w0008-s0'")
    assert 0 <= run.data.metrics["evaluation/scalelab_parity_steps_sampled/pass_8"] <= 1
    (name,) = (item.path for item in client.list_artifacts(run.info.run_id, "t9600") if "samples" in item.path)
    table = load_dict(f"{run.info.artifact_uri}/{name}")
    samples = lines(evaluated.path / "runs/evaluations/emergence/w0008-s0/t9600/samples.jsonl")
    assert len(table["data"]) == len(samples)
    assert name in run.data.tags["mlflow.loggedArtifacts"]


def test_a_mixture_that_is_not_written_is_refused(workplace) -> None:
    workplace.tree |= {"abilities": MIXTURE, "suites": {"emergence": SUITE}}
    workplace.write()
    assert "data/abilities/tokens holds no documents: run `dvc repro abilities`" in workplace.refusal("evaluate")


def test_windows_too_short_for_the_documents_are_refused_before_training(evaluated) -> None:
    tree = evaluated.tree
    suite = {**SUITE, "training": {**SUITE["training"], "sequence_length": 24}}
    try:
        evaluated.tree = {**tree, "suites": {"emergence": suite}}
        evaluated.write()
        assert "sequence_length is 24 and cuts documents of 30 tokens: use 29" in evaluated.refusal(
            "train", "emergence"
        )
    finally:
        evaluated.tree = tree
        evaluated.write()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("shares", {"transform": -1}, "abilities: shares.transform is -1.0: give 0 or more"),
        ("shares", {"nonsense": 1}, "shares names nonsense, which is not an ability: use text, induction"),
        ("shares", {"text": 1}, "shares has no ability above 0"),
        ("dials", {"parity": {"bits": 3}}, "dials.parity.bits is not a known dial: use num_bits"),
        ("dials", {"parity": {"num_bits": 100}}, "num_bits is 100"),
        ("items", 0, "items is 0: give 1 or more"),
    ],
)
def test_a_wrong_mixture_is_refused_by_name(workplace, key: str, value: Any, message: str) -> None:
    workplace.tree |= {"abilities": {**MIXTURE, key: value}, "suites": {"emergence": SUITE}}
    workplace.write()
    assert message in workplace.refusal("abilities", "--dry-run")
