"""The inference stage: every acceleration on the family's checkpoints, and what changes with scale."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.inference.job import COMPOSITIONS, Job
from evals.inference.params import InferenceParams
from experiments.isolated import isolated, side_by_side
from experiments.measurements import ROWS, Measurement, Measurements, machine
from experiments.project import ABILITIES, DATA, PARAMS, RESULTS, Project
from sweeps import store
from sweeps.distil.job import SUITE as DISTILLED

if TYPE_CHECKING:
    from rich.console import Console

INFERENCE = RESULTS / "inference.json"
SCHEMA_VERSION = 1
# Below runs/, of which the pipeline keeps what is there.
OUTS = (ROWS, DISTILLED, f"{store.EVALUATIONS}/{DISTILLED}")
CONTROL_TOKENS = 8
MAX_STEPS = 64


def own_params(project: Project) -> InferenceParams:
    """Raises ValueError where params.yaml does not ask for it."""
    if project.params.inference is None:
        raise ValueError(f"inference is missing in {PARAMS}: add it, with what is to be measured")
    return project.params.inference


def describe(project: Project) -> str:
    """What would be measured, in a paragraph."""
    params = own_params(project)
    measurements = Measurements(project, params)
    rows = measurements.rows
    pending = [one for one in rows if one.read() is None]
    techniques = Counter(one.job.technique for one in rows)
    models = Counter(one.target.name for one in rows)
    text = (
        f"{len(rows)} rows: {', '.join(techniques)} on {', '.join(models)}; a process each, both sides {params.pairs} "
        f"times in turns, the check first; {len(pending)} to measure"
    )
    if project.params.distillation is not None:
        from experiments.distillation import describe_distillation

        text += f"; distillation: {describe_distillation(project, project.params.distillation)}"
    return text


def own_inference(progress: "Console") -> dict[str, Any]:
    """Measures what is pending and returns what inference.json says."""
    from analysis.inference import analyse

    project = Project.here()
    params = own_params(project)
    measurements = Measurements(project, params)
    rows = measurements.rows
    for folder in OUTS:
        (project.runs / folder).mkdir(parents=True, exist_ok=True)
    workers = project.params.executor.workers
    ceilings, control = measure_machine(rows[0].job, workers)
    measure_all(rows, ceilings, workers, progress)
    told = [(one.job.technique in COMPOSITIONS, one.read()) for one in rows]
    table: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "inputs": {one.target.name: one.target.digest[:16] for one in rows},
        "machine": machine() | vars(ceilings),
        "control": control,
        "rows": [row for composed, row in told if not composed],
        "compositions": [row for composed, row in told if composed],
        "distillation": None,
    }
    progress.print("acceptance and precision over the family ...")
    table |= isolated(over_the_family, *_family(measurements))
    if project.params.distillation is not None:
        from experiments.distillation import run_distillation

        table["distillation"] = run_distillation(project, project.params.distillation, progress)
    return table | analyse(table)


def measure_all(rows: Sequence[Measurement], ceilings: Any, workers: int, progress: "Console") -> None:
    """Measures the pending rows side by side, then one by one those that want the machine for themselves.

    A row whose process fails lets the others finish; then its error is raised.
    """
    from rich.progress import track

    failures: list[BaseException] = []
    pending = [one for one in rows if one.read() is None]
    for alone in (False, True):
        chosen = [one for one in pending if one.alone == alone]
        if not chosen:
            continue
        jobs = {id(one.job): one for one in chosen}
        work = [(one.job, ceilings) for one in chosen]
        done = side_by_side(measure_in_process, work, 1 if alone else workers)
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


def _family(measurements: Measurements) -> tuple[dict[str, tuple[Path, int, int]], str, str, tuple[str, ...]]:
    """What `over_the_family` takes: (checkpoint, parameters, tokens) of every branch of the suite by cell/branch."""
    suite, project = measurements.params.suite, measurements.project
    members = {
        f"{cell}/{record['branch']}": (checkpoint, record["params_non_embedding"], record["tokens"])
        for cell, checkpoint, record in measurements.branches(suite)
    }
    data = DATA if project.suite(suite).data == "text" else ABILITIES
    return members, measurements.text(data), project.params.executor.device, measurements.params.precision


def over_the_family(
    family: dict[str, tuple[Path, int, int]], text: str, device: str, precision: tuple[str, ...]
) -> dict[str, Any]:
    """`acceptance` of every smaller cell as a drafter for every larger, and `precision` of every branch."""
    import torch

    from evals.inference.acceptance_table import acceptance_rows
    from evals.inference.precision_table import Member, precision_rows

    torch.set_num_threads(1)
    members = [Member(*about) for about in family.values()]
    longest = {name.partition("/")[0]: member for name, member in zip(family, members, strict=True)}
    names = {str(member.checkpoint): name for name, member in zip(family, members, strict=True)}
    found = {
        "acceptance": acceptance_rows(list(longest.values()), text, device),
        "precision": precision_rows(members, text, precision, device),
    }
    for row in (*found["acceptance"], *found["precision"]):
        for key in row.keys() & {"model", "target", "drafter"}:
            row[key] = names[row[key]]
    return found


def measure_machine(job: Job, workers: int) -> tuple[Any, dict[str, Any]]:
    """What holds for all rows: the machine's ceilings, and the same work on both sides of a contest.

    The control is measured as rows are, with the other workers at the same work.
    """
    ceilings = isolated(ceilings_of, job.device)
    controls = [future.result() for _, future in side_by_side(control_of, [job] * workers, workers)]
    return ceilings, controls[0]


def ceilings_of(device: str) -> Any:
    """In this process, of one thread."""
    import torch

    from evals.inference.ceilings import measure_ceilings

    torch.set_num_threads(1)
    return measure_ceilings(torch.device(device))


def control_of(job: Job) -> dict[str, Any]:
    """In this process: few tokens, twenty controls of whole rows would take longer than all rows together."""
    from dataclasses import replace

    import torch

    from evals.inference.contest import generated
    from evals.inference.measure import prepare
    from evals.inference.protocol import control

    torch.set_num_threads(1)
    setting = prepare(job)
    work = generated(replace(setting, num_tokens=CONTROL_TOKENS))
    work()
    return control(work, job.num_pairs, setting.model.device)


def measure_in_process(asked: tuple[Job, Any]) -> dict[str, Any]:
    """A row, in this process."""
    import torch

    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = MAX_STEPS  # a compiled step for every number of tokens, of every decoder
    job, ceilings = asked
    if job.technique in COMPOSITIONS:
        from evals.inference.techniques.compositions import compose

        return compose(job)
    from evals.inference.measure import measure

    return measure(job, ceilings)


def print_inference(found: dict[str, Any]) -> None:
    """A row a technique and model, then the laws."""
    from rich.console import Console

    from experiments.bench.inference import show

    show(found, Console(soft_wrap=True, highlight=False))


def status_lines(found: dict[str, Any]) -> list[str]:
    """Rows by status, then the fastest of every technique in a line each."""
    counts = Counter(row["status"] for row in found["rows"])
    lines = [f"inference: {', '.join(f'{count} {status}' for status, count in counts.items())}"]
    told = sorted((row for row in found["rows"] if row["status"] == "ok"), key=lambda row: row["ratio"])
    for name, row in {row["technique"]: row for row in told}.items():
        low, high = row["ci95"]
        lines.append(f"{name}: {row['ratio']:.2f} times {row['against']} ({low:.2f} to {high:.2f}) on {row['model']}")
    return lines


def read_inference() -> dict[str, Any] | None:
    """What the stage wrote, None where it has not run."""
    return store.read_json(INFERENCE) if INFERENCE.exists() else None
