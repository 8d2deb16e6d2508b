"""The long-context stage: every arm on the built-in model at every length, and the gates beside."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.longcontext.job import GATES, Job, Reading
from evals.longcontext.params import LongContextParams
from evals.longcontext.world import WINDOW
from experiments.longcontext_report import read_longcontext
from experiments.measurements import machine
from experiments.points import checkpoint_of, settled_branches
from experiments.pools import worker_pool
from experiments.project import CODE_ROOT, COMPILE_CACHE, PARAMS, Project
from sweeps import store

if TYPE_CHECKING:
    from rich.console import Console

ROWS = "longcontext"  # below runs/
SCHEMA_VERSION = 1
MEASURED_BY, LIBRARIES = ("evals/longcontext", "rlm"), ("torch", "transformers", "pydantic-monty")
GATED_ARM = "rlm-1"
READINGS = 600  # held-out questions to a leaf


@dataclass(frozen=True)
class Row:
    """A row to be, and where it is kept."""

    job: Job | Reading
    path: Path
    identity: str

    def read(self) -> dict[str, Any] | None:
        """The row; None where it was not measured yet by this code on this model."""
        try:
            kept = store.read_json(self.path)
        except FileNotFoundError:
            return None
        return kept["row"] if kept["identity"] == self.identity else None

    def keep(self, row: dict[str, Any]) -> None:
        """Writes it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        store.write_json(self.path, {"identity": self.identity, "row": row})


@dataclass(frozen=True)
class Model:
    """The branch that is asked, what its record says, and the digest of its files."""

    checkpoint: Path
    record: dict[str, Any]
    digest: str


def own_params(project: Project) -> LongContextParams:
    """Raises ValueError where params.yaml does not ask for it."""
    if project.params.longcontext is None:
        raise ValueError(f"longcontext is missing in {PARAMS}: add it, with what is to be measured")
    return project.params.longcontext


def chosen_model(project: Project, params: LongContextParams) -> Model:
    """The model's branch of most tokens; raises ValueError where there is none, or it has no weights."""
    suite, cell = params.model.split("/")
    found = [(path, record) for _, path, record in settled_branches(project, suite) if record["cell"] == cell]
    if not found:
        cells = ", ".join(sorted({cell.name for cell in project.cells(suite)}))
        raise ValueError(f"longcontext.model is {params.model!r}: choose one of {cells}")
    path, record = max(found, key=lambda one: one[1]["tokens"])
    if record["status"] != "done":
        raise ValueError(f"longcontext.model {params.model} {record['status']}: {record['reason']}")
    checkpoint, digest = checkpoint_of(path), hashlib.sha256()
    for file in sorted(checkpoint.iterdir()):
        digest.update(f"{file.name}\n".encode() + file.read_bytes())
    return Model(checkpoint, record, digest.hexdigest()[:16])


def is_of_present_grid(project: Project) -> bool:
    """Whether longcontext.json holds the rows that params.yaml asks for, of the model and the code as they are now."""
    found, params = read_longcontext(), project.params.longcontext
    if found is None or params is None:
        return False
    try:
        rows, reading = planned(project, params, chosen_model(project, params))
    except ValueError:  # not trained, or no world
        return False
    return found.get("identity") == identity_of([*rows, reading])


def identity_of(rows: Sequence[Row]) -> str:
    """Of a table that holds them all."""
    return _digest(sorted(row.identity for row in rows))


def built_in() -> Path:
    """The folder of the model that the project compares; raises ValueError where it is not trained."""
    project = Project.here()
    return chosen_model(project, own_params(project)).checkpoint


def planned(project: Project, params: LongContextParams, model: Model) -> tuple[list[Row], Row]:
    """Every row of the grid and of the gates, each once, the dearest first; and how well a leaf reads."""
    world, by, device = project.world, _measured_by(), project.params.executor.device
    jobs: dict[Job, None] = {}

    def add(**fields: Any) -> None:
        jobs[Job(model.checkpoint, device, world.words, world.seed, seed=params.seed, **fields)] = None

    for block in params.measured:
        for task in block.tasks:
            for windows in block.windows:
                for arm in block.arms:  # those that run no programs are the same in either profile
                    profile = block.profile if arm.startswith("rlm-") else "sealed"
                    add(task=task, windows=windows, items=block.items, arm=arm, profile=profile)
    for block in params.gates:
        for task in block.tasks:
            for windows in block.windows:
                for gate in GATES:
                    add(task=task, windows=windows, items=block.items, arm=GATED_ARM, profile="sealed", gate=gate)
    dearest_first = sorted(jobs, key=lambda job: job.windows * job.items, reverse=True)
    reading = Reading(model.checkpoint, device, world.words, world.seed, READINGS, params.seed)
    rows = [
        _row(project, job, f"{job.task}-w{job.windows}-n{job.items}-{job.profile}-{job.gate or job.arm}", model, by)
        for job in dearest_first
    ]
    return rows, _row(project, reading, "reading", model, by)


def _row(project: Project, job: Job | Reading, name: str, model: Model, by: list[str]) -> Row:
    fields = {name: value for name, value in asdict(job).items() if name != "checkpoint"}
    return Row(job, project.runs / ROWS / f"{name}.json", _digest([fields, model.digest, by]))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _measured_by() -> list[str]:
    names = sorted(
        str(file.relative_to(CODE_ROOT)) for room in MEASURED_BY for file in (CODE_ROOT / room).rglob("*.py")
    )
    return [store.code_digest(CODE_ROOT, names), *map(importlib.metadata.version, LIBRARIES)]


