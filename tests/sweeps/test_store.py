"""Identity: what makes a branch stale, what does not, and what is left of a record that was damaged."""

import ast
import json
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from sweeps import store
from sweeps.grid import Cell, Training

CELL = Cell("law", "decoder", 32, 0, (40, 80))
RECIPE = store.Recipe(Training(), 260, "data", "validation", "cpu", "code")


# Code


@pytest.fixture
def tree(root: Path, tmp_path: Path) -> Path:
    for room in ("models", "sweeps"):
        shutil.copytree(root / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def bare(source: str) -> str:
    """The same code without comments or docstrings, in another layout."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(module).replace("\n", "\n\n").replace("    ", "  ")


def test_comments_docstrings_and_layout_are_not_code(tree: Path) -> None:
    before = store.code_digest(tree)
    for name in store.TRAINING_PATH:
        source = (tree / name).read_text()
        assert bare(source) != source
        (tree / name).write_text("# A remark.\n" + bare(source))
    assert store.code_digest(tree) == before


def test_code_of_the_training_path_is_identity_and_other_code_is_not(tree: Path) -> None:
    before = store.code_digest(tree)
    for name in store.TRAINING_PATH:
        source = (tree / name).read_text()
        (tree / name).write_text(source + "\nANOTHER = 1\n")
        assert store.code_digest(tree) != before, name
        (tree / name).write_text(source)
    assert store.code_digest(tree) == before
    (tree / "sweeps" / "cost.py").write_text("ANOTHER = 1\n")
    assert store.code_digest(tree) == before


def test_a_changed_constant_is_another_code(tree: Path) -> None:
    before = store.code_digest(tree)
    decoder = tree / "models" / "decoder.py"
    decoder.write_text(decoder.read_text().replace("BASE_WIDTH = 64", "BASE_WIDTH = 65"))
    assert store.code_digest(tree) != before


# Params


def test_every_part_of_a_recipe_decides() -> None:
    changed: dict[str, Any] = {
        "vocab_size": 300, "data_digest": "other", "validation_digest": "other",
        "device": "cuda", "code_digest": "other",
    }  # fmt: skip
    assert {*changed, "training"} == {field.name for field in fields(store.Recipe)}
    recipes = [replace(RECIPE, **{name: value}) for name, value in changed.items()]
    training = {
        "sequence_length": 64, "batch_tokens": 2048, "learning_rate": 0.02, "warmup_steps": 51, "cooldown_share": 0.3,
        "weight_decay": 0.2, "beta1": 0.8, "beta2": 0.99, "clip_norm": 2.0, "precision": "bfloat16", "compile": False,
    }  # fmt: skip
    assert set(training) == {field.name for field in fields(Training)}
    recipes += [replace(RECIPE, training=replace(RECIPE.training, **{name: training[name]})) for name in training]
    branches = {store.fingerprint(CELL, recipe, 40) for recipe in [RECIPE, *recipes]}
    assert len(branches) == len(recipes) + 1
    trunks = {store.fingerprint(CELL, recipe, None) for recipe in [RECIPE, *recipes]}
    assert len(trunks) == len(recipes)  # cooldown_share is none of the trunk's business
    assert not branches & trunks


def test_unique_tokens_of_a_cell_decide_for_branch_and_trunk() -> None:
    repeated = replace(CELL, unique_tokens=4096)
    for steps in (40, None):
        assert store.fingerprint(repeated, RECIPE, steps) != store.fingerprint(CELL, RECIPE, steps)


def test_the_cooldown_changes_branches_and_not_the_trunk() -> None:
    other = replace(RECIPE, training=replace(RECIPE.training, cooldown_share=0.3))
    assert store.fingerprint(CELL, other, 40) != store.fingerprint(CELL, RECIPE, 40)
    assert store.fingerprint(CELL, other, None) == store.fingerprint(CELL, RECIPE, None)


def test_a_cell_is_its_family_shape_and_seed() -> None:
    own = store.fingerprint(CELL, RECIPE, 40)
    assert store.fingerprint(replace(CELL, width=48), RECIPE, 40) != own
    assert store.fingerprint(replace(CELL, seed=1), RECIPE, 40) != own
    assert store.fingerprint(replace(CELL, layers=24), RECIPE, 40) != own
    assert store.fingerprint(CELL, RECIPE, 80) != own
    assert store.fingerprint(replace(CELL, steps=(20, 40, 60, 80)), RECIPE, 40) == own


def test_a_larger_grid_leaves_what_is_trained_as_it_is(trained, workplace) -> None:
    grid = [{"sizes": [16, 32], "seeds": [0, 1], "tokens": [61_440, 81_920, 163_840]}]
    workplace.set("suites.law.grid", grid)
    workplace.copy_runs(trained)
    job = workplace.job()
    assert [job.state(steps) for steps in job.cell.steps] == ["done", "pending", "done"]
    workplace.set("suites.law.training.learning_rate", 0.02)
    job = workplace.job()
    assert [job.state(steps) for steps in job.cell.steps] == ["stale", "pending", "stale"]


# Files


def write_record(runs: Path, recipe: store.Recipe = RECIPE, status: str = "done") -> Path:
    record = {"fingerprint": store.fingerprint(CELL, recipe, 40), "status": status, "cell": CELL.name, "tokens": 40960}
    path = store.branch_dir(runs, CELL, 40 * 1024) / "record.json"
    store.write_json(path, record)
    return path


@pytest.mark.parametrize("status", ["done", "diverged", "failed"])
def test_a_record_is_believed_as_long_as_it_is_of_this_recipe(tmp_path: Path, status: str) -> None:
    write_record(tmp_path, status=status)
    assert store.branch_state(tmp_path, CELL, RECIPE, 40) == status
    assert store.branch_state(tmp_path, CELL, RECIPE, 80) == "pending"
    assert store.branch_state(tmp_path, CELL, replace(RECIPE, data_digest="new"), 40) == "stale"
    assert store.is_settled(status) == (status != "failed")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("damage", ["empty", "torn", "null", "list", "object", "bytes"])
def test_a_damaged_record_is_pending(tmp_path: Path, damage: str) -> None:
    path = write_record(tmp_path)
    contents = {"empty": b"", "torn": path.read_bytes()[:-9], "null": b"null", "list": b"[]", "object": b"{}"}
    path.write_bytes(contents.get(damage, b"\xff\xfe\x00"))
    assert store.branch_state(tmp_path, CELL, RECIPE, 40) == "pending"
    assert store.read_records(tmp_path, "law") == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "record.json"
    store.write_json(path, {"loss": 1.5, "status": "done"})
    with pytest.raises(ValueError, match="JSON"):
        store.write_json(path, {"loss": float("nan")})
    assert json.loads(path.read_text()) == {"loss": 1.5, "status": "done"}
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "new").touch()
    store.put_in_place(tmp_path / "part", path.parent)
    assert [entry.name for entry in path.parent.iterdir()] == ["new"]


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    assert store.read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 20}\n{"step": 40}\n{"ste')
    assert store.read_metrics(tmp_path) == [{"step": 20}, {"step": 40}]


def test_the_recipe_is_made_of_what_json_can_hold() -> None:
    assert json.loads(json.dumps(asdict(RECIPE))) == asdict(RECIPE)
