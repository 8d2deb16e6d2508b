"""Every check so far: the files under runs/checks and, of other machines and older runs, what MLflow holds."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.check.keep import EXPERIMENT, TAG, kept_results
from experiments.mlflow_store import MAX_RUNS, MOST_SAID, client_of, database_of, store_errors, uri_of
from experiments.project import RUNS
from sweeps import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from analysis.page import Section


def read_history(runs: Path = RUNS, tracking_uri: str | None = None) -> list[dict[str, Any]]:
    """The results by time; where both have one, the file's."""
    here = {path.stem: store.read_json(path) for path in kept_results(runs)}
    there = published_results(tracking_uri, set(here))
    return sorted({**there, **here}.values(), key=lambda result: result["name"])


def published_results(tracking_uri: str | None, known: set[str]) -> dict[str, dict[str, Any]]:
    """MLflow's results by name, but for those that are known; none where there is no store, which is not made here."""
    file = database_of(uri_of(tracking_uri))
    if file is not None and not file.exists():
        return {}
    from mlflow.exceptions import MlflowException

    found = {}
    try:
        with store_errors(tracking_uri), tempfile.TemporaryDirectory() as folder:
            client = client_of(tracking_uri)
            for name, run_id in _unknown_runs(client, known).items():
                path = client.download_artifacts(run_id, f"{name}.json", folder)
                found[name] = store.read_json(Path(path))
    except (ValueError, MlflowException) as error:
        print(f"checks in MLflow are left out: {' '.join(str(error).split())[:MOST_SAID]}", file=sys.stderr)
    return found


def _unknown_runs(client: "MlflowClient", known: set[str]) -> dict[str, str]:
    """Run ids of finished checks by name."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return {}
    runs = client.search_runs([experiment.experiment_id], "status = 'FINISHED'", max_results=MAX_RUNS)
    names = {run.data.tags[TAG]: run.info.run_id for run in runs if TAG in run.data.tags}
    return {name: run_id for name, run_id in names.items() if name not in known}


def report_sections() -> "list[Section]":
    """What the report says of the checks; nothing where there was none."""
    from analysis.pages_check import check_sections

    return check_sections(read_history())
