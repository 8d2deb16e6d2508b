"""The arrows between the rooms, what it costs to ask for help, and which Pythons the packages run on."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOMS = {
    "models": set(),
    "analysis": set(),
    "rlm": set(),
    "sweeps": {"models"},
    "evals": {"models", "rlm"},
    "experiments": {"sweeps", "evals", "analysis", "models", "rlm"},
}
HEAVY = {
    "torch",
    "transformers",
    "pandas",
    "scipy",
    "plotly",
    "mlflow",
    "datasets",
    "pyarrow",
    "lm_eval",
    "bm25s",
    "faiss",
}
TRAINING_PATH_MAY_IMPORT = {"torch", "transformers", "numpy", *ROOMS, *sys.stdlib_module_names}


def imported_names(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def notebook_sources(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("room", ROOMS)
def test_arrows(root: Path, room: str) -> None:
    files = sorted((root / room).rglob("*.py"))
    assert files
    allowed = ROOMS[room] | {room}
    crossing = {str(path.relative_to(root)): imported_names(path) & set(ROOMS) - allowed for path in files}
    assert {name: arrows for name, arrows in crossing.items() if arrows} == {}


def test_only_experiments_reads_mlflow_yaml_and_environment(root: Path) -> None:
    for room in set(ROOMS) - {"experiments"}:
        for path in sorted((root / room).rglob("*.py")):
            assert not imported_names(path) & {"mlflow", "yaml", "ruamel"}, path
            nodes = ast.walk(ast.parse(path.read_text()))
            attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
            assert not attributes & {"environ", "getenv"}, path


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_resolve_inside_the_checkout(root: Path, room: str) -> None:
    package = importlib.import_module(room)
    assert package.__file__ is not None, f"{room} has no __init__.py, or another distribution installed one"
    assert Path(package.__file__).resolve() == root / room / "__init__.py"


def test_notebooks_define_nothing(root: Path) -> None:
    for path in sorted((root / "analysis" / "notebooks").rglob("*.ipynb")):
        code = "\n".join(line for line in notebook_sources(path).splitlines() if not line.startswith(("%", "!")))
        defined = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert not defined, path
        assert all(not cell.get("outputs") for cell in json.loads(path.read_text())["cells"]), f"{path} has outputs"


def modules_after(root: Path, code: str) -> set[str]:
    """Top-level modules loaded by a fresh interpreter that ran `code`."""
    script = f"import sys\n{code}\nprint(','.join(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=environment, check=True, capture_output=True, text=True
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split(",")}


def test_help_imports_nothing_heavy(root: Path) -> None:
    run = "from experiments.__main__ import main\nsys.argv = ['scalelab', '--help']"
    code = f"{run}\ntry: main()\nexcept SystemExit: pass"
    assert not modules_after(root, code) & HEAVY


def test_params_import_only_light_modules(root: Path) -> None:
    assert not modules_after(root, "import experiments.params") & {*HEAVY, "numpy"}


def test_training_path_imports_only_torch_transformers_numpy(root: Path) -> None:
    pending, seen = {"sweeps.train"}, set()
    while pending:
        name = pending.pop()
        path = root / (name.replace(".", "/") + ".py")
        if name in seen or not path.exists():
            continue
        seen.add(name)
        names: set[str] = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module}
                pending |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        foreign = {name.partition(".")[0] for name in names} - TRAINING_PATH_MAY_IMPORT
        assert not foreign, f"{name} imports {foreign}"
    assert {"sweeps.train", "sweeps.store", "models.decoder"} <= seen


def test_every_locked_package_runs_on_the_pythons_that_are_asked_for(root: Path) -> None:
    asked = tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"]
    assert asked == ">=3.11.5,<3.13"
    locked = [line.partition("==")[0] for line in (root / "requirements.lock").read_text().splitlines() if "==" in line]
    assert len(locked) > 100
    wanted = {name: distribution(name).metadata.get_all("Requires-Python", [""])[0] for name in locked}
    refusing = {
        name: told
        for name, told in wanted.items()
        if not all(SpecifierSet(told).contains(version) for version in ("3.11.5", "3.12.0"))
    }
    assert refusing == {}


@pytest.mark.parametrize(
    ("version", "is_refused"), [((3, 11, 4), True), ((3, 11, 5), False), ((3, 12, 9), False), ((3, 13, 0), True)]
)
def test_make_refuses_other_pythons_by_name(root: Path, version: tuple[int, int, int], is_refused: bool) -> None:
    (check,) = re.findall(r"-c '(import sys; sys.exit.*)'$", (root / "Makefile").read_text(), re.MULTILINE)
    pretending = f"import sys; sys.version_info = {version}; {check}"
    done = subprocess.run([sys.executable, "-c", pretending], capture_output=True, text=True)
    assert (done.returncode, "scalelab needs Python" in done.stderr) == (int(is_refused), is_refused)
