"""Results as MLflow shows them: complete, comparable, free of doubles, and no training runs to a fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import load_dict
from mlflow.entities import Run

from experiments import track
from experiments.findings import MAX_SERIES, Shown, emergence_finding, inference_finding
from experiments.mlflow_table import runs_table
from experiments.publish import results
from experiments.track_findings import publish_finding


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_committed_results_are_runs_that_compare(writer, tracking_uri: str, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "results", tmp_path / "results")
    sweep = writer.sweep(1)
    writer.write(sweep)
    client = MlflowClient(tracking_uri)
    found: list[dict[str, Run]] = []
    for _ in range(2):
        track.sync(writer.runs, [sweep], tracking_uri=tracking_uri, told=results)
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
        found.append({str(run.info.run_name): run for run in runs})
        assert len(runs) == len(found[-1])
    first, second = found
    assert {name: run.info.run_id for name, run in first.items()} == {n: run.info.run_id for n, run in second.items()}
    assert {run.info.status for run in second.values()} == {"FINISHED"}

    contexts = read(tmp_path / "results/longcontext.json")
    told = client.get_metric_history(second["rlm-1 sealed"].info.run_id, "accuracy/argmax")
    rows = [row for row in contexts["rows"] if (row["arm"], row["task"]) == ("rlm-1", "argmax")]
    assert sorted((m.step, m.value) for m in told) == sorted((r["length_windows"], r["accuracy"]) for r in rows)

    name = next(name for name in second if name.startswith("speculative static cache"))
    told = client.get_metric_history(second[name].info.run_id, "times_faster")
    rows = [row for row in read(tmp_path / "results/inference.json")["rows"] if row["technique"] == "speculative"]
    assert sorted((m.step, m.value) for m in told) == sorted((r["params"], r["ratio"]) for r in rows)
    assert second[name].data.params["batch"] == "1"

    scores = pd.read_csv(tmp_path / "results/emergence_scores.csv")
    own = scores[(scores["task"] == "scalelab_induction_direct") & (scores["metric"] == "exact_match")]
    (run,) = (run for name, run in second.items() if name.startswith("scalelab_induction_direct exact_match"))
    told = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "score_over_mflop/exact_match")}
    assert told == pytest.approx(dict(own["value"].groupby((own["compute"] / 1e6).round()).mean()))
    assert run.data.params["label"] == "emergent"

    (parent,) = (run for name, run in second.items() if name.startswith("longcontext-results-"))
    artifacts = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"longcontext.json", "report.html", "rows.json", "figures"}
    assert len(load_dict(f"{parent.info.artifact_uri}/rows.json")["data"]) == len(contexts["rows"])
    assert [a.path for a in client.list_artifacts(parent.info.run_id, "figures")] == [
        "figures/score_against_length.html"
    ]
    law = second[f"law-{sweep.identity[:8]}"].data.tags["mlflow.note.content"]
    assert law.startswith("### What does loss follow?\n")  # as the report asks it
    assert f"alpha = {read(tmp_path / 'results/law.json')['params']['alpha']:.4g}" in law
    assert "results/report.html" in law

    # A fit of an experiment reads its training runs and not what was found.
    with pytest.raises(ValueError, match="has no finished run"):
        runs_table("scalelab/longcontext", {}, tracking_uri)


def test_a_large_table_stays_within_what_the_page_compares(root: Path) -> None:
    table = read(root / "experiments/archive/amd-epyc-2-cores/inference.json")
    table["rows"] = [{**row, "prompt": row["prompt"] + shift} for row in table["rows"] for shift in (0, 1)]
    finding = inference_finding(table)
    assert len(finding.series) <= MAX_SERIES
    told = [value for one in finding.series for name, _, value in one.points if name.startswith("times_faster/")]
    assert sorted(told) == sorted(row["ratio"] for row in table["rows"] if row["status"] == "ok")


def test_scores_of_large_runs_and_odd_names_are_published(
    root: Path, tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10^24 FLOPs are more than a step can say, and lm-eval's filters put a comma into a metric's name."""
    metric = "exact_match,strict"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    table = pd.DataFrame({"task": "gsm8k", "metric": metric, "compute": [1e24, 3e24], "value": [0.1, 0.7], "seed": 0})
    table.to_csv(tmp_path / "results/emergence_scores.csv", index=False)
    found = read(root / "results/emergence.json")
    found["rows"] = [found["rows"][0] | {"task": "gsm8k", "metric": metric}]
    (tmp_path / "results/emergence.json").write_text(json.dumps(found))
    client = MlflowClient(tracking_uri)
    experiment = client.create_experiment("scalelab/emergence")
    publish_finding(client, experiment, replace(emergence_finding(found), shown=Shown()), ())
    (run,) = (run for run in client.search_runs([experiment]) if run.data.tags["scalelab.series"])
    told = client.get_metric_history(run.info.run_id, "score_over_mflop/exact_match_strict")
    assert sorted((point.step, point.value) for point in told) == [(10**18, 0.1), (3 * 10**18, 0.7)]
