"""`scalelab bench inference`: every acceleration on one checkpoint, a process each; no speed without its check."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evals.inference.job import TECHNIQUES, Job, Precision
from experiments.inference import SCHEMA_VERSION, measure_machine
from experiments.isolated import isolated
from experiments.measurements import held_out_text, machine
from experiments.project import DATA
from experiments.sweep import check_device

TOLD = (
    "acceptance_length",
    "foreseen_ratio",
    "hit_rate",
    "bytes_saved",
)  # figures of a row that the screen has room for


@dataclass(frozen=True)
class InferenceBench:
    """What is measured on which checkpoint."""

    model: Path
    drafter: Path | None
    techniques: tuple[str, ...]
    text: Path | None
    training_text: Path | None = None
    prompt_tokens: int = 64
    new_tokens: int = 64
    batch: int = 4
    num_pairs: int = 11
    device: str = "cpu"
    dtype: Precision = "float32"


def describe(bench: InferenceBench) -> str:
    """One paragraph: what would run."""
    _ = jobs_of(bench)  # what cannot be measured is refused here too
    return (
        f"{', '.join(bench.techniques) or 'every technique'} on {bench.model}"
        f"{f', drafts by {bench.drafter}' if bench.drafter else ''}: {bench.batch} prompts of {bench.prompt_tokens} "
        f"tokens, {bench.new_tokens} more each; a process each, both sides {bench.num_pairs} times in turns, the "
        "check first"
    )


def run(bench: InferenceBench, progress: Console) -> dict[str, Any]:
    """The table of `--json`; raises ValueError as `jobs_of` does."""
    jobs = jobs_of(bench)
    from evals.inference.ceilings import Ceilings
    from evals.inference.process import row_of

    told = measure_machine(jobs[0], workers=1)
    rows = []
    for job in jobs:
        progress.print(f"{job.technique} ...")
        row = isolated(row_of, (job, Ceilings(**told["ceilings"])))
        rows.append(row | {"model": str(bench.model), "trained": None, "tokens": None})
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": machine() | told["ceilings"],
        "control": told["control"],
        "rows": rows,
    }


def jobs_of(bench: InferenceBench) -> list[Job]:
    """One a technique; raises ValueError for what cannot be measured at all."""
    check_device(bench.device)
    for technique in bench.techniques:
        if technique not in TECHNIQUES:
            raise ValueError(f"technique {technique!r}: give one of {', '.join(TECHNIQUES)}")
    text = held_out_text(DATA) if bench.text is None else read_text("text", bench.text)
    training = None if bench.training_text is None else read_text("training-text", bench.training_text)
    return [
        Job(
            technique, bench.model, bench.drafter, text, bench.prompt_tokens, bench.new_tokens, bench.batch,
            bench.num_pairs, bench.device, bench.dtype, training,
        )
        for technique in bench.techniques or TECHNIQUES
    ]  # fmt: skip


def read_text(name: str, path: Path) -> str:
    """The file that the option of that name gives."""
    if not path.is_file():
        raise ValueError(f"--{name} {path} is no file: name one, or leave it out")
    return path.read_text()


def show(result: dict[str, Any], console: Console) -> None:
    """A table a model, a row a technique: how many times faster than what, and the check."""
    models: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        models.setdefault(row["model"], []).append(row)
    for name, rows in models.items():
        table = Table(
            "technique", "times faster", "check", "figures", title=f"{name}, {rows[0]['params']:,} parameters"
        )
        for row in rows:
            table.add_row(_setting(row), _speed(row), _checks(row), _figures(row))
        console.print(table)
    control = result["control"]
    console.print(
        f"the same work on both sides: {control['false_alarms']} of {control['repetitions']} intervals leave out 1; "
        f"a factor below {control['detectable']:.2f} may be nothing"
    )


def _setting(row: dict[str, Any]) -> str:
    return f"{row['technique']}\n{row['prompt']} + {row['output']} tokens x {row['batch']}, {row['dtype']}"


def _speed(row: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return row["status"]
    low, high = row["ci95"]
    return f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})\nagainst {row['against']}"


def _checks(row: dict[str, Any]) -> str:
    return "\n".join(f"{check['kind']} {check['value']:.3g}" for check in row.get("checks", [])) or "-"


def _figures(row: dict[str, Any]) -> str:
    told = [f"{name.replace('_', ' ')} {row[name]:.3g}" for name in TOLD if name in row]
    for change in filter(None, (row.get("quality"), row.get("ability_delta"))):
        low, high = change["ci95"]
        told.append(f"{change['metric']} {change['delta']:+.2g} ({low:.2g} to {high:.2g})")
    return "\n".join([row["reason"]] * bool(row["reason"]) + told)
