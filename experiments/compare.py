"""`scalelab report --against`: this project's results beside those of a git revision or of another folder."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from experiments import inference, law, longcontext_report, saturation, scores
from experiments.project import PARAMS, RESULTS
from experiments.report import RESULT_FILES
from sweeps import store

if TYPE_CHECKING:
    from analysis.comparison import Side

COMPARISON = RESULTS / "comparison.html"
HERE = "here"
REMEDY = "name a folder with another sweep's results, or a git revision that has some"


def compare_with(what: str, out: Path | None) -> dict[str, Any]:
    """Writes the page of this project's results beside those of `what`, unless `out` is None; returns what differs.

    Raises ValueError where `what` is neither a folder nor a revision with results, or nothing is here.
    """
    from analysis.comparison import compare
    from analysis.pages_comparison import comparison_groups
    from analysis.report import write_report

    own = read_side(HERE, RESULTS, PARAMS)
    with TemporaryDirectory() as folder:
        other = read_side(what, *place_of(what, Path(folder)))
    found = compare(own, other)
    if out is None:
        return found
    try:
        write_report(
            comparison_groups(own, other, found), out, {},
            title=f"This sweep and {what}",
            subtitle="What differs, and whether by more than the intervals of both allow.",
        )  # fmt: skip
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written ({error.strerror}): name another file") from None
    return found


def place_of(what: str, folder: Path) -> tuple[Path, Path]:
    """Where the results and the params of a folder lie, or those of a revision, taken out into `folder`."""
    named = Path(what)
    if named.is_dir():
        inner = named / RESULTS
        return (inner, named / PARAMS) if inner.is_dir() else (named, named / PARAMS)
    if named.exists() or not is_revision(what):
        raise ValueError(f"--against {what} is no folder and no git revision: {REMEDY}")
    for path in (*RESULT_FILES, PARAMS):
        shown = subprocess.run(["git", "show", f"{what}:./{path.as_posix()}"], capture_output=True)
        if shown.returncode == 0:
            (folder / path.name).write_bytes(shown.stdout)
    return folder, folder / PARAMS.name


def is_revision(what: str) -> bool:
    """Whether git knows a commit of that name."""
    asked = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{what}^{{commit}}"]
    try:
        return subprocess.run(asked, capture_output=True).returncode == 0
    except FileNotFoundError:  # no git on this machine
        return False


def read_side(name: str, folder: Path, params: Path) -> "Side":
    """The results in a folder; raises ValueError where it holds none, or some that cannot be read."""
    from analysis.comparison import Side

    pairs = law.read_law(folder), saturation.read_saturation(folder), scores.read_emergence(folder)
    tables = [read_rows(folder / path.name) for path in (inference.INFERENCE, longcontext_report.LONGCONTEXT)]
    if not any(one is not None for one in (*pairs, *tables)):
        remedy = "run `dvc repro law`" if name == HERE else REMEDY
        raise ValueError(f"{'results' if name == HERE else f'--against {name}'} holds no results to compare: {remedy}")
    return Side(name, *pairs, *tables, params=flat_params(params))


def read_rows(path: Path) -> dict[str, Any] | None:
    """A table of measured rows; None where it is not there. Raises ValueError where it has none."""
    if not path.exists():
        return None
    table = store.read_json(path)
    if not table.get("rows"):
        raise ValueError(f"{path} holds no rows: make it again")
    return table


def flat_params(path: Path) -> dict[str, str]:
    """params.yaml as dotted names and values; nothing where there is none."""
    if not path.exists():
        return {}
    from ruamel.yaml import YAML

    return flattened(YAML(typ="safe").load(path.read_text()) or {})


def flattened(tree: Any, prefix: str = "") -> dict[str, str]:
    """Leaves of nested mappings by their dotted names; a list is a leaf."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: json.dumps(tree)}
    found: dict[str, str] = {}
    for name, value in tree.items():
        found |= flattened(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def print_comparison(found: dict[str, Any], out: Path | None) -> None:
    """A line a part, then where the page is, if one was written."""
    from analysis.pages_comparison import TITLES, answer_of

    for part, title in TITLES.items():
        one = found[part]
        said = f"no results in {', '.join(one['missing'])}" if "missing" in one else answer_text(answer_of, one)
        print(f"{title.lower()}: {said}")
    print(f"settings: {len(found['params'])} params and {len(found['provenance'])} facts of provenance differ")
    if out is not None:
        print(f"comparison: {out.resolve()}")


def answer_text(answer_of: Callable[[Any], Any], one: Any) -> str:
    """An answer in a line."""
    answer = answer_of(one)
    return f"{answer.value} {answer.beneath}. {answer.sentence}".strip()
