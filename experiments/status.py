"""`scalelab status`: where every suite stands, what the results say, and how to look at them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import longcontext, longcontext_report, scores
from experiments.inference import OTHER_RUNS as OTHER_INFERENCE
from experiments.inference import is_of_present_grid as inference_is_current
from experiments.inference import read_inference, status_lines
from experiments.law import LAW, OTHER_RUNS, POINTS, SUITE, heldout_sentence
from experiments.points import is_of_present_grid
from experiments.project import REPORT, Project
from experiments.running import growing, holders, made_by_dvc
from experiments.saturation import OTHER_RUNS as OTHER_SATURATION
from experiments.saturation import POINTS as SATURATION_POINTS
from experiments.saturation import SATURATION, saturation_sentence
from experiments.saturation import SUITE as SATURATION_SUITE
from sweeps import store
from sweeps.repair import repairs
from sweeps.train_job import CellJob

SHOWN = ("params", "exponents", "diagnostics", "heldout", "num_points")
OTHER = {
    "law": OTHER_RUNS,
    "saturation": OTHER_SATURATION,
    "emergence": scores.OTHER_RUNS,
    "inference": OTHER_INFERENCE,
    "longcontext": longcontext_report.OTHER_RUNS,
}
LOG_LINES = 3


@dataclass(frozen=True)
class Sweeps:
    """The suites of params.yaml whose data are there, and why the others cannot be told."""

    jobs: dict[str, list[CellJob]]
    unknown: dict[str, str]

    @staticmethod
    def of(project: Project) -> "Sweeps":
        """Every suite of the project."""
        jobs, unknown = {}, {}
        for name in project.params.suites:
            try:
                jobs[name] = project.jobs(name)
            except ValueError as error:
                unknown[name] = str(error)
        return Sweeps(jobs, unknown)


def read_status() -> dict[str, Any]:
    """Branch counts by suite and state, what runs, what failed and why, what is not whole; the results on disk."""
    project = Project.here()
    sweeps, at_work = Sweeps.of(project), holders()
    busy = {holder.what for holder in at_work}
    still = [job for name, jobs in sweeps.jobs.items() if name not in busy for job in jobs]
    failed = [job for jobs in sweeps.jobs.values() for job in jobs if failure(job)]
    found = read_results(project)
    return {
        "suites": {name: suite_counts(sweeps, name) for name in project.params.suites},
        "running": [asdict(holder) for holder in at_work],
        "growing": {name: growing(sweeps.jobs[name]) for name in sweeps.jobs if name in busy},
        "made_by_dvc": made_by_dvc(),
        "failures": {f"{job.cell.suite}/{job.cell.name}": failure(job) for job in failed},
        "logs": {f"{job.cell.suite}/{job.cell.name}": log_of(job) for job in failed},
        "repairs": repairs(still),
        "results": {name: standing(name, found[name], sweeps) for name in OTHER},
        **found,
        "report": str(REPORT.resolve()) if REPORT.exists() else None,
    }


def suite_counts(sweeps: Sweeps, name: str) -> dict[str, Any]:
    """Branches by state, or why that cannot be told."""
    if name in sweeps.unknown:
        return {"unknown": sweeps.unknown[name]}
    return dict(Counter(job.state(steps) for job in sweeps.jobs[name] for steps in job.cell.steps))


def failure(job: CellJob) -> str | None:
    """What ended the cell if its branches wait for another try; a settled or stale branch tells nothing."""
    reason = None
    for steps in job.cell.steps:
        record = store.read_record(store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens))
        if record is not None and job.state(steps) == "failed":
            reason = record["reason"]
    return reason


def log_of(job: CellJob) -> dict[str, Any]:
    """Where the traceback of a failed cell lies, and how it ends."""
    path = job.directory / "error.log"
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return {"path": str(path), "last": lines[-LOG_LINES:]}


def read_results(project: Project) -> dict[str, dict[str, Any] | None]:
    """What each question's file says in short, and whether it is of the runs that params.yaml asks for."""
    law, saturation = _read(LAW), _read(SATURATION)
    emergence, inference, contexts = _read(scores.EMERGENCE), read_inference(), longcontext_report.read_longcontext()
    return {
        "law": law and {key: law[key] for key in SHOWN} | {"current": is_of_present_grid(project, SUITE, POINTS)},
        "saturation": saturation
        and {
            "sizes": saturation["sizes"],
            "law": saturation["law"],
            "current": is_of_present_grid(project, SATURATION_SUITE, SATURATION_POINTS),
        },
        "emergence": emergence
        and {"rows": emergence["rows"], "current": is_of_present_grid(project, scores.SUITE, scores.SCORES)},
        "inference": inference
        and {"rows": inference["rows"], "control": inference["control"], "current": inference_is_current(project)},
        "longcontext": contexts
        and {
            **{key: contexts[key] for key in ("rows", "contrasts", "model")},
            "current": longcontext.is_of_present_grid(project),
        },
    }