def describe(project: Project) -> str:
    """What would be measured, in a line."""
    params = own_params(project)
    rows, _ = planned(project, params, chosen_model(project, params))
    pending = [row for row in rows if row.read() is None]
    windows = sorted({length for block in params.measured for length in block.windows})
    tasks = {task for block in params.measured for task in block.tasks}
    arms = {arm for block in params.measured for arm in block.arms}
    return (
        f"{len(rows)} rows of {params.model}: {len(tasks)} tasks, {len(arms)} arms and the gates, contexts of "
        f"{windows[0]} to {windows[-1]} windows; {len(pending)} to measure"
    )


def own_longcontext(progress: "Console") -> dict[str, Any]:
    """Measures what is pending and returns what longcontext.json says."""
    from analysis.longcontext import DEEPER, SOLVER
    from analysis.paired import contrasts, mean_interval

    project = Project.here()
    params = own_params(project)
    model = chosen_model(project, params)
    rows, reading = planned(project, params, model)
    (project.runs / ROWS).mkdir(parents=True, exist_ok=True)
    for _ in measured([*rows, reading], project.params.executor.workers, progress):
        pass
    found = []
    for row in rows:
        kept = row.read()
        assert kept is not None
        found.append(kept | {"accuracy": sum(kept["scores"]) / len(kept["scores"])})
        found[-1]["ci95"] = list(mean_interval(kept["scores"]))
    own = [row for row in found if row["gate"] is None]
    return {
        "schema_version": SCHEMA_VERSION,
        "identity": identity_of([*rows, reading]),
        "rows": [{name: value for name, value in row.items() if name != "gate"} for row in own],
        "contrasts": contrasts(own, (SOLVER, DEEPER)),
        "gates": _gates(found),
        "model": _about(params, model) | {"reading_accuracy": reading.read()},
        "world": asdict(project.world),
        "inputs": {params.model: model.digest},
        "machine": machine(),
    }


def _gates(found: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By gate, without what is the same in all."""
    told: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        if row["gate"] is not None:
            told.setdefault(row["gate"], []).append(
                {name: value for name, value in row.items() if name not in ("gate", "arm", "profile")}
            )
    return told


def _about(params: LongContextParams, model: Model) -> dict[str, Any]:
    record = model.record
    return {
        "name": params.model,
        "params": record["params_total"],
        "params_non_embedding": record["params_non_embedding"],
        "trained_tokens": record["tokens"],
        "loss": record["loss"],
        "digest": model.digest,
        "window": WINDOW,
    }


def measured(rows: Sequence[Row], workers: int, progress: "Console") -> Iterator[Row]:
    """Measures the pending rows side by side; a row whose process fails lets the others finish, then is raised."""
    from rich.progress import track

    pending = [row for row in rows if row.read() is None]
    failures: list[BaseException] = []
    with worker_pool(min(workers, max(1, len(pending))), COMPILE_CACHE) as pool:
        running = {pool.submit(in_worker, row.job): row for row in pending}
        quiet = not progress.is_terminal
        done = track(as_completed(running), "measuring", len(pending), console=progress, transient=True, disable=quiet)
        for number, future in enumerate(done, start=1):
            row, error = running[future], future.exception()
            if error is not None:
                failures.append(error)
            else:
                row.keep(future.result())
                yield row
            if quiet or error is not None:
                progress.print(f"{number} of {len(pending)}: {row.path.stem}: {_told(future)}")
    if failures:
        raise failures[0]


def _told(future: "Future[dict[str, Any]]") -> str:
    error = future.exception()
    if error is not None:
        return repr(error)
    scores = future.result().get("scores")
    return f"{sum(scores) / len(scores):.2f}" if scores else ""


def in_worker(job: Job | Reading) -> dict[str, Any]:
    """What a worker does: a row, with one thread."""
    import torch

    from evals.longcontext.measure import measured

    torch.set_num_threads(1)
    return measured(job)


def print_longcontext(found: dict[str, Any]) -> None:
    """Accuracy by task, length and arm; an arm of sealed programs and one of open programs stand apart."""
    from rich.console import Console
    from rich.table import Table

    from analysis.longcontext import arm_name, arms_of

    rows = found["rows"]
    arms = arms_of(rows)
    table = Table("task", "windows", "items", "chance", *arms, title=f"accuracy of {found['model']['name']}")
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: (row["task"], row["length_windows"])):
        cell = cells.setdefault((row["task"], row["length_windows"]), {})
        low, high = row["ci95"]
        cell[arm_name(row)] = f"{row['accuracy']:.2f} ({low:.2f} to {high:.2f})"
        cell["items"], cell["chance"] = str(row["num_items"]), f"{row['chance']:.2f}"
    for (task, windows), cell in cells.items():
        table.add_row(task, str(windows), cell["items"], cell["chance"], *(cell.get(arm, "") for arm in arms))
    Console(soft_wrap=True, highlight=False).print(table)
    for gate, gated in found["gates"].items():
        for row in gated:
            print(
                f"{gate}: {row['task']} at {row['length_windows']} windows {row['accuracy']:.2f} "
                f"(chance {row['chance']:.2f})"
            )
