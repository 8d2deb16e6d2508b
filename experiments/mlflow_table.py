"""A table of runs out of MLflow: what `scalelab fit mlflow:EXPERIMENT` reads."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.mlflow_store import MAX_RUNS, client_of, database_of, uri_of
from experiments.track_findings import RESULTS_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
ENDPOINT = "validation/loss"  # a point of it is the end of one branch, at its tokens
NAMES = ("params", "tokens", "loss")
UNIQUE = "unique_tokens"  # where tokens were repeated


def runs_table(experiment: str, columns: Mapping[str, str], tracking_uri: str | None = None) -> pd.DataFrame:
    """The runs of an experiment, a row each, with what was logged of params and metrics as columns.

    In an experiment that `scalelab sync` wrote a row is a branch, with its cell. Elsewhere `columns` says which MLflow
    param or metric holds params, tokens and loss; a metric and a param of one name are the metric. Raises ValueError
    where there is no such store or experiment, or it has no finished run, or one that logs too little.
    """
    uri = uri_of(tracking_uri)
    file = database_of(uri)
    if file is not None and not file.is_file():
        raise ValueError(f"mlflow: {uri} is not there: set MLFLOW_TRACKING_URI to the store that has {experiment!r}")
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return _runs_table(client_of(uri), experiment, columns)
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"mlflow: {uri} cannot be read ({reason}): check MLFLOW_TRACKING_URI") from error


def _runs_table(client: "MlflowClient", experiment: str, columns: Mapping[str, str]) -> pd.DataFrame:
    found = client.get_experiment_by_name(experiment)
    if found is None:
        known = ", ".join(sorted(e.name for e in client.search_experiments()))
        raise ValueError(f"mlflow has no experiment {experiment!r}; it has {known}: check MLFLOW_TRACKING_URI")
    runs = client.search_runs([found.experiment_id], "attributes.status = 'FINISHED'", max_results=MAX_RUNS)
    rows = [row for run in runs for row in _rows(client, run, columns)]
    if not rows:
        raise ValueError(f"mlflow experiment {experiment!r} has no finished run: wait for one, or name another")
    return pd.DataFrame(rows)


def _rows(client: "MlflowClient", run: "Run", columns: Mapping[str, str]) -> list[dict[str, Any]]:
    if RESULTS_TAG in run.data.tags:
        return []  # what was found, not a training run
    if "scalelab.cell" not in run.data.tags:
        logged: dict[str, Any] = {**run.data.params, **run.data.metrics}
        wanted = [columns.get(name, name) for name in NAMES]
        missing = [name for name in wanted if name not in logged]
        if missing:
            raise ValueError(
                f"mlflow run {run.info.run_name!r} logged no {', '.join(missing)}; it has {', '.join(sorted(logged))}: "
                "name others with --params-col, --tokens-col or --loss-col, or delete the run"
            )
        return [{name: _number(logged[name]) for name in (*wanted, UNIQUE) if name in logged}]
    if not run.data.tags["scalelab.cell"]:
        return []  # the sweep itself
    size, params = float(run.data.params["size"]), float(run.data.params["params_non_embedding"])
    unique = float(run.data.params.get(UNIQUE, "inf"))
    cell = f"{run.info.run_name}@{run.data.tags[PARENT][:8]}"
    return [
        {
            "size": size, "cell": cell, "params": params, "tokens": point.step, "flops": 6.0 * params * point.step,
            "loss": point.value, "status": "done", UNIQUE: min(unique, point.step),
        }
        for point in client.get_metric_history(run.info.run_id, ENDPOINT)
    ]  # fmt: skip


def _number(value: Any) -> Any:
    """MLflow keeps params as text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value
