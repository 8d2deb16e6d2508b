"""The sweep on the screen: what counts as trained when there is something of before."""

import io
import json
import math
import shutil
import time
from dataclasses import replace

from rich.console import Console

from experiments.progress import SweepProgress
from sweeps import store
from sweeps.train_job import CellJob

# Branches of 100 and 200 steps: 160 of the trunk, cooldowns of 20 and 40. A log counts from its first line.
STEPS_ASKED = 160 + 20 + 40


def told(progress: SweepProgress) -> str:
    """The share that the next line says is trained."""
    text = io.StringIO()
    progress.console, progress.printed = Console(file=text), -math.inf
    progress.tick()
    return text.getvalue().split()[0]


def percent(steps: int) -> str:
    return f"{steps / STEPS_ASKED:.0%}"


def test_stale_cells_start_from_nothing(writer, tmp_path) -> None:
    before = writer.sweep(1)
    writer.write(before)
    after = writer.sweep(1, recipe=replace(writer.recipe, code_digest="new"))
    (cell,) = after.cells
    progress = SweepProgress([CellJob(cell, after.recipe, tmp_path, writer.runs, "abc")], Console())
    assert told(progress) == "0%"
    shutil.rmtree(store.cell_dir(writer.runs, cell) / store.TRUNK)  # As the worker does.
    assert told(progress) == "0%"
    writer.write_trunk(after, cell, 60)
    assert told(progress) == percent(40)
    writer.write_trunk(after, cell, 160)
    writer.write_branch(after, cell, 200)
    assert told(progress) == percent(140 + 20)
    writer.write_branch(after, cell, 100)
    assert told(progress) == "100%"


def test_what_a_killed_run_left_of_a_branch_does_not_count(writer, tmp_path) -> None:
    sweep = writer.sweep(1)
    (cell,) = sweep.cells
    writer.write_trunk(sweep, cell, 160)
    part = store.cell_dir(writer.runs, cell) / ".t204800.part"
    part.mkdir()
    lines = [{"step": step, "time": 1_000} for step in (180, 200)]
    (part / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress = SweepProgress([CellJob(cell, sweep.recipe, tmp_path, writer.runs, "abc")], Console())
    assert told(progress) == "0%"
    shutil.rmtree(part)  # As the worker does.
    assert told(progress) == "0%"
    part.mkdir()
    now = [{**line, "time": round(time.time() * 1000) + 1} for line in lines]
    (part / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in now))
    assert told(progress) == percent(20)
