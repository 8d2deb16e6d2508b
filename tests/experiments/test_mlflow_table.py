"""`fit mlflow:EXPERIMENT` on SQLite stores as `sync` and as others write them."""

import json

import pytest
from mlflow import MlflowClient

from analysis.laws import HOFFMANN, Fitted
from experiments import track
from experiments.mlflow_table import runs_table
from experiments.snapshot import Sweep
from models.ladder import Shape
from sweeps import store
from sweeps.grid import Cell

QUICK = ("--bootstrap", "100")
STEPS = (100, 400, 1600)
SMALL = Fitted.of(HOFFMANN, {"A": 60.0, "B": 1000.0, "E": 1.07, "alpha": 0.48, "beta": 0.56})


def test_a_published_sweep_is_fitted_out_of_mlflow(writer, tracking_uri, newcomer, monkeypatch):
    """What `sync` writes comes back branch by branch, each under its cell."""
    cells = [Cell("law", "decoder", width, seed, STEPS) for width in (16, 32, 48, 64) for seed in (0, 1)]
    sweep = Sweep("law", cells, writer.recipe)
    writer.write(sweep)
    for path in writer.runs.glob("law/*/t*/record.json"):
        record = json.loads(path.read_text())
        loss = float(SMALL.loss(Shape(record["size"]).params_non_embedding, record["tokens"]))
        store.write_json(path, record | {"loss": loss * (1 + 0.002 * record["seed"])})
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    rows = runs_table("scalelab/law", {}, tracking_uri)
    assert (len(rows), rows["cell"].nunique()) == (24, 8)
    assert (rows.groupby("cell")["tokens"].apply(sorted).map(tuple) == tuple(s * 1024 for s in STEPS)).all()
    assert set(rows["params"]) == {Shape(width).params_non_embedding for width in (16, 32, 48, 64)}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    found = newcomer.result("fit", "mlflow:scalelab/law", *QUICK)
    assert (found["num_points"], found["num_cells"], found["num_sizes"]) == (24, 8, 4)
    assert found["params"] == pytest.approx(SMALL.params, rel=0.2)
    assert found["inputs"] == {}


def test_repeated_cells_come_back_apart_from_fresh_ones(writer, tracking_uri, newcomer, monkeypatch):
    steps = (100, 200, 400, 800, 1600, 3200)
    cells = [Cell("law", "decoder", 16, 0, steps), Cell("law", "decoder", 16, 0, steps, unique_tokens=200 * 1024)]
    sweep = Sweep("law", cells, writer.recipe)
    writer.write(sweep)
    for path in writer.runs.glob("law/*/t*/record.json"):
        record = json.loads(path.read_text())
        unique = min(record["tokens"], 200 * 1024) if "-u" in record["cell"] else record["tokens"]
        loss = 1.1 + 900 * (record["tokens"] * unique**2) ** (-1 / 6)
        store.write_json(path, record | {"loss": loss})
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    rows = runs_table("scalelab/law", {}, tracking_uri)
    assert rows["cell"].nunique() == 2
    found = newcomer.result("saturation", "mlflow:scalelab/law", *QUICK)
    curves = [(size["data"], size["unique_tokens"], size["num_runs"]) for size in found["sizes"]]
    assert found["skipped"] == []
    assert curves == [("epochs", 200 * 1024, 6), ("fresh", None, 6)]


@pytest.fixture
def store_of_others(table, tracking_uri, monkeypatch) -> MlflowClient:
    """An experiment that scalelab did not write, the newcomer's table under other names; one run is still going."""
    client = MlflowClient(tracking_uri)
    experiment = client.create_experiment("theirs")
    for row in table.itertuples():
        run = client.create_run(experiment)
        client.log_param(run.info.run_id, "n_params", int(row.params))
        client.log_param(run.info.run_id, "data", f"{row.tokens / 1e9:.9f}B")
        client.log_metric(run.info.run_id, "eval/loss", row.loss)
        client.set_terminated(run.info.run_id)
    client.create_run(experiment, run_name="still going")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    return client


THEIRS = ("fit", "mlflow:theirs", *QUICK)
MAPPED = ("--params-col", "n_params", "--tokens-col", "data", "--loss-col", "eval/loss")


def test_runs_of_others_are_fitted_out_of_mlflow(store_of_others, newcomer, law):
    assert newcomer.result(*THEIRS, *MAPPED)["params"] == pytest.approx(law["params"], rel=1e-5)
    said = newcomer.refusal(*THEIRS, "--params-col", "n_params")
    assert "logged no tokens, loss; it has data, eval/loss, n_params: name others with --params-col" in said
    experiment = store_of_others.get_experiment_by_name("theirs")
    assert experiment is not None
    crashed = store_of_others.create_run(experiment.experiment_id, run_name="without a loss")
    store_of_others.log_param(crashed.info.run_id, "n_params", 1e9)
    store_of_others.set_terminated(crashed.info.run_id)
    assert "mlflow run 'without a loss' logged no data, eval/loss" in newcomer.refusal(*THEIRS, *MAPPED)


def test_unknown_and_unfinished_experiments_are_refused(tracking_uri, newcomer, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    said = newcomer.refusal("fit", "mlflow:nothing")
    assert said == "scalelab: mlflow has no experiment 'nothing'; it has Default: check MLFLOW_TRACKING_URI"
    assert "has no finished run: wait for one, or name another" in newcomer.refusal("fit", "mlflow:Default")


@pytest.mark.parametrize(
    "uri", [None, "sqlite:///nowhere.db", "sqlite:///notes.db", "cloud://somewhere", "http://localhost:9"]
)
def test_stores_that_are_none_are_refused_and_not_made(uri, newcomer, monkeypatch):
    (newcomer.path / "notes.db").write_text("what to buy")
    if uri is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert "MLFLOW_TRACKING_URI" in newcomer.refusal("fit", "mlflow:theirs")
