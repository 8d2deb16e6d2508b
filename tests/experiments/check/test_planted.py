"""Regressions planted in a clone: `scalelab check`, run there as a user runs it, names the kind each belongs to."""

import ast

import pytest

from experiments.bench.check import Clone
from experiments.bench.planted import GOLDEN, PLANTS, WHOLE, Plant, apply


def test_a_plant_fails_its_kind_and_no_other(cloned: Clone) -> None:
    """Against the committed baseline, on whatever processor this is; `scalelab bench check` plants all the others."""
    plant = GOLDEN[4]
    with cloned.planted(plant):
        code, result, said = cloned.check("--only", "golden", "--only", "inference")
    assert result is not None, said
    assert code == 1
    assert result["failing"] == list(plant.kinds)
    assert result["dirty"]
    assert list((cloned.root / "runs/checks").glob(f"{result['name']}.json"))


def test_a_plant_whose_text_is_gone_is_an_error(cloned: Clone) -> None:
    plant = Plant("gone", ("golden",), (("sweeps/train.py", "this text is nowhere", ""),))
    with pytest.raises(ValueError, match="has 0 times 'this text is nowhere'"):
        apply(plant, cloned.root)


def test_every_plant_changes_a_program_that_python_reads(cloned: Clone) -> None:
    for plant in PLANTS:
        before = {name: (cloned.root / name).read_text() for name, _, _ in plant.changes}
        with cloned.planted(plant):
            for name, text in before.items():
                planted = ast.parse((cloned.root / name).read_text())
                assert ast.dump(planted) != ast.dump(ast.parse(text)), plant.name


def test_every_kind_has_a_plant_that_is_its_own() -> None:
    assert {plant.kinds for plant in PLANTS if plant.name in WHOLE} >= {
        ("golden",), ("law",), ("detector",), ("inference",), ("speed",)
    }  # fmt: skip
