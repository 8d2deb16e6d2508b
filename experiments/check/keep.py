"""Results of checks: a file each under runs/checks, and MLflow's runs as a projection of the files."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.mlflow_store import MAX_BATCH, MAX_RUNS, client_of, experiment_of, metric_name
from experiments.project import RUNS
from sweeps import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHECKS = "checks"
EXPERIMENT = "scalelab/check"
TAG = "scalelab.check"


def keep(result: dict[str, Any], runs: Path = RUNS) -> Path:
    """Writes the result's file, named by its time and revision."""
    path = runs / CHECKS / f"{result['name']}.json"
    store.write_json(path, result)
    return path


def kept_results(runs: Path = RUNS) -> list[Path]:
    """The files of all checks, by time."""
    return sorted((runs / CHECKS).glob("*.json"))


def publish_checks(runs: Path = RUNS, tracking_uri: str | None = None) -> int:
    """Publishes the files that MLflow has no finished run of, one run a check; how many there were."""
    from experiments.track import sole_publisher

    paths = kept_results(runs)
    if not paths:
        return 0
    with sole_publisher(runs):
        client = client_of(tracking_uri)
        experiment = experiment_of(client, EXPERIMENT.removeprefix("scalelab/"))
        known = {
            run.data.tags[TAG]: run
            for run in client.search_runs([experiment], max_results=MAX_RUNS)
            if TAG in run.data.tags
        }
        missing = [path for path in paths if path.stem not in known or known[path.stem].info.status != "FINISHED"]
        for path in missing:
            begun = known.get(path.stem)
            publish_check(client, experiment, path, begun.info.run_id if begun else None)
    return len(missing)


def publish_check(client: "MlflowClient", experiment: str, path: Path, run_id: str | None) -> None:
    """One file as one run, or as what is left of a run that was begun; finished last, so that a kill is seen."""
    from mlflow.entities import Metric, RunTag

    result = store.read_json(path)
    at = milliseconds(result)
    run_id = run_id or client.create_run(experiment, at, {TAG: path.stem}, path.stem).info.run_id
    metrics = [
        Metric(metric_name(f"{row['kind']}/{row['name']}"), float(row["present"]), at, 0)
        for row in result["rows"]
        if isinstance(row["present"], int | float)
    ]
    tags = [RunTag(key, value) for key, value in tags_of(result).items()]
    for start in range(0, max(1, len(metrics)), MAX_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + MAX_BATCH], tags=tags)
    client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, "FINISHED", at + round(1000 * result["seconds"]))


def tags_of(result: dict[str, Any]) -> dict[str, str]:
    """What runs of the experiment are told apart by."""
    return {
        "mlflow.source.git.commit": result["revision"],
        "scalelab.revision": result["revision"],
        "scalelab.dirty": str(result["dirty"]).lower(),
        "scalelab.outcome": result["outcome"],
        "scalelab.failing": ", ".join(result["failing"]),
        "scalelab.machine": json.dumps(result["machine"]),
        "scalelab.baseline_revision": result["baseline_revision"],
    }


def milliseconds(result: dict[str, Any]) -> int:
    """Unix milliseconds at which the check began."""
    began = datetime.strptime(result["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return round(began.timestamp() * 1000)
