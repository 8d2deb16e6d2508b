"""The inference stage: every acceleration on the family's checkpoints, and what changes with scale."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evals.inference.job import COMPOSITIONS, Job
from evals.inference.params import RANDOM, InferenceParams
from experiments.isolated import side_by_side
from experiments.kept import kept_sections
from experiments.measurements import ROWS, Measurement, Measurements, machine
from experiments.points import checkpoint_of
from experiments.project import ABILITIES, DATA, PARAMS, RESULTS, Project
from experiments.sweep import check_device
from sweeps import store
from sweeps.distil.job import SUITE as DISTILLED

if TYPE_CHECKING:
    from rich.console import Console

    from analysis.page import Section

INFERENCE = RESULTS / "inference.json"
OTHER_RUNS = "inference.json is of other runs than params.yaml asks for: dvc repro"
SCHEMA_VERSION = 1
# Below runs/, of which the pipeline keeps what is there.
OUTS = (ROWS, DISTILLED, f"{store.EVALUATIONS}/{DISTILLED}")


def own_params(project: Project) -> InferenceParams:
    """Raises ValueError where params.yaml does not ask for it."""
    if project.params.inference is None:
        raise ValueError(f"inference is missing in {PARAMS}: add it, with what is to be measured")
    return project.params.inference


def describe(project: Project) -> str:
    """What would be measured, in a paragraph."""
    params = own_params(project)
    rows = Measurements(project, params, dry_run=True).rows
    pending = [one for one in rows if one.read() is None]
    techniques = Counter(one.job.technique for one in rows)
    models = Counter(one.target.name for one in rows)
    text = (
        f"{len(rows)} rows: {', '.join(techniques)} on {', '.join(models)}; a process each, the check first, then "
        f"{params.pairs} turns of both sides, and more where so many take less than {_seconds(params)} s; "
        f"{len(pending)} to measure"
    )
    asked = any(RANDOM in block.models for block in params.measured)
    if asked and RANDOM not in models:
        text += "; besides, rows of random weights that are still to be made"
    if project.params.distillation is not None:
        from experiments.distillation import describe_distillation

        text += f"; distillation: {describe_distillation(project, project.params.distillation)}"
    return text


def _seconds(params: InferenceParams) -> str:
    asked = {params.least_seconds, *(one.least_seconds for one in params.measured if one.least_seconds is not None)}
    return " or ".join(f"{seconds:g}" for seconds in sorted(asked))


def own_inference(progress: "Console") -> dict[str, Any]:
    """Measures what is pending and returns what inference.json says."""
    from analysis.inference import analyse
    from evals.inference.ceilings import Ceilings

    project = Project.here()
    params = own_params(project)
    check_device(project.params.executor.device)
    measurements = Measurements(project, params)
    rows = measurements.rows
    if project.params.distillation is not None:
        from experiments.distillation import Comparison

        _ = Comparison(project, project.params.distillation).jobs  # what it refuses it refuses now
    for folder in OUTS:
        (project.runs / folder).mkdir(parents=True, exist_ok=True)
    workers = workers_on(project.params.executor.device, project.params.executor.workers)
    told = kept_machine(project.runs / ROWS / "machine.json", measurements, workers)
    measure_all(rows, Ceilings(**told["ceilings"]), workers, progress)
    found = [(one.job.technique in COMPOSITIONS, one.read()) for one in rows]
    table: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "inputs": {one.target.name: one.target.digest[:16] for one in rows},
        "machine": machine() | told["ceilings"],
        "control": told["control"],
        "rows": [row for composed, row in found if not composed],
        "compositions": [row for composed, row in found if composed],
        "acceptance": [],
        "precision": [],
        "distillation": None,
    }
    family = Family.of(measurements, progress)
    progress.print("acceptance and precision over the family ...")
    for part, future in side_by_side(family.rows, ("acceptance", "precision"), workers):
        table[part] = future.result()
    if project.params.distillation is not None:
        from experiments.distillation import run_distillation
        from experiments.distillation_table import as_drafters

        table["distillation"] = run_distillation(project, project.params.distillation, progress)
        table["acceptance"] += as_drafters(table["distillation"])
    return table | analyse(table)


def measure_all(rows: Sequence[Measurement], ceilings: Any, workers: int, progress: "Console") -> None:
    """Measures the pending rows side by side, then one by one those that want the machine for themselves.

    A row whose process fails lets the others finish; then its error is raised.
    """
    from rich.progress import track

    from evals.inference.process import row_of

    failures: list[BaseException] = []
    pending = [one for one in rows if one.read() is None]
    for alone in (False, True):
        chosen = [one for one in pending if one.alone == alone]
        if not chosen:
            continue
        jobs = {id(one.job): one for one in chosen}
        work = [(one.job, ceilings) for one in chosen]
        done = side_by_side(row_of, work, 1 if alone else workers)
        quiet = not progress.is_terminal
        shown = track(done, "measuring", len(chosen), console=progress, transient=True, disable=quiet)
        for number, ((job, _), future) in enumerate(shown, start=1):
            one, error = jobs[id(job)], future.exception()
            if error is None:
                one.keep(future.result())
            else:
                failures.append(error)
            if quiet or error is not None:
                status = repr(error) if error is not None else future.result()["status"]
                progress.print(f"{number} of {len(chosen)}: {job.technique} on {one.target.name}: {status}")
    if failures:
        raise failures[0]


@dataclass(frozen=True)
class Family:
    """What acceptance and precision are told of; members: (checkpoint, parameters, tokens) by cell/branch."""

    suite: str
    members: dict[str, tuple[Path, int, int]]
    text: str
    device: str
    precision: tuple[str, ...]

    @classmethod
    def of(cls, measurements: Measurements, progress: "Console") -> "Family":
        """The suite's branches but those that diverged, which are named."""
        suite, project = measurements.params.suite, measurements.project
        members = {}
        for cell, checkpoint, record in measurements.branches(suite):
            name = f"{cell}/{record['branch']}"
            if record["status"] == "done":
                members[name] = (checkpoint_of(checkpoint.parent), record["params_non_embedding"], record["tokens"])
            else:
                progress.print(f"{suite}/{name} diverged: it is left out of acceptance and precision")
        data = DATA if project.suite(suite).data == "text" else ABILITIES
        return cls(
            suite, members, measurements.text(data), project.params.executor.device, measurements.params.precision
        )

    def rows(self, part: Literal["acceptance", "precision"]) -> list[dict[str, Any]]:
        """Acceptance of every smaller cell as a drafter of every larger, or precision of every branch."""
        import torch

        from evals.inference.acceptance_table import acceptance_rows
        from evals.inference.precision_table import Member, precision_rows

        torch.set_num_threads(1)
        members = [Member(*about) for about in self.members.values()]
        names = {str(member.checkpoint): name for name, member in zip(self.members, members, strict=True)}
        if part == "acceptance":
            longest = {name.partition("/")[0]: member for name, member in zip(self.members, members, strict=True)}
            found = acceptance_rows(list(longest.values()), self.text, self.device)
            rows = [{"suite": self.suite, **row} for row in found]
        else:
            rows = precision_rows(members, self.text, self.precision, self.device)
        for row in rows:
            for key in row.keys() & {"model", "target", "drafter"}:
                row[key] = names[row[key]]
        return rows


