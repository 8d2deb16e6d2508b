"""What the cell store holds of a sweep at this moment, in the form in which it is published."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sweeps import store
from sweeps.grid import Cell

Status = Literal["RUNNING", "FINISHED", "FAILED"]


@dataclass(frozen=True)
class Sweep:
    """A suite as it is trained now: the cells of its grid and the recipe they share."""

    suite: str
    cells: Sequence[Cell]
    recipe: store.Recipe

    @property
    def identity(self) -> str:
        """Digest of what all its cells share; their sizes, seeds and token counts are no part of it."""
        return digest_of([self.suite, sorted({cell.family for cell in self.cells}), asdict(self.recipe)])


@dataclass(frozen=True)
class Evaluated:
    """What lm-eval found of a branch's checkpoint, and the file with the samples behind it."""

    identity: str
    scores: list[dict[str, Any]]
    samples: Path


@dataclass(frozen=True)
class CellFiles:
    """One cell as its files are at this moment: records and evaluations by branch, lines of metrics by stream."""

    cell: Cell
    records: dict[str, dict[str, Any]]
    evaluations: dict[str, "Evaluated"]
    curves: dict[str, list[dict[str, Any]]]
    directory: Path
    settled: bool

    @cached_property
    def digest(self) -> str:
        """Changes with everything that is published."""
        records = {name: (r["fingerprint"], r["status"]) for name, r in self.records.items()}
        judged = {name: evaluated.identity for name, evaluated in self.evaluations.items()}
        lines = {name: len(lines) for name, lines in self.curves.items()}
        return digest_of([records, lines, self.settled, *([judged] if judged else [])])

    @property
    def status(self) -> Status:
        """MLflow's word: a diverged cell is a result, a failed one will be tried again."""
        if any(record["status"] == "failed" for record in self.records.values()):
            return "FAILED"
        return "FINISHED" if self.settled else "RUNNING"

    @cached_property
    def span(self) -> tuple[int, int]:
        """Unix milliseconds of the first and last line; of the first record where there is no line."""
        times = [line["time"] for lines in self.curves.values() for line in lines]
        if not times:
            times = [int((self.directory / name / "record.json").stat().st_mtime * 1000) for name in self.records]
        return min(times), max(times)

    def tags(self) -> dict[str, str]:
        """What the files say about identity and outcome."""
        statuses = {record["status"] for record in self.records.values()}
        worst = next((s for s in ("failed", "diverged") if s in statuses), "done" if self.settled else "growing")
        reasons = sorted({record["reason"] for record in self.records.values() if record["reason"]})
        fingerprints = {name: record["fingerprint"] for name, record in self.records.items()}
        return {
            "scalelab.status": worst,
            "scalelab.reason": "; ".join(reasons),
            "scalelab.fingerprints": json.dumps(fingerprints),
            "scalelab.host": ", ".join(sorted({record["host"] for record in self.records.values()})),
            **revision_tags(list(self.records.values())),
        }


def read_cells(runs: Path, sweep: Sweep) -> list[CellFiles]:
    """The sweep's cells that have something to show: those of the grid first, then others under the same recipe.

    A branch that is being trained appears when it is whole: until then a restart may write its lines anew.
    """
    records: dict[Cell, dict[str, dict[str, Any]]] = {}
    planned = {cell.name: cell for cell in sweep.cells}
    for record in store.read_records(runs, sweep.suite):
        cell = planned.get(record["cell"]) or _cell_of(record)
        if record["fingerprint"] == store.fingerprint(cell, sweep.recipe, record["steps"]):
            records.setdefault(cell, {})[record["branch"]] = record
    found = [
        _read_cell(runs, sweep.recipe, cell, records.get(cell, {}))
        for cell in {**dict.fromkeys(sweep.cells), **records}
    ]
    return [files for files in found if files.records or any(files.curves.values())]


def _cell_of(record: dict[str, Any]) -> Cell:
    """A cell that the grid does not ask for, without its steps; its name tells its depth and how many tokens repeat."""
    dials = {part[0]: int(part[1:]) for part in record["cell"].split("-")}
    named = (record["suite"], record["family"], record["size"], record["seed"])
    return Cell(*named, steps=(), unique_tokens=dials.get("u"), layers=dials.get("l"))


def _read_cell(runs: Path, recipe: store.Recipe, cell: Cell, records: dict[str, dict[str, Any]]) -> CellFiles:
    directory = store.cell_dir(runs, cell)
    settled = {name: record["steps"] for name, record in records.items() if store.is_settled(record["status"])}
    trunk = [store.TRUNK] if store.trunk_is_current(runs, cell, recipe) else []
    curves = {name: store.read_metrics(directory / name) for name in [*trunk, *settled]}
    evaluations = _read_evaluations(runs, cell, records)
    return CellFiles(cell, records, evaluations, curves, directory, set(settled.values()).issuperset(cell.steps))


def _read_evaluations(runs: Path, cell: Cell, records: dict[str, dict[str, Any]]) -> dict[str, Evaluated]:
    found = {}
    for branch, record in records.items():
        directory = store.evaluation_dir(runs, cell, branch)
        evaluation = store.read_evaluation(directory, record["fingerprint"])
        if evaluation is not None:
            found[branch] = Evaluated(evaluation["identity"], evaluation["scores"], directory / store.SAMPLES)
    return found


def revision_tags(records: list[dict[str, Any]]) -> dict[str, str]:
    """Git revisions that trained them; `-dirty` ends one whose checkout had changes that no commit holds."""
    revisions = sorted({record["revision"] for record in records})
    commits = {"mlflow.source.git.commit": revisions[-1].removesuffix("-dirty")} if revisions else {}
    dirty = any(revision.endswith("-dirty") for revision in revisions)
    return {**commits, "scalelab.revisions": ", ".join(revisions), "scalelab.dirty": str(dirty).lower()}


def digest_of(value: Any) -> str:
    """Short digest of a value that JSON can spell."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
