"""`scalelab status`: where every suite stands, what the law says, and how to look at it."""

from collections import Counter
from typing import Any

from rich.console import Console

from experiments import longcontext, longcontext_report, scores
from experiments.inference import OTHER_RUNS as OTHER_INFERENCE
from experiments.inference import is_of_present_grid as inference_is_current
from experiments.inference import read_inference, status_lines
from experiments.law import LAW, OTHER_RUNS, POINTS, SUITE, heldout_sentence
from experiments.points import is_of_present_grid
from experiments.project import REPORT, Project
from experiments.saturation import OTHER_RUNS as OTHER_SATURATION
from experiments.saturation import POINTS as SATURATION_POINTS
from experiments.saturation import SATURATION, saturation_sentence
from experiments.saturation import SUITE as SATURATION_SUITE
from sweeps import store
from sweeps.train_job import CellJob

SHOWN = ("params", "exponents", "diagnostics", "heldout", "num_points")


def read_status() -> dict[str, Any]:
    """Branch counts by suite and state, why cells failed; the law and the report if they are there."""
    project = Project.here()
    suites: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for name in project.params.suites:
        try:
            jobs = project.jobs(name)
        except ValueError as error:
            suites[name] = {"unknown": str(error)}
        else:
            suites[name] = dict(Counter(job.state(steps) for job in jobs for steps in job.cell.steps))
            failures |= reasons_of_failure(jobs)
    law = store.read_json(LAW) if LAW.exists() else None
    saturation = store.read_json(SATURATION) if SATURATION.exists() else None
    emergence = store.read_json(scores.EMERGENCE) if scores.EMERGENCE.exists() else None
    inference = read_inference()
    contexts = longcontext_report.read_longcontext()
    return {
        "suites": suites,
        "failures": failures,
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
        "report": str(REPORT.resolve()) if REPORT.exists() else None,
    }


def reasons_of_failure(jobs: list[CellJob]) -> dict[str, str]:
    """By suite/cell, what ended those whose branches wait for another try; a settled or stale branch is none."""
    found = {}
    for job in jobs:
        for steps in job.cell.steps:
            record = store.read_record(store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens))
            if record is not None and job.state(steps) == "failed":
                found[f"{job.cell.suite}/{job.cell.name}"] = record["reason"]
    return found


def print_status(status: dict[str, Any]) -> None:
    """The same on the screen."""
    console = Console(soft_wrap=True, highlight=False)
    for name, states in status["suites"].items():
        console.print(f"{name}: " + (states.get("unknown") or ", ".join(f"{n} {state}" for state, n in states.items())))
    for cell, reason in status["failures"].items():
        console.print(f"failed: {cell}: {reason}")
    if status["law"]:
        if not status["law"]["current"]:
            console.print(OTHER_RUNS)
        p = status["law"]["params"]
        console.print(
            f"L = {p['E']:.4g} + {p['A']:.4g}/N^{p['alpha']:.3f} + {p['B']:.4g}/D^{p['beta']:.3f}  "
            "(nats a token; N non-embedding parameters, D tokens)"
        )
        for finding in status["law"]["diagnostics"]:
            console.print(f"{finding['severity']}: {finding['name']}: {finding['message']}; {finding['remedy']}")
        if status["law"]["heldout"]:
            console.print(heldout_sentence(status["law"]["heldout"]))
    if status["saturation"]:
        if not status["saturation"]["current"]:
            console.print(OTHER_SATURATION)
        for size in status["saturation"]["sizes"]:
            console.print(saturation_sentence(size))
    if status["emergence"]:
        if not status["emergence"]["current"]:
            console.print(scores.OTHER_RUNS)
        for line in scores.status_lines(status["emergence"]):
            console.print(line)
    if status["inference"]:
        if not status["inference"]["current"]:
            console.print(OTHER_INFERENCE)
        for line in status_lines(status["inference"]):
            console.print(line)
    if status["longcontext"]:
        if not status["longcontext"]["current"]:
            console.print(longcontext_report.OTHER_RUNS)
        for line in longcontext_report.status_lines(status["longcontext"]):
            console.print(line)
    if status["report"]:
        console.print(f"report: {status['report']}")
    console.print("MLflow: make ui")
