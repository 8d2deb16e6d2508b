"""`scalelab sync`: this project's suites and results, given to the publisher."""

from pathlib import Path

from experiments.law import LAW, POINTS, REPORT
from experiments.project import Project
from experiments.snapshot import Sweep

ARTIFACTS = (POINTS, LAW, REPORT)


def publish(follow: bool, dry_run: bool) -> None:
    """Publishes every suite of params.yaml and prints what was done."""
    from experiments import track

    project = Project.here()
    sweeps = [Sweep(name, project.cells(name), project.recipe(name)) for name in project.params.suites]
    if dry_run:
        print(f"would publish {', '.join(s.suite for s in sweeps)} and {', '.join(map(str, present(ARTIFACTS)))}")
        return
    do = track.follow if follow else track.sync
    done = do(project.runs, sweeps, ARTIFACTS)
    print(f"{done.cells} cells in MLflow, {done.updated} updated now; `make ui` opens it")


def present(paths: tuple[Path, ...]) -> list[Path]:
    """Those of the files that exist."""
    return [path for path in paths if path.exists()]
