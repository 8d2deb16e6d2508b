"""The sweep on the screen: tokens trained, loss of what runs, time left."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sweeps import store
from sweeps.cost import steps_to_train
from sweeps.train_job import CellJob

# Where there is no terminal (a log, DVC's output) a line now and then says as much as a bar.
LINE_EVERY_SECONDS = 30.0
BAR_EVERY_SECONDS = 3.0


class SweepProgress:
    """Follows the files that workers write; `tick` redraws, or prints a line where there is no terminal."""

    def __init__(self, jobs: list[CellJob], console: Console) -> None:
        self.jobs, self.console = jobs, console
        self.began_unix_ms = time.time() * 1000
        self.steps_asked = {job.cell.name: sum(steps_to_train(job).values()) for job in jobs}
        self.steps_before = {job.cell.name: self._steps_on_disk(job) for job in jobs}
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
        done, left, running = self._measure()
        text = f"{left} left" if left else "estimating"
        if self.console.is_terminal:
            self.bar.update(self.task, completed=done, left=text, description=running or "starting")
        else:
            self.console.print(f"{done:4.0%} trained, {text}: {running}")

    def _measure(self) -> tuple[float, str, str]:
        """Share of the work done, time left and what runs; work is steps times FLOPs a step to the power 0.8.

        Small models are bound by overhead and large ones by arithmetic; between widths 16 and 128 the seconds of a
        step grow with about that power of its FLOPs.
        """
        total = done = 0.0
        running = []
        for job in self.jobs:
            weight = job.cell.shape.flops_per_token(job.recipe.vocab_size, 1) ** 0.8
            name, asked = job.cell.name, self.steps_asked[job.cell.name]
            trained = min(asked, self._steps_on_disk(job) - self.steps_before[name])
            if not job.pending_steps():
                trained = asked
            elif trained:
                lines = store.read_metrics(job.directory / store.TRUNK)
                running.append(f"{name} {lines[-1]['loss']:.3f}" if lines else name)
            total += weight * asked
            done += weight * trained
        elapsed = time.monotonic() - self.began
        left = "" if done < 0.01 * total else _clock(elapsed * (total - done) / done)
        return done / total if total else 1.0, left, ", ".join(running)

    def _steps_on_disk(self, job: CellJob) -> int:
        """Steps logged under the job's recipe by the trunk, by settled branches and by the branch under way.

        What is stale, and what a killed run left of a branch, is not counted: the worker deletes it.
        """
        settled = [steps for steps in job.cell.steps if store.is_settled(job.state(steps))]
        batch_tokens = job.recipe.training.batch_tokens
        streams = [store.branch_dir(job.runs, job.cell, steps * batch_tokens) for steps in settled]
        if store.trunk_is_current(job.runs, job.cell, job.recipe):
            streams.append(job.directory / store.TRUNK)
        logs = [store.read_metrics(stream) for stream in streams]
        parts = [store.read_metrics(part) for part in job.directory.glob(".t*.part")]
        logs += [lines for lines in parts if lines and lines[0]["time"] >= self.began_unix_ms]
        return sum(lines[-1]["step"] - lines[0]["step"] for lines in logs if lines)


def _clock(seconds: float) -> str:
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
