"""`scalelab status --watch`: the sweeps while they run, until nothing runs any more."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table

from experiments.progress import SweepProgress, clock, running_text
from experiments.project import ABILITY_TOKENS, DATA, PARAMS, WORLD_TOKENS, Project
from experiments.running import Holder, growing, holders, made_by_dvc
from experiments.standing import Sweeps
from sweeps.train_job import CellJob

LOOK_EVERY_SECONDS = 2.0
# Between two stages of DVC nothing runs for a moment.
LOOKS_BEFORE_THE_END = 3
READ = (PARAMS, *(folder / "manifest.json" for folder in (DATA, ABILITY_TOKENS, WORLD_TOKENS)))


@dataclass(frozen=True)
class Row:
    """A suite at this moment: branches by state, what grows and its loss, share of the work done, seconds left.

    The last two are counted from when it was first seen to run, None before.
    """

    suite: str
    states: Counter[str]
    growing: dict[str, float | None]
    done: float | None
    seconds_left: float | None

    @property
    def line(self) -> str:
        """All of it but what changes at every look."""
        counts = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        return f"{self.suite}: {counts}" + f"; now {', '.join(sorted(self.growing))}" * bool(self.growing)


@dataclass(frozen=True)
class Look:
    """What was seen at one moment."""

    rows: list[Row]
    unknown: dict[str, str]
    holders: list[Holder]
    made_by_dvc: list[str]

    @property
    def is_idle(self) -> bool:
        """Whether nothing works on the project."""
        return not self.holders and not self.made_by_dvc


class Watch:
    """Looks again and again at the project of the current directory, cheaply: training wants the cores.

    Params and manifests are read anew when their files change, as when DVC has built the corpus.
    """

    def __init__(self) -> None:
        self.progress: dict[str, SweepProgress] = {}
        self.read: tuple[list[int | None], Sweeps] | None = None

    def _sweeps(self) -> Sweeps:
        stamps = [path.stat().st_mtime_ns if path.exists() else None for path in READ]
        if self.read is None or self.read[0] != stamps:
            self.read = (stamps, Sweeps.of(Project.here()))
        return self.read[1]

    def look(self) -> Look:
        """What is there now."""
        sweeps, at_work = self._sweeps(), holders()
        busy = {holder.what for holder in at_work}
        rows = [self._row(name, jobs, name in busy) for name, jobs in sweeps.jobs.items()]
        return Look(rows, sweeps.unknown, at_work, made_by_dvc())

    def _row(self, name: str, jobs: list[CellJob], is_running: bool) -> Row:
        states = Counter(job.state(steps) for job in jobs for steps in job.cell.steps)
        if not is_running:
            self.progress.pop(name, None)
            return Row(name, states, {}, None, None)
        if name not in self.progress:
            pending = [job for job in jobs if job.pending_steps()]
            self.progress[name] = SweepProgress(pending, Console(quiet=True))
        now = self.progress[name].measure()
        return Row(name, states, growing(jobs), now.done, now.seconds_left)


def watch() -> None:
    """Shows the project until nothing runs any more, or Ctrl-C: a table, or a line a change without a terminal."""
    console = Console()
    try:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                for look in looks():
                    live.update(table(look), refresh=True)
        else:
            told: list[str] = []
            for look in looks():
                lines = lines_of(look)
                for line in lines:
                    if line not in told:
                        print(line, flush=True)
                told = lines
    except KeyboardInterrupt:
        return
    print("nothing runs any more: `scalelab status` says what was found")


def looks() -> Iterator[Look]:
    """A look every LOOK_EVERY_SECONDS, until nothing ran in several of them."""
    watching, idle = Watch(), 0
    while idle < LOOKS_BEFORE_THE_END:
        look = watching.look()
        idle = idle + 1 if look.is_idle else 0
        yield look
        time.sleep(LOOK_EVERY_SECONDS)


def lines_of(look: Look) -> list[str]:
    """A line a suite, then what else runs."""
    return [
        *(row.line for row in look.rows),
        *(f"{name}: {reason}" for name, reason in look.unknown.items()),
        *(f"running: {holder.what}" for holder in look.holders),
        *(f"dvc is making {path}" for path in look.made_by_dvc),
    ]


def table(look: Look) -> Table:
    """A row a suite."""
    made = Table("suite", "done", "running", "failed", "stale", "pending", "trained", "time left", title="scalelab")
    for row in look.rows:
        settled = row.states["done"] + row.states["diverged"]
        counts = [f"{settled} of {row.states.total()}", "\n".join(map(running_text, row.growing.items()))]
        counts += [str(row.states[state] or "") for state in ("failed", "stale", "pending")]
        counts += ["" if row.done is None else f"{row.done:.0%}"]
        left = "estimating" if row.seconds_left is None else clock(row.seconds_left)
        made.add_row(row.suite, *counts, left if row.done is not None else "")
    for name, reason in look.unknown.items():
        made.add_row(name, reason)
    others = [holder.what for holder in look.holders if holder.what not in {row.suite for row in look.rows}]
    made.caption = "; ".join([*(f"{what} runs" for what in others), *(f"dvc makes {p}" for p in look.made_by_dvc)])
    return made
