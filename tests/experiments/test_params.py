"""params.yaml: presets are whole and make sense, and one line says what is wrong with a file that does not."""

import functools
from pathlib import Path

import pytest
import yaml

from evals.abilities import Ability, items
from experiments.params import Params, build, load
from models.ladder import Shape
from sweeps.grid import Block, cells

PRESETS = ("smoke", "laptop", "inference", "longcontext", "full", "gpu", "cluster")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_params_with_a_grid(root: Path, preset: str) -> None:
    params = load(root / "experiments" / "presets" / f"{preset}.yaml")
    assert "law" in params.suites
    for name, suite in params.suites.items():
        assert cells(name, suite, params.tokenizer.vocab_size)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_mixture_is_enough_for_the_suite_that_trains_on_it(root: Path, preset: str) -> None:
    params = load(root / "experiments" / "presets" / f"{preset}.yaml")
    suite, abilities = params.suites["emergence"], params.abilities
    assert abilities is not None
    assert suite.data == "abilities"
    training = suite.training
    assert abilities.max_characters <= training.sequence_length + 1
    for cell in cells("emergence", suite, params.tokenizer.vocab_size):
        assert cell.steps[-1] * training.batch_tokens <= abilities.documents * training.sequence_length
        assert cell.steps[0] >= 2 * training.warmup_steps
    assert training.precision == "float32" or params.executor.device == "cuda"
    for ability in abilities.catalogue.values():
        assert num_items(ability, abilities.items, abilities.seed) == abilities.items


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_measured_is_there_and_fits_its_window(root: Path, preset: str) -> None:
    params = load(root / "experiments" / "presets" / f"{preset}.yaml")
    asked = params.inference
    assert asked is not None
    vocab_size = params.tokenizer.vocab_size
    names = {
        f"{suite}/{cell.name}"
        for suite in ("inference", "teacher")
        for cell in cells(suite, params.suites[suite], vocab_size)
    }
    assert f"inference/{asked.drafter}" in names
    for block in asked.measured:
        for model in block.models or [name for name in names if name.startswith("inference/")]:
            suite, _, cell = f"inference/{model}".removeprefix("inference/inference/").rpartition("/")
            if model == "random":
                continue
            suite = suite.rpartition("/")[2] or "inference"
            assert f"{suite}/{cell}" in names
            window = params.suites[suite].training.sequence_length
            assert max(block.prompts) + max(block.outputs) <= window


@functools.cache
def num_items(ability: Ability, count: int, seed: int) -> int:
    """Held-out items that the ability gives, contents being the same in every style."""
    return len(items(ability, ability.styles[0], count, seed))


def test_every_preset_has_a_test(root: Path) -> None:
    assert sorted(path.stem for path in (root / "experiments" / "presets").glob("*.yaml")) == sorted(PRESETS)


def test_numbers_as_yaml_reads_them() -> None:
    # YAML 1.1 takes 1e12 for text and 1.0e+6 for a float.
    tree = yaml.safe_load("{sizes: [16], budgets: [1e12, 2.5e+12, 3], min_tokens: 1e6, max_tokens: 2.0e+6}")
    block = build(Block, tree, "grid")
    assert block == Block(sizes=(16,), budgets=(1e12, 2.5e12, 3.0), min_tokens=1_000_000, max_tokens=2_000_000)
    assert [type(budget) for budget in block.budgets] == [float, float, float]
    assert type(block.min_tokens) is int
    assert build(Block, {"sizes": [16], "tokens": [5], "max_tokens": None}, "grid").max_tokens is None


@pytest.mark.parametrize("preset", ["laptop", "full", "cluster"])
def test_the_held_out_cells_are_the_largest_models(root: Path, preset: str) -> None:
    suite = load(root / "experiments/presets" / f"{preset}.yaml").suites["law"]
    flops = {}
    for cell in cells("law", suite, 260):
        per_token = Shape(cell.width).flops_per_token(260, suite.training.sequence_length)
        flops[cell.width] = cell.steps[-1] * suite.training.batch_tokens * per_token
    assert sorted(flops, key=flops.__getitem__) == sorted(flops)


