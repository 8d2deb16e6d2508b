"""Notebooks where results are missing, and the one that reads MLflow on a store with runs and checks in it."""

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from nbclient.exceptions import CellExecutionError

from experiments import track
from tests.notebooks import Execute, executing, text_of


@pytest.fixture
def execute(tmp_path: Path, root: Path) -> Iterator[Execute]:
    """Executes notebooks of the checkout in a project that has nothing but params.yaml."""
    (tmp_path / "params.yaml").touch()
    with executing(tmp_path, {**os.environ, "PYTHONPATH": str(root)}) as made:
        yield made


def test_notebooks_say_what_to_run_and_read_what_sync_wrote(
    execute: Execute, root: Path, writer, tracking_uri: str, tmp_path: Path
) -> None:
    notebooks = root / "analysis" / "notebooks"
    Path(tracking_uri.removeprefix("sqlite:///")).rename(tmp_path / "kept.db")
    for name, stage in (("scaling", "dvc repro law"), ("inference", "dvc repro inference"), ("runs", "scalelab sync")):
        with pytest.raises(CellExecutionError) as stopped:
            execute(notebooks / f"{name}.ipynb")
        said = stopped.value.traceback.strip().splitlines()[-1]
        assert re.fullmatch(rf"\S+ is not there: run `{stage}` in {re.escape(str(tmp_path))}, .*", said)
        assert "Traceback" not in stopped.value.traceback
        assert ".py" not in stopped.value.traceback
    assert text_of(execute(notebooks / "start.ipynb")).count("not there") == 5

    (tmp_path / "kept.db").rename(tmp_path / "mlflow.db")
    sweep = writer.sweep(3)
    writer.write(sweep)
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    client = MlflowClient(tracking_uri)
    checks = client.create_experiment("scalelab/check")
    for seconds in (2.0, 3.0):
        client.log_metric(client.create_run(checks).info.run_id, "train_seconds", seconds)
    read = execute(notebooks / "runs.ipynb")
    # The writer's lowest validation loss is that of 200 steps of 1,024 tokens.
    (dial,) = (state for state in widgets(read) if "least loss" in str(state.get("value")))
    assert "law: 3 cells, 6 runs to their end" in dial["value"]
    assert re.search(r"least loss 2.0500: w0032-s\d after 205k tokens", dial["value"])
    (history,) = (o for c in read.cells for o in c.get("outputs", []) if "vnd.plotly" in str(o.get("data", {}).keys()))
    drawn = history["data"]["application/vnd.plotly.v1+json"]["data"][0]
    assert sorted(np.frombuffer(base64.b64decode(drawn["y"]["bdata"]), drawn["y"]["dtype"])) == [2.0, 3.0]


def widgets(notebook) -> list[dict]:
    """The state of every widget that the notebook made."""
    states = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    return [widget["state"] for widget in states.values()]