def _read(path: Path) -> dict[str, Any] | None:
    return store.read_json(path) if path.exists() else None


def standing(name: str, found: dict[str, Any] | None, sweeps: Sweeps) -> str:
    """missing, current, of other runs; or unknown, where the data that its runs are compared by are not there."""
    if found is None:
        return "missing"
    if found["current"]:
        return "current"
    suite = found["model"]["name"].partition("/")[0] if name == "longcontext" else name
    return "unknown" if suite in sweeps.unknown else "of other runs"


def print_status(status: dict[str, Any]) -> None:
    """The same on the screen."""
    console = Console(soft_wrap=True, highlight=False)
    for lines in (_suite_lines(status), _trouble_lines(status), _result_lines(status)):
        for line in lines:
            console.print(line, markup=False)
    if status["report"]:
        console.print(f"report: {status['report']}")
    console.print("MLflow: make ui")


def _suite_lines(status: dict[str, Any]) -> Iterator[str]:
    """A line a suite, one for all that lack the same; then what runs."""
    lacking: dict[str, list[str]] = {}
    for name, states in status["suites"].items():
        if "unknown" in states:
            lacking.setdefault(states["unknown"], []).append(name)
            continue
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        grows = ", ".join(status["growing"].get(name, ()))
        yield f"{name}: {counts}" + f"; now {grows}" * bool(grows)
    for reason, names in lacking.items():
        yield f"{', '.join(names)}: {reason}"
    for holder in status["running"]:
        process = f" (process {holder['pid']}: {holder['command']})" * (holder["pid"] is not None)
        yield f"running: {holder['what']}{process}; `scalelab status --watch` follows it"
    if status["made_by_dvc"]:
        yield f"dvc is making {', '.join(status['made_by_dvc'])}"


def _trouble_lines(status: dict[str, Any]) -> Iterator[str]:
    for cell, reason in status["failures"].items():
        yield f"failed: {cell}: {reason}"
        log = status["logs"][cell]
        if log["last"]:
            yield f"  {log['path']} ends:"
            yield from (f"    {line}" for line in log["last"])
    yield from (f"to repair: {line}" for line in status["repairs"])
    unknown = [name for name, is_of in status["results"].items() if is_of == "unknown"]
    if unknown:
        yield f"whether these results are of the runs that params.yaml asks for cannot be told: {', '.join(unknown)}"


def _result_lines(status: dict[str, Any]) -> Iterator[str]:
    """What each question found, under a warning where it is of other runs."""
    says = {
        "law": _law_lines,
        "saturation": lambda found: map(saturation_sentence, found["sizes"]),
        "emergence": scores.status_lines,
        "inference": status_lines,
        "longcontext": longcontext_report.status_lines,
    }
    for name, lines_of in says.items():
        if status[name]:
            if status["results"][name] == "of other runs":
                yield OTHER[name]
            yield from lines_of(status[name])


def _law_lines(law: dict[str, Any]) -> Iterator[str]:
    p = law["params"]
    yield (
        f"L = {p['E']:.4g} + {p['A']:.4g}/N^{p['alpha']:.3f} + {p['B']:.4g}/D^{p['beta']:.3f}  "
        "(nats a token; N non-embedding parameters, D tokens)"
    )
    for finding in law["diagnostics"]:
        yield f"{finding['severity']}: {finding['name']}: {finding['message']}; {finding['remedy']}"
    if law["heldout"]:
        yield heldout_sentence(law["heldout"])
