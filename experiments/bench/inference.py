"""`scalelab bench inference`: every acceleration on one checkpoint, a process each; no speed without its check."""

import json
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evals.inference.job import TECHNIQUES, Job
from experiments.launch import worker_pool
from experiments.project import COMPILE_CACHE, DATA, git_revision

CONTROL_TOKENS = 8
MAX_STEPS = 64
TOLD = (
    "acceptance_length",
    "foreseen_ratio",
    "hit_rate",
    "log_perplexity_delta",
    "bytes_saved",
)  # figures of a row that the screen has room for


@dataclass(frozen=True)
class InferenceBench:
    """What is measured on which checkpoint."""

    model: Path
    drafter: Path | None
    techniques: tuple[str, ...]
    text: Path | None
    prompt_tokens: int = 64
    new_tokens: int = 64
    batch: int = 4
    num_pairs: int = 9
    device: str = "cpu"


def describe(bench: InferenceBench) -> str:
    """One paragraph: what would run."""
    return (
        f"{', '.join(bench.techniques) or 'every technique'} on {bench.model}"
        f"{f', drafts by {bench.drafter}' if bench.drafter else ''}: {bench.batch} prompts of {bench.prompt_tokens} "
        f"tokens, {bench.new_tokens} more each; a process each, both sides {bench.num_pairs} times in turns, the "
        "check first"
    )


def run(bench: InferenceBench, progress: Console) -> dict[str, Any]:
    """The table of `--json`; raises ValueError for what cannot be measured at all."""
    text = read_text(bench.text)
    jobs = [
        Job(
            technique, bench.model, bench.drafter, text, bench.prompt_tokens, bench.new_tokens, bench.batch,
            bench.num_pairs, bench.device,
        )
        for technique in bench.techniques or TECHNIQUES
    ]  # fmt: skip
    with worker_pool(1, COMPILE_CACHE) as pool:
        ceilings, control = pool.submit(_ceilings_and_control, jobs[0]).result()
    rows = []
    for job in jobs:
        progress.print(f"{job.technique} ...")
        with worker_pool(1, COMPILE_CACHE) as pool:  # an isolated process: nothing warm, nothing left behind
            rows.append(pool.submit(_measure, job, ceilings).result())
    machine = {"processor": platform.processor() or platform.machine(), **asdict(ceilings)}
    return {"schema_version": 1, "revision": git_revision(), "machine": machine, "control": control, "rows": rows}


def _ceilings_and_control(job: Any) -> Any:
    """What holds for all rows: of a bench they have the models and prompts in common."""
    import torch

    from evals.inference.ceilings import measure_ceilings
    from evals.inference.contest import generated
    from evals.inference.measure import prepare
    from evals.inference.protocol import control

    torch.set_num_threads(1)
    setting = prepare(job)
    # Of few tokens: twenty controls of whole rows would take longer than all rows together.
    device, work = setting.model.device, generated(replace(setting, num_tokens=CONTROL_TOKENS))
    work()
    return measure_ceilings(device), control(work, job.num_pairs, device)


def _measure(job: Any, ceilings: Any) -> dict[str, Any]:
    import torch

    from evals.inference.measure import measure

    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = MAX_STEPS  # a compiled step for every number of tokens, of every decoder
    return measure(job, ceilings)


def read_text(path: Path | None) -> str:
    """The text whose parts are prompts: that file, else the project's held-out documents."""
    if path is not None:
        if not path.is_file():
            raise ValueError(f"--text {path} is no file: name one, or leave it out for the project's held-out text")
        return path.read_text()
    held_out = DATA / "validation.jsonl"
    if not held_out.exists():
        raise ValueError(f"{held_out} is not there: run `dvc repro corpus`, or name a file with --text")
    return "\n".join(json.loads(line)["text"] for line in held_out.read_text().splitlines())


def show(result: dict[str, Any], console: Console) -> None:
    """A row a technique: how many times faster, against what, and the check."""
    table = Table("technique", "against", "times faster", "check", "figures")
    for row in result["rows"]:
        speed = row["status"]
        if row["status"] == "ok":
            speed = f"{row['ratio']:.2f} ({row['ci95'][0]:.2f} to {row['ci95'][1]:.2f})"
        checks = ", ".join(f"{check['kind']} {check['value']:.3g}" for check in row.get("checks", []))
        told = ", ".join(f"{name.replace('_', ' ')} {row[name]:.3g}" for name in TOLD if name in row)
        table.add_row(row["technique"], row.get("against", "-"), speed, checks or "-", told or row["reason"])
    console.print(table)
    control = result["control"]
    console.print(
        f"the same work on both sides: {control['false_alarms']} of {control['repetitions']} intervals leave out 1; "
        f"a factor below {control['detectable']:.2f} may be nothing"
    )
