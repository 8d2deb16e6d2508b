"""MLflow as a projection of the cell store: one publisher reads files and writes what MLflow lacks.

Experiment = the question (`scalelab/law`), parent run = the sweep, child = the cell. A sweep is a suite under one
recipe: its identity is the recipe's digest (training params, data, device type, code of the training path), not the
git revision. So a commit that retrains nothing creates nothing, cells added to the grid join their parent, and any
change that makes cells stale opens a new parent when they are trained again. Stale branches are left out, as
everywhere else; a sweep that was published before stays in MLflow as it was.

Every timestamp comes from the files and MLflow keeps a point once, so that a repeated or killed sync neither doubles
nor misses anything; a child is FINISHED only when all of it was logged. Charts have tokens as their step.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from experiments.findings import Finding, Shown
from experiments.mlflow_store import (
    MAX_BATCH,
    MAX_RUNS,
    StoreError,
    client_of,
    experiment_of,
    metric_name,
    store_errors,
)
from experiments.snapshot import CellFiles, Evaluated, Status, Sweep, digest_of, read_cells, revision_tags
from experiments.track_findings import publish_finding, show
from sweeps import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

CURVES = ("loss", "learning_rate", "gradient_norm")
ENDPOINTS = ("loss", "loss_se", "bits_per_byte")
MAX_DATASET_DIGEST = 36  # characters, by MLflow
MANY_CELLS = 8
SHOWN_SAMPLES = 4


@dataclass(frozen=True)
class Told:
    """What results say, beside the runs: by suite on its parent, and as runs of their own; files that go with these."""

    shown: Mapping[str, Shown] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    report: Sequence[Path] = ()


@dataclass(frozen=True)
class Published:
    """What a sync found and did; `settled`: no cell of the grids is still to be trained."""

    cells: int
    updated: int
    settled: bool


def sync(
    runs: Path,
    sweeps: Sequence[Sweep],
    artifacts: Sequence[Path] = (),
    tracking_uri: str | None = None,
    *,
    told: Callable[[], Told] = lambda: Told(),
) -> Published:
    """Publishes what MLflow lacks; `artifacts` that exist are attached to every parent.

    `told` gives notes and figures of parents by suite, and results whose rows are no training runs.

    Without `tracking_uri` the environment's MLFLOW_TRACKING_URI counts, else a SQLite file beside the params.
    """
    with sole_publisher(runs):
        client, now = client_of(tracking_uri), told()
        published = [
            _Publisher(client, runs, sweep, now.shown.get(sweep.suite, Shown())).publish(artifacts) for sweep in sweeps
        ]
        for finding in now.findings:
            publish_finding(client, experiment_of(client, finding.question), finding, now.report)
    return Published(
        sum(p.cells for p in published), sum(p.updated for p in published), all(p.settled for p in published)
    )


def follow(
    runs: Path,
    sweeps: Sequence[Sweep],
    artifacts: Sequence[Path] = (),
    tracking_uri: str | None = None,
    *,
    told: Callable[[], Told] = lambda: Told(),
    training_is_over: Callable[[], bool] = lambda: False,
    seconds: float = 10.0,
) -> Published:
    """Syncs every `seconds` until every cell is settled or training is over, and once more after that.

    A store that fails meanwhile is told of and asked again: training takes longer than a server takes to come back.
    """
    while True:
        over = training_is_over()
        try:
            with store_errors(tracking_uri):
                published = sync(runs, sweeps, artifacts, tracking_uri, told=told)
        except StoreError as error:
            if over:
                raise
            Console(stderr=True).print(f"{error}; asked again in {seconds:g} s", markup=False)
        else:
            if over or published.settled:
                return published
        time.sleep(seconds)


class _Publisher:
    """Writes one sweep: finds its runs by their tags and creates those that are missing."""

    def __init__(self, client: "MlflowClient", runs: Path, sweep: Sweep, shown: Shown) -> None:
        self.client, self.sweep, self.shown = client, sweep, shown
        self.cells = read_cells(runs, sweep)

    def publish(self, artifacts: Sequence[Path]) -> Published:
        planned = {cell.name for cell in self.sweep.cells}
        settled = planned <= {files.cell.name for files in self.cells if files.settled}
        if not self.cells:
            return Published(0, 0, settled)
        self.experiment_id = experiment_of(self.client, self.sweep.suite)
        where = f"tags.`scalelab.sweep` = '{self.sweep.identity}'"
        known = {
            run.data.tags["scalelab.cell"]: run
            for run in self.client.search_runs([self.experiment_id], where, max_results=MAX_RUNS)
        }
        parent = known.get("") or self._create("", f"{self.sweep.suite}-{self.sweep.identity[:8]}", self.cells, {})
        stale = [files for files in self.cells if not _is_current(known.get(files.cell.name), files)]
        for files in _with_progress(stale, f"publishing {self.sweep.suite}"):
            self._publish_cell(parent.info.run_id, known.get(files.cell.name), files)
        self._publish_parent(parent, artifacts, settled)
        return Published(len(self.cells), len(stale), settled)

    def _create(self, cell: str, name: str, cells: list[CellFiles], tags: dict[str, str]) -> "Run":
        identity = {"scalelab.sweep": self.sweep.identity, "scalelab.suite": self.sweep.suite, "scalelab.cell": cell}
        began = min(files.span[0] for files in cells)
        return self.client.create_run(self.experiment_id, began, {**identity, **tags}, name)

    def _publish_cell(self, parent_id: str, run: "Run | None", files: CellFiles) -> None:
        """Lines not yet logged, then artifacts, then tags that say so, then the status."""
        name = files.cell.name
        run = run or self._create(name, name, [files], {"mlflow.parentRunId": parent_id})
        run_id = run.info.run_id
        logged = json.loads(run.data.tags.get("scalelab.logged", "{}"))
        metrics = list(_metrics(files, logged))
        for start in range(0, len(metrics), MAX_BATCH):
            self.client.log_batch(run_id, metrics[start : start + MAX_BATCH])
        for branch in files.records:
            self.client.log_artifact(run_id, str(files.directory / branch / "record.json"), branch)
        for branch, evaluated in files.evaluations.items():
            self._log_samples(run_id, branch, evaluated)
        shape = files.cell.shape
        sizes = {
            "size": files.cell.width,
            "layers": shape.num_layers,
            "seed": files.cell.seed,
            "params_non_embedding": shape.params_non_embedding,
            "params_total": shape.params_total(self.sweep.recipe.vocab_size),
        }
        if files.cell.unique_tokens is not None:
            sizes["unique_tokens"] = files.cell.unique_tokens
        # A trunk that made way for another recipe's and was trained again has the same lines: they are logged already.
        counts = logged | {stream: max(len(lines), logged.get(stream, 0)) for stream, lines in files.curves.items()}
        counts |= {evaluated.identity: 1 for evaluated in files.evaluations.values()}
        done = {"scalelab.logged": json.dumps(counts), "scalelab.published": files.digest}
        self._describe(run_id, sizes, {**files.tags(), **done})
        self._set_status(run_id, files.status, files.span[1])

    def _show_samples(self, run_id: str) -> None:
        """A few samples a task of the largest model that was asked."""
        asked = [files for files in self.cells if files.evaluations]
        if asked:
            largest = max(asked, key=lambda files: files.cell.shape.params_non_embedding)
            branch = max(largest.evaluations, key=lambda name: largest.records[name]["tokens"])
            self._log_samples(run_id, largest.cell.name, largest.evaluations[branch], SHOWN_SAMPLES)

    def _log_samples(self, run_id: str, branch: str, evaluated: Evaluated, most: int | None = None) -> None:
        """The samples, at most so many a task, as a table in that folder, once: a table that is there is added to."""
        import pandas as pd

        name = f"{branch}/samples-{evaluated.identity}.json"
        if name in {artifact.path for artifact in self.client.list_artifacts(run_id, branch)}:
            return
        # Not read_json: it makes numbers and times of texts that look like them.
        with evaluated.samples.open() as lines:
            samples = pd.DataFrame([json.loads(line) for line in lines])
        if most is not None:
            samples = samples.groupby("task", sort=False).head(most)
        samples["metrics"] = samples["metrics"].map(json.dumps)
        samples["responses"] = samples["responses"].map(" | ".join)
        self.client.log_table(run_id, samples, name)

    def _publish_parent(self, run: "Run", artifacts: Sequence[Path], settled: bool) -> None:
        present = [path for path in artifacts if path.exists()]
        contents = [digest_of(path.read_bytes().hex()) for path in present]
        digest = digest_of([[files.digest for files in self.cells], contents, self.shown.note])
        status: Status = "FINISHED" if settled else "RUNNING"
        if run.data.tags.get("scalelab.published") == digest and run.info.status == status:
            return
        for path in present:
            self.client.log_artifact(run.info.run_id, str(path))
        self._show_samples(run.info.run_id)
        show(self.client, run.info.run_id, self.shown)
        records = [record for files in self.cells for record in files.records.values()]
        tags = {
            "scalelab.params": digest_of(asdict(self.sweep)),
            **revision_tags(records),
            "scalelab.published": digest,
        }
        self._describe(run.info.run_id, {}, tags)
        self._set_status(run.info.run_id, status, max(files.span[1] for files in self.cells))

    def _describe(self, run_id: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        """Params, repeated on every run because MLflow compares runs by them; datasets; and, last, tags."""
        from mlflow.entities import Param, RunTag

        recipe = {k: v for k, v in asdict(self.sweep.recipe).items() if not k.endswith("digest") and k != "training"}
        family = self.sweep.cells[0].family if self.sweep.cells else self.cells[0].cell.family
        params = {**params, "family": family, **recipe, **asdict(self.sweep.recipe.training)}
        self.client.log_inputs(run_id, _datasets(self.sweep.recipe))
        tags = {**tags, "scalelab.device": self.sweep.recipe.device, "scalelab.code": self.sweep.recipe.code_digest}
        self.client.log_batch(
            run_id,
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )

    def _set_status(self, run_id: str, status: Status, ended: int) -> None:
        if status == "RUNNING":
            self.client.update_run(run_id, status)
        else:
            self.client.set_terminated(run_id, status, ended)


def _is_current(run: "Run | None", files: CellFiles) -> bool:
    return (
        run is not None and run.data.tags.get("scalelab.published") == files.digest and run.info.status == files.status
    )


def _metrics(files: CellFiles, logged: dict[str, int]) -> Iterator["Metric"]:
    """The points not yet logged; a branch's end shows as validation loss against tokens."""
    from mlflow.entities import Metric

    for stream, lines in files.curves.items():
        for line in lines[logged.get(stream, 0) :]:
            for name in CURVES:
                yield Metric(f"{stream}/{name}", line[name], line["time"], line["tokens"])
    for branch, record in files.records.items():
        if record["status"] == "done" and branch not in logged:
            ended = files.curves[branch][-1]["time"] if files.curves[branch] else 0
            for name in ENDPOINTS:
                yield Metric(f"validation/{name}", record[name], ended, record["tokens"])
    for branch, evaluated in files.evaluations.items():
        if evaluated.identity not in logged:
            ended = files.span[1]
            for score in evaluated.scores:
                name = metric_name(f"evaluation/{score['task']}/{score['metric']}")
                yield Metric(name, score["value"], ended, files.records[branch]["tokens"])


def _datasets(recipe: store.Recipe) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digests = {"training": recipe.data_digest, "validation": recipe.validation_digest}
    return [
        DatasetInput(
            Dataset(f"corpus-{context}", digest[:MAX_DATASET_DIGEST], "local", json.dumps({"digest": digest})),
            [InputTag("mlflow.data.context", context)],
        )
        for context, digest in digests.items()
    ]


@contextmanager
def sole_publisher(runs: Path) -> Iterator[None]:
    """Waits for another publisher on the same files: two would create every run twice. A killed one lets go."""
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / ".publisher").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _with_progress(cells: list[CellFiles], description: str) -> Iterator[CellFiles]:
    from rich.progress import track

    console = Console(stderr=True)
    hidden = len(cells) < MANY_CELLS or not console.is_terminal
    yield from track(cells, description, console=console, transient=True, disable=hidden)