REFUSALS = [
    ("corpus.sauce", "files", "corpus.sauce is not a known key: did you mean source?"),
    ("zebra", 1, "zebra is not a known key: known here: corpus, validation, tokenizer, executor, suites, fit"),
    ("corpus", None, "corpus is None: give a mapping"),
    ("corpus", "text", "corpus is 'text': give a mapping"),
    ("suites", [], "suites is []: give a mapping of names"),
    ("suites.law.training", {"compile": "yes please"}, "training.compile is 'yes please': give a value of type bool"),
    ("suites.law.training", {"compile": 1}, "suites.law.training.compile is 1: give a value of type bool"),
    ("suites.law.training", {"warmup_steps": 2.5}, "suites.law.training.warmup_steps is 2.5: give a whole number"),
    ("suites.law.training", {"warmup_steps": "ten"}, "warmup_steps is 'ten': give a whole number"),
    ("suites.law.training", {"warmup_steps": True}, "warmup_steps is True: give a value of type int"),
    ("suites.law.training", {"learning_rate": "fast"}, "learning_rate is 'fast': give a number"),
    ("suites.law.training", {"learning_rate": [1]}, "learning_rate is [1]: give a value of type float"),
    ("suites.law", {"family": "decoder", "grid": []}, "suites.law.training is missing: add it"),
    ("tokenizer.vocab_size", 100, "tokenizer.vocab_size 100 is too small"),
    ("tokenizer.vocab_size", 300, "data/corpus was built from other settings than params.yaml has now"),
    ("executor.workers", 0, "executor: workers is 0: give 1 or more, one a core"),
    ("executor.device", "tpu", "executor.device is 'tpu': choose one of cpu, cuda"),
    ("executor.kind", "dask", "executor.kind is 'dask': choose one of local, ray, slurm"),
    ("executor.devices_per_cell", 0, "executor: devices_per_cell is 0: give 1 or more"),
    ("executor.gpu_share", 2, "executor: gpu_share is 2.0: give a part of a GPU above 0, at most 1"),
    ("executor.address", "auto", "executor: address is given and kind is 'local': set kind to ray, or leave it out"),
    ("executor.slurm", {"minutes": 9}, "slurm is given and kind is 'local': set kind to slurm, or leave it out"),
    ("executor", {"kind": "slurm", "slurm": {"minutes": 0}}, "executor.slurm: minutes is 0: give 1 or more"),
    ("executor.store", "s3://b", "store is 's3://b' and kind is 'local', which needs none: set kind or leave it out"),
    (
        "executor",
        {"device": "cuda", "devices_per_cell": 2},
        "devices_per_cell is 2 with 2 workers on one machine: set workers to 1, or kind to ray or slurm",
    ),
]


@pytest.mark.parametrize(("key", "value", "message"), REFUSALS, ids=[f"{i}-{row[0]}" for i, row in enumerate(REFUSALS)])
def test_a_wrong_file_is_refused(workplace, monkeypatch, key, value, message) -> None:
    from experiments.project import Project

    workplace.set(key, value)
    monkeypatch.chdir(workplace.path)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as refused:
        Project.here().jobs("law")
    assert message in str(refused.value)


def test_what_is_no_yaml_is_told_by_its_line(workplace) -> None:
    for text, told in (
        ("fit:\n\tlaw: kaplan", "line 2: found character '\\t' that cannot start any token: mend the YAML there"),
        ("fit: {}\n\nfit: {}", 'line 3: found duplicate key "fit" (while constructing a mapping, from line 1): mend'),
        (
            "a: 1\nfit: 'law\nb:\n",
            "line 4: found unexpected end of stream (while scanning a quoted scalar, from line 2",
        ),
        ("fit: law: kaplan", "line 1: mapping values are not allowed here: mend the YAML there"),
    ):
        (workplace.path / "params.yaml").write_text(text)
        assert f"scalelab: params.yaml, {told}" in workplace.refusal("plan")
    for noise in (b"\xff", b"\x01", b"fit: !!bool x", b'fit: "\\U99999999"', b"fit: 2024-99-99"):
        (workplace.path / "params.yaml").write_bytes(noise)
        assert "params.yaml is not YAML: " in workplace.refusal("plan")


def test_files_that_are_not_there_are_named_with_their_remedy(workplace) -> None:
    assert "suite 'saturation' is not in params.yaml: choose one of law" in workplace.refusal("train", "saturation")
    (workplace.path / "params.yaml").unlink()
    assert "params.yaml is not there: run at the root of a scalelab checkout" in workplace.refusal("plan")
    workplace.write()
    (workplace.path / "data" / "corpus").unlink()
    assert "data/corpus holds no corpus: run `dvc repro corpus`" in workplace.refusal("train")


def test_params_cannot_be_changed(root: Path) -> None:
    params = load(root / "params.yaml")
    assert isinstance(params, Params)
    with pytest.raises(AttributeError):
        params.executor.workers = 9  # pyright: ignore[reportAttributeAccessIssue]
