"""`scalelab sync`: this project's suites and results, given to the publisher."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.check.keep import kept_results, publish_checks
from experiments.inference import INFERENCE
from experiments.law import LAW, POINTS
from experiments.longcontext_report import LONGCONTEXT
from experiments.mlflow_store import store_errors
from experiments.project import CACHE, REPORT, Project
from experiments.saturation import POINTS as SATURATION_POINTS
from experiments.saturation import SATURATION
from experiments.scores import EMERGENCE, SCORES
from experiments.snapshot import Sweep
from experiments.standing import Sweeps

if TYPE_CHECKING:
    from experiments.track import Told

ARTIFACTS = (POINTS, LAW, SATURATION_POINTS, SATURATION, SCORES, EMERGENCE, INFERENCE, LONGCONTEXT, REPORT)


def publish(follow: bool, dry_run: bool) -> None:
    """Publishes every suite of params.yaml and prints what was done."""
    from experiments import track

    project = Project.here()
    unknown = Sweeps.of(project).unknown
    if len(unknown) == len(project.params.suites):
        raise ValueError(next(iter(unknown.values())))
    for name, reason in unknown.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    names = [name for name in project.params.suites if name not in unknown]
    sweeps = [Sweep(name, project.cells(name), project.recipe(name)) for name in names]
    if dry_run:
        checks = f", {len(kept_results(project.runs))} checks"
        print(
            f"would publish {', '.join(s.suite for s in sweeps)}{checks} and {', '.join(map(str, present(ARTIFACTS)))}"
        )
        return
    with store_errors():
        if follow:
            over = Watch(list(project.params.suites)).is_over
            done = track.follow(project.runs, sweeps, ARTIFACTS, told=results, training_is_over=over)
        else:
            done = track.sync(project.runs, sweeps, ARTIFACTS, told=results)
        publish_checks(project.runs)
    print(f"{done.cells} cells in MLflow, {done.updated} updated now; `make ui` opens it")


def results() -> "Told":
    """What the results on disk say, for the runs that show it."""
    from experiments.findings import QUESTIONS, findings, shown_of
    from experiments.track import Told

    return Told({name: shown_of(name) for name in QUESTIONS}, findings(), (REPORT,))


class Watch:
    """Training is over once it was seen to run and runs no more; before that it is waited for."""

    def __init__(self, suites: list[str]) -> None:
        self.locks = [CACHE / f"{suite}.lock" for suite in suites]
        self.seen = False

    def is_over(self) -> bool:
        """Looks at the locks that `scalelab train` holds."""
        from experiments.locks import is_held

        running = any(is_held(lock) for lock in self.locks)
        self.seen = self.seen or running
        return self.seen and not running


def present(paths: tuple[Path, ...]) -> list[Path]:
    """Those of the files that exist."""
    return [path for path in paths if path.exists()]
