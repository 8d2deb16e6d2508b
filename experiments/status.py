"""`scalelab status`: where every suite stands, what the results say, and how to look at them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import longcontext_report, scores
from experiments.findings import law_sentence
from experiments.inference import read_inference, status_lines
from experiments.law import LAW, heldout_sentence
from experiments.project import REPORT, Project
from experiments.running import growing, holders, made_by_dvc
from experiments.saturation import SATURATION, saturation_sentence
from experiments.standing import OTHER, UNTOLD, Sweeps, standings
from sweeps import store
from sweeps.repair import repairs
from sweeps.train_job import CellJob

LOG_LINES = 3


def read_status() -> dict[str, Any]:
    """Branch counts by suite and state, what runs, what failed and why, what is not whole; the results on disk."""
    project = Project.here()
    sweeps, at_work = Sweeps.of(project), holders()
    busy = {holder.what for holder in at_work}
    still = [job for name, jobs in sweeps.jobs.items() if name not in busy for job in jobs]
    failed = [job for jobs in sweeps.jobs.values() for job in jobs if failure(job)]
    return {
        "suites": {name: suite_counts(sweeps, name) for name in project.params.suites},
        "running": [asdict(holder) for holder in at_work],
        "growing": {name: growing(sweeps.jobs[name]) for name in sweeps.jobs if name in busy},
        "made_by_dvc": made_by_dvc(),
        "failures": {f"{job.cell.suite}/{job.cell.name}": failure(job) for job in failed},
        "logs": {f"{job.cell.suite}/{job.cell.name}": log_of(job) for job in failed},
        "repairs": repairs(still),
        "results": standings(project, sweeps),
        **read_results(),
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


def read_results() -> dict[str, dict[str, Any] | None]:
    """What each question's file says in short."""
    contexts = longcontext_report.read_longcontext()
    return {
        "law": _shown(_read(LAW), "formula", "params", "exponents", "diagnostics", "heldout", "num_points"),
        "saturation": _shown(_read(SATURATION), "sizes", "law"),
        "emergence": _shown(_read(scores.EMERGENCE), "rows"),
        "inference": _shown(read_inference(), "rows", "control"),
        "longcontext": _shown(contexts, "rows", "contrasts", "model"),
    }


def _shown(found: dict[str, Any] | None, *names: str) -> dict[str, Any] | None:
    return found and {name: found[name] for name in names}


def _read(path: Path) -> dict[str, Any] | None:
    return store.read_json(path) if path.exists() else None


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
        yield f"{UNTOLD}: {', '.join(unknown)}"


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
    yield f"{law_sentence(law)} (nats a token)"
    for finding in law["diagnostics"]:
        yield f"{finding['severity']}: {finding['name']}: {finding['message']}; {finding['remedy']}"
    if law["heldout"]:
        yield heldout_sentence(law["heldout"])
