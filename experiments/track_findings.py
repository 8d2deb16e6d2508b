"""Results in MLflow: a parent run a results file, a run a series below it. Published once, by the file's digest."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.findings import Finding, Shown, table_of
from experiments.mlflow_store import MAX_BATCH, MAX_RUNS, metric_name
from experiments.snapshot import digest_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
RESULTS_TAG, SERIES_TAG, PUBLISHED = "scalelab.results", "scalelab.series", "scalelab.published"
NOTE = "mlflow.note.content"
TABLE = "rows.json"


def publish_finding(client: "MlflowClient", experiment: str, finding: Finding, artifacts: Sequence[Path]) -> None:
    """Creates what is missing of one results file; what was published of other contents of it stays."""
    where = f"tags.`{RESULTS_TAG}` = '{finding.identity}'"
    known = {run.data.tags[SERIES_TAG]: run for run in client.search_runs([experiment], where, max_results=MAX_RUNS)}
    name = f"{finding.path.stem}-results-{finding.identity[:8]}"
    parent = known.get("") or _create(client, experiment, finding, "", name, {})
    parent_id = parent.info.run_id
    for series in finding.series:
        run = known.get(series.name)
        if run is None or run.info.status != "FINISHED":
            tags = {PARENT: parent_id}
            run = run or _create(client, experiment, finding, series.name, series.name, tags)
            _log_series(client, run.info.run_id, finding, series.name)
    present = [finding.path, *(path for path in artifacts if path.exists() and path != finding.path)]
    digest = digest_of([finding.shown.note, *(digest_of(path.read_bytes().hex()) for path in present)])
    if parent.data.tags.get(PUBLISHED) == digest and parent.info.status == "FINISHED":
        return
    for path in present:
        client.log_artifact(parent_id, str(path))
    # What is logged to a table that is there is added to it.
    if TABLE not in {artifact.path for artifact in client.list_artifacts(parent_id)}:
        client.log_table(parent_id, table_of(finding.rows), TABLE)
    show(client, parent_id, finding.shown)
    client.set_tag(parent_id, PUBLISHED, digest)
    client.set_terminated(parent_id, "FINISHED", finding.written)


def _create(
    client: "MlflowClient", experiment: str, finding: Finding, series: str, name: str, tags: dict[str, str]
) -> "Run":
    told = {RESULTS_TAG: finding.identity, SERIES_TAG: series, **tags}
    return client.create_run(experiment, finding.written, told, name)


def _log_series(client: "MlflowClient", run_id: str, finding: Finding, name: str) -> None:
    """Points carry the file's time, so that a sync that was killed here doubles nothing when it is repeated."""
    from mlflow.entities import Metric, Param

    series = next(one for one in finding.series if one.name == name)
    metrics = [Metric(metric_name(key), value, finding.written, step) for key, step, value in series.points]
    for start in range(0, len(metrics), MAX_BATCH):
        client.log_batch(run_id, metrics[start : start + MAX_BATCH])
    client.log_batch(run_id, params=[Param(key, value) for key, value in series.params.items()])
    client.set_terminated(run_id, "FINISHED", finding.written)


def show(client: "MlflowClient", run_id: str, shown: Shown) -> None:
    """Note and figures; figures carry plotly with them, for a page without a network."""
    if shown.note:
        client.set_tag(run_id, NOTE, shown.note)
    for name, draw in shown.figures.items():
        figure = draw()
        if figure is not None:
            client.log_figure(run_id, figure, f"figures/{name}.html", save_kwargs={"include_plotlyjs": True})
