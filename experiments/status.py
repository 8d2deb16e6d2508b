"""`scalelab status`: where every suite stands, what the law says, and how to look at it."""

from collections import Counter
from typing import Any

from rich.console import Console

from experiments.law import LAW, REPORT, heldout_sentence
from experiments.project import Project
from sweeps import store


def read_status() -> dict[str, Any]:
    """Branch counts by suite and state; the law and the report if they are there."""
    project = Project.here()
    suites = {
        name: dict(Counter(job.state(steps) for job in project.jobs(name) for steps in job.cell.steps))
        for name in project.params.suites
    }
    failures = {
        f"{record['suite']}/{record['cell']}": record["reason"]
        for name in suites
        for record in store.read_records(project.runs, name)
        if record["status"] == "failed"
    }
    law = store.read_json(LAW) if LAW.exists() else None
    return {
        "suites": suites,
        "failures": failures,
        "law": law and {key: law[key] for key in ("params", "exponents", "heldout")},
        "report": str(REPORT.resolve()) if REPORT.exists() else None,
    }


def print_status(status: dict[str, Any]) -> None:
    """The same on the screen."""
    console = Console(soft_wrap=True, highlight=False)
    for name, states in status["suites"].items():
        console.print(f"{name}: " + ", ".join(f"{count} {state}" for state, count in states.items()))
    for cell, reason in status["failures"].items():
        console.print(f"failed: {cell}: {reason}")
    if status["law"]:
        p = status["law"]["params"]
        console.print(
            f"L = {p['E']:.4g} + {p['A']:.4g}/N^{p['alpha']:.3f} + {p['B']:.4g}/D^{p['beta']:.3f}  "
            "(nats a token; N non-embedding parameters, D tokens)"
        )
        console.print(heldout_sentence(status["law"]))
    if status["report"]:
        console.print(f"report: {status['report']}")
    console.print("MLflow: make ui")