def measure_machine(job: Job, workers: int) -> dict[str, Any]:
    """What holds for all rows: `ceilings`, and `control`, the same work on both sides of a contest.

    Both are measured as rows are, with the other workers at the same work. A ceiling is the least of the workers'. Of
    alarms and of what is detectable the worst of them counts, `by_worker` has them all.
    """
    from evals.inference.process import ceilings_of, control_of

    found = [vars(future.result()) for _, future in side_by_side(ceilings_of, [job.device] * workers, workers)]
    flops = {name: min(one["flops_per_second"][name] for one in found) for name in found[0]["flops_per_second"]}
    ceilings = {"bytes_per_second": min(one["bytes_per_second"] for one in found), "flops_per_second": flops}
    controls = [future.result() for _, future in side_by_side(control_of, [job] * workers, workers)]
    worst = {
        name: max(one[name] for one in controls) for name in ("repetitions", "pairs", "false_alarms", "detectable")
    }
    return {"ceilings": ceilings, "control": {**worst, "by_worker": controls}}


def kept_machine(path: Path, measurements: Measurements, workers: int) -> dict[str, Any]:
    """The machine as it was when rows of this code on this machine, with as many pairs, were first measured."""
    identity = f"{measurements.by} {measurements.params.pairs}"
    if path.exists() and (kept := store.read_json(path))["identity"] == identity:
        return kept["machine"]
    told = measure_machine(measurements.rows[0].job, workers)
    store.write_json(path, {"identity": identity, "machine": told})
    return told


def workers_on(device: str, workers: int) -> int:
    """Processes that measure side by side: an accelerator is one's own."""
    return workers if device == "cpu" else 1


def print_inference(found: dict[str, Any]) -> None:
    """A row a technique and model, then the laws."""
    from rich.console import Console

    from experiments.bench.inference import show

    show(found, Console(soft_wrap=True, highlight=False))


def report_sections() -> "list[Section]":
    """What the report says of the project's own rows, and of those that were measured whole and committed."""
    from analysis.pages_inference import inference_sections

    own = read_inference()
    sections = [] if own is None else inference_sections(own)
    return sections + kept_sections(INFERENCE.name, "inference", inference_sections)


def status_lines(found: dict[str, Any]) -> list[str]:
    """Rows by status, then every technique in a line: of the largest trained model, the first cell of the grid."""
    counts = Counter(row["status"] for row in found["rows"])
    lines = [f"inference: {', '.join(f'{count} {status}' for status, count in counts.items())}"]
    told = [row for row in found["rows"] if row["status"] == "ok" and row["trained"]]
    for name in dict.fromkeys(row["technique"] for row in told):
        row = max((row for row in told if row["technique"] == name), key=lambda row: row["params"])
        low, high = row["ci95"]
        lines.append(f"{name}: {row['ratio']:.2f} times {row['against']} ({low:.2f} to {high:.2f}) on {row['model']}")
    return lines


def is_of_present_grid(project: Project) -> bool:
    """Whether inference.json is of the checkpoints that params.yaml names, as they are now; random weights aside."""
    found = read_inference()
    if found is None or project.params.inference is None:
        return False
    try:
        rows = Measurements(project, project.params.inference, dry_run=True).rows
    except ValueError:  # not trained, or no text
        return False
    asked = {one.target.name: one.target.digest[:16] for one in rows if one.target.name != RANDOM}
    return asked == {name: digest for name, digest in found["inputs"].items() if name != RANDOM}


def read_inference() -> dict[str, Any] | None:
    """What the stage wrote, None where it has not run."""
    return store.read_json(INFERENCE) if INFERENCE.exists() else None
