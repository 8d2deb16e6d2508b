"""Every check so far: the files under runs/checks and, of other machines and older runs, what MLflow holds."""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.check.keep import EXPERIMENT, TAG, kept_results
from experiments.project import RUNS
from sweeps import store

if TYPE_CHECKING:
    from analysis.page import Section

SQLITE = "sqlite:///"


def read_history(runs: Path = RUNS, tracking_uri: str | None = None) -> list[dict[str, Any]]:
    """The results by time; where both have one, the file's."""
    here = {path.stem: store.read_json(path) for path in kept_results(runs)}
    there = published_results(tracking_uri, set(here))
    return sorted({**there, **here}.values(), key=lambda result: result["name"])


def published_results(tracking_uri: str | None, known: set[str]) -> dict[str, dict[str, Any]]:
    """MLflow's results by name, but for those that are known; none where there is no store, which is not made here."""
    if not has_store(tracking_uri):
        return {}
    from mlflow.exceptions import MlflowException

    from experiments.track import MAX_RUNS, client_of

    found = {}
    try:
        client = client_of(tracking_uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return {}
        runs = client.search_runs([experiment.experiment_id], "status = 'FINISHED'", max_results=MAX_RUNS)
        with tempfile.TemporaryDirectory() as folder:
            for run in runs:
                name = run.data.tags.get(TAG)
                if name is not None and name not in known:
                    path = client.download_artifacts(run.info.run_id, f"{name}.json", folder)
                    found[name] = store.read_json(Path(path))
    except MlflowException as error:
        print(f"checks in MLflow are left out: {' '.join(str(error).split())[:200]}", file=sys.stderr)
    return found


def has_store(tracking_uri: str | None) -> bool:
    """Whether there is something to read: a server, or a database file that exists."""
    from experiments.track import DEFAULT_TRACKING_URI

    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI
    return not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).exists()


def report_sections() -> "list[Section]":
    """What the report says of the checks; nothing where there was none."""
    from analysis.pages_check import check_sections

    return check_sections(read_history())
