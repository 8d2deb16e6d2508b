"""The sweep on the screen: tokens trained, loss of what runs, time left."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sweeps import store
from sweeps.cost import steps_to_train
from sweeps.train_job import CellJob

# Where there is no terminal (a log, DVC's output) a line now and then says as much as a bar.
LINE_EVERY_SECONDS = 30.0
BAR_EVERY_SECONDS = 3.0


@dataclass(frozen=True)
class Standing:
    """Share of the work done, seconds left (None while that cannot be told) and the last loss of what trains."""

    done: float
    seconds_left: float | None
    losses: dict[str, float | None]


class SweepProgress:
    """Follows the files that workers write; `tick` redraws, or prints a line where there is no terminal."""

    def __init__(self, jobs: list[CellJob], console: Console) -> None:
        self.jobs, self.console = jobs, console
        self.parts_before = {part: lines for job in jobs for part, lines in _parts(job)}
        self.steps_asked = {job.directory: sum(steps_to_train(job).values()) for job in jobs}
        self.steps_before = {job.directory: self._steps_on_disk(job) for job in jobs}
        self.began = self.printed = time.monotonic()
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"), TimeElapsedColumn(),
            console=console,
        )  # fmt: skip
        self.task = self.bar.add_task("training", total=1.0, left="")

    def tick(self) -> None:
        """Shows where the sweep stands, if it is time to: reading the files costs the workers' cores."""
        pause = BAR_EVERY_SECONDS if self.console.is_terminal else LINE_EVERY_SECONDS
        if time.monotonic() - self.printed < pause:
            return
        self.printed = time.monotonic()
        now = self.measure()
        text = "estimating" if now.seconds_left is None else f"{clock(now.seconds_left)} left"
        running = ", ".join(map(running_text, now.losses.items()))
        if self.console.is_terminal:
            self.bar.update(self.task, completed=now.done, left=text, description=running or "starting")
        else:
            self.console.print(f"{now.done:4.0%} trained, {text}: {running}")

    def measure(self) -> Standing:
        """How far it has come since this object was made; work is steps times FLOPs a step to the power 0.8.

        Small models are bound by overhead and large ones by arithmetic; between widths 16 and 128 the seconds of a
        step grow with about that power of its FLOPs.
        """
        total = done = 0.0
        losses = {}
        for job in self.jobs:
            weight = job.cell.shape.flops_per_token(job.recipe.vocab_size, 1) ** 0.8
            asked = self.steps_asked[job.directory]
            trained = min(asked, self._steps_on_disk(job) - self.steps_before[job.directory])
            if not job.pending_steps():
                trained = asked
            elif trained:
                losses[job.cell.name] = last_loss(job)
            total += weight * asked
            done += weight * trained
        elapsed = time.monotonic() - self.began
        left = None if done < 0.01 * total or not total else elapsed * (total - done) / done
        return Standing(done / total if total else 1.0, left, losses)

    def _steps_on_disk(self, job: CellJob) -> int:
        """Steps logged under the job's recipe by the trunk, by settled branches and by the branch under way.

        What is stale, and what a killed run left of a branch, is not counted: the worker deletes it. That a part is
        another than before its first line tells, whatever the clock says.
        """
        settled = [steps for steps in job.cell.steps if store.is_settled(job.state(steps))]
        batch_tokens = job.recipe.training.batch_tokens
        streams = [store.branch_dir(job.runs, job.cell, steps * batch_tokens) for steps in settled]
        if store.trunk_is_current(job.runs, job.cell, job.recipe):
            streams.append(job.directory / store.TRUNK)
        steps = sum(_steps_of(store.read_metrics(stream)) for stream in streams)
        for part, lines in _parts(job):
            before = self.parts_before.get(part, [])
            is_the_same = lines[:1] == before[:1]
            steps += _steps_of(lines) - _steps_of(before) * is_the_same
        return steps


def _parts(job: CellJob) -> list[tuple[Path, list[dict[str, Any]]]]:
    """The branches under way, or left half done, with their lines."""
    return [(part, store.read_metrics(part)) for part in job.directory.glob(".t*.part")]


def _steps_of(lines: list[dict[str, Any]]) -> int:
    return lines[-1]["step"] - lines[0]["step"] if lines else 0


def last_loss(job: CellJob) -> float | None:
    """Of the trunk's last line; None before there is one."""
    lines = store.read_metrics(job.directory / store.TRUNK)
    return lines[-1]["loss"] if lines else None


def running_text(cell: tuple[str, float | None]) -> str:
    """Its name and the loss of its trunk."""
    name, loss = cell
    return name if loss is None else f"{name} {loss:.3f}"


def clock(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextmanager
def sweep_progress(jobs: list[CellJob]) -> Iterator[SweepProgress]:
    """Shows the sweep on standard error while the block runs."""
    progress = SweepProgress(jobs, Console(file=sys.stderr))
    if progress.console.is_terminal:
        with progress.bar:
            yield progress
    else:
        yield progress
