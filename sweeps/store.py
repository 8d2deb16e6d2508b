"""The cell store: runs/<suite>/<cell>/<branch>/ with record.json, metrics.jsonl and checkpoint/.

A record is written last and whole, with a fingerprint of everything that decides its content. A branch whose
fingerprint matches is done; one that does not is stale: it is trained again, never silently reused. Standard library
only, so that plan and status answer without loading torch.
"""

import ast
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sweeps.grid import Cell, Training, branch_name
from sweeps.whole import checkpoint_is_whole, state_is_whole

SCHEMA_VERSION = 1
TRUNK = "trunk"
EVALUATIONS, SCORES, SAMPLES = "evaluations", "scores.json", "samples.jsonl"
# The files whose code decides what a record says; comments, docstrings and formatting in them do not. sweeps/sharded.py
# is none of them: on how many devices a cell is trained is no part of what it is, and one may end what another began.
TRAINING_PATH = (
    "models/ladder.py",
    "models/decoder.py",
    "models/checkpoint.py",
    "sweeps/identity.py",
    "sweeps/data.py",
    "sweeps/documents.py",
    "sweeps/tokens.py",
    "sweeps/onednn.py",
    "sweeps/schedule.py",
    "sweeps/validation.py",
    "sweeps/windows.py",
    "sweeps/train.py",
)

State = Literal["done", "diverged", "failed", "stale", "pending"]


@dataclass(frozen=True)
class Recipe:
    """What, besides the cell, decides a record's content."""

    training: Training
    vocab_size: int
    data_digest: str
    validation_digest: str
    device: str
    code_digest: str


def code_digest(root: Path, names: Sequence[str] = TRAINING_PATH) -> str:
    """SHA-256 of the code of these files, written back from its syntax trees without docstrings."""
    digest = hashlib.sha256()
    for name in names:
        tree = ast.parse((root / name).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()


def fingerprint(cell: Cell, recipe: Recipe, steps: int | None) -> str:
    """Identity of the branch that ends after `steps`, or of the trunk (None), which its branches do not change."""
    named = {name: getattr(cell, name) for name in ("family", "width", "seed", "unique_tokens")}
    identity = {**named, "layers": cell.shape.num_layers, "steps": steps, **asdict(recipe)}
    if steps is None:
        identity["training"] = {k: v for k, v in identity["training"].items() if k != "cooldown_share"}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def cell_dir(runs: Path, cell: Cell) -> Path:
    """Where a cell keeps its trunk and branches."""
    return runs / cell.suite / cell.name


def branch_dir(runs: Path, cell: Cell, tokens: int) -> Path:
    """Where the branch of that many tokens keeps record, metrics and checkpoint."""
    return cell_dir(runs, cell) / branch_name(tokens)


def evaluation_dir(runs: Path, cell: Cell, branch: str) -> Path:
    """Where the scores and samples of a branch's checkpoint lie: apart from it, so that a stage each owns them."""
    return runs / EVALUATIONS / cell.suite / cell.name / branch


def read_evaluation(directory: Path, fingerprint: str) -> dict[str, Any] | None:
    """The scores there; None where there are none or another record's checkpoint was judged."""
    try:
        found = read_json(directory / SCORES)
    except FileNotFoundError:
        return None
    return found if found["fingerprint"] == fingerprint else None


def read_record(directory: Path) -> dict[str, Any] | None:
    """The branch's record; None where there is none or it cannot be read (then the branch is trained again)."""
    try:
        record = json.loads((directory / "record.json").read_text())
    except (FileNotFoundError, ValueError):  # Not there, not JSON, not UTF-8.
        return None
    return record if isinstance(record, dict) and "fingerprint" in record else None


def branch_state(runs: Path, cell: Cell, recipe: Recipe, steps: int) -> State:
    """Where one branch stands; a failed one is tried again by the next run, and one whose checkpoint is damaged too."""
    directory = branch_dir(runs, cell, steps * recipe.training.batch_tokens)
    record = read_record(directory)
    if record is None:
        return "pending"
    if record["fingerprint"] != fingerprint(cell, recipe, steps):
        return "stale"
    if record["status"] == "done" and not checkpoint_is_whole(directory / "checkpoint"):
        return "pending"
    return record["status"]


def trunk_is_current(runs: Path, cell: Cell, recipe: Recipe) -> bool:
    """Whether the cell has a trunk and it is of this recipe; a trunk of another makes way when the cell is trained."""
    try:
        return (cell_dir(runs, cell) / TRUNK / "fingerprint").read_text() == fingerprint(cell, recipe, None)
    except FileNotFoundError:
        return False


def trunk_steps(runs: Path, cell: Cell, recipe: Recipe) -> list[int]:
    """The steps at which a whole state of the current trunk is on disk."""
    if not trunk_is_current(runs, cell, recipe):
        return []
    return sorted(int(path.stem) for path in (cell_dir(runs, cell) / TRUNK).glob("*.pt") if state_is_whole(path))


def is_settled(state: State) -> bool:
    """A diverged branch is a result; stale, failed and pending ones are still to be trained."""
    return state in ("done", "diverged")


def read_records(runs: Path, suite: str) -> list[dict[str, Any]]:
    """Every record of the suite, by cell and tokens, of branches in the grid and of others."""
    found = [read_record(path.parent) for path in sorted((runs / suite).glob("*/t[0-9]*/record.json"))]
    return sorted((r for r in found if r is not None), key=lambda r: (r["cell"], r["tokens"]))


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl up to the first that is not whole: it is being written, or a dying machine lost it."""
    try:
        text = (directory / "metrics.jsonl").read_text(errors="replace")
    except FileNotFoundError:
        return []
    lines = []
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def keep_whole_lines(directory: Path) -> list[dict[str, Any]]:
    """Takes from metrics.jsonl a last line that a killed run left unfinished; returns the lines that stay."""
    kept = read_metrics(directory)
    temporary = directory / "metrics.tmp"
    temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
    temporary.replace(directory / "metrics.jsonl")
    return kept


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises ValueError that names the file where it holds none."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): delete it and make it again") from None


def json_text(value: Any) -> str:
    """The text of a JSON file; raises ValueError for NaN and infinities, which JSON does not have."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json_text(value))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, directory: Path) -> None:
    """Renames a whole branch into place over a stale one."""
    if directory.exists():
        shutil.rmtree(directory)
    temporary.rename(directory)
