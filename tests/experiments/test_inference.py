"""The inference stage on a tiny project: rows that are kept, and one line for what cannot be measured."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.inference import analyse
from analysis.pages_inference import QUESTION
from experiments import inference, kept
from experiments.measurements import Measurement, Measurements, held_out_text
from experiments.project import Project
from sweeps import store
from tests.analysis.inference_rows import inference_table

DRAFTER, TARGET = "w0016-l1-s0", "w0016-l2-s0"


@pytest.fixture(scope="module")
def family(make_workplace) -> Any:
    """Two depths of one width, trained; a technique of each kind that costs little is to be measured."""
    place = make_workplace()
    law = place.tree["suites"]["law"]
    place.set("suites.inference", {**law, "grid": [{"sizes": [16], "layers": [1, 2], "tokens": [20_480, 40_960]}]})
    measured = [{"techniques": ["kv-cache", "batching"], "prompts": [16], "outputs": [8], "batches": [2]}]
    place.set("inference", {"drafter": DRAFTER, "pairs": 6, "precision": ["bfloat16"], "measured": measured})
    place.trained("inference")
    return place


@pytest.fixture(scope="module")
def found(family) -> dict[str, Any]:
    done = family.scalelab("inference")
    assert done.returncode == 0, done.stderr
    return json.loads((family.path / "results/inference.json").read_text())


def test_the_stage_writes_rows_with_their_checks(found: dict[str, Any]) -> None:
    assert [(row["technique"], row["model"], row["status"]) for row in found["rows"]] == [
        (technique, TARGET, "ok") for technique in ("kv-cache", "batching")
    ]
    for row in found["rows"]:
        assert (row["family"], row["layers"], row["size"], row["trained"], row["tokens"]) == (
            "decoder", 2, 16, True, 40_960,
        )  # fmt: skip
        assert row["check"]["kind"] == "token-exact"
        assert row["check"]["passed"]
    assert found["control"]["repetitions"] == 20
    assert found["machine"]["bytes_per_second"] > 1e8


def test_pairs_and_branches_of_the_family_are_told(found: dict[str, Any]) -> None:
    (pair,) = found["acceptance"]
    assert (pair["target"].partition("/")[0], pair["drafter"].partition("/")[0]) == (TARGET, DRAFTER)
    assert pair["greedy_ci95"][0] <= pair["greedy"] <= pair["greedy_ci95"][1]
    told = {(row["model"], row["tokens"]) for row in found["precision"]}
    assert told == {(f"{cell}/t{tokens}", tokens) for cell in (DRAFTER, TARGET) for tokens in (20_480, 40_960)}
    assert all(0 <= row["kl"] < 0.01 for row in found["precision"])


def asked() -> list[Measurement]:
    project = Project.here()
    assert project.params.inference is not None
    return Measurements(project, project.params.inference).rows


def test_a_branch_that_diverged_is_left_out_of_the_familys_tables_and_named(
    make_workplace, family, monkeypatch
) -> None:
    place = make_workplace()
    place.tree = json.loads(json.dumps(family.tree))
    place.set("inference.pairs", 6)
    place.copy_runs(family)
    path = place.path / f"runs/inference/{TARGET}/t20480/record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "diverged", "reason": "loss 9.1 at step 3"}))
    monkeypatch.chdir(place.path)
    project, said = Project.here(), Console(record=True, width=120)
    assert project.params.inference is not None
    found = inference.Family.of(Measurements(project, project.params.inference), said)
    assert [*found.members] == [f"{DRAFTER}/t20480", f"{DRAFTER}/t40960", f"{TARGET}/t40960"]
    assert f"inference/{TARGET}/t20480 diverged: it is left out of acceptance and precision" in said.export_text()


def test_a_row_is_kept_as_long_as_nothing_that_decides_it_changes(family, found, monkeypatch) -> None:
    monkeypatch.chdir(family.path)
    rows = asked()
    assert [one.read() for one in rows] == found["rows"]
    assert "0 to measure" in " ".join(family.scalelab("inference", "--dry-run").stdout.split())
    assert inference.is_of_present_grid(Project.here())
    for key, other, before in (
        ("inference.pairs", 7, 6),
        ("inference.least_seconds", 1, 0),
        ("executor.workers", 2, 1),
    ):
        family.set(key, other)
        changed = asked()
        family.set(key, before)
        assert [one.path for one in changed] == [one.path for one in rows]
        assert [one.read() for one in changed] == [None, None]
    with monkeypatch.context() as patch:
        patch.setattr("experiments.measurements.held_out_text", lambda folder: held_out_text(folder)[1:])
        assert [one.read() for one in asked()] == [None, None]
    with monkeypatch.context() as patch:
        patch.setattr("experiments.measurements.LIBRARIES", ("numpy",))
        assert [one.read() for one in asked()] == [None, None]


def test_the_machine_is_measured_once_for_rows_of_the_same_code_and_pairs(family, found, monkeypatch) -> None:
    monkeypatch.chdir(family.path)
    project, path = Project.here(), Path("runs/measurements/machine.json")
    params = project.params.inference
    assert params is not None
    told = store.read_json(path)
    assert told["machine"]["control"] == found["control"]
    (block,) = params.measured
    other = replace(params, measured=(replace(block, techniques=("sdpa",), least_seconds=3.0), block))
    assert inference.kept_machine(path, Measurements(project, other), workers=1) == told["machine"]
    more = inference.kept_machine(path, Measurements(project, replace(params, pairs=7)), workers=1)
    assert (told["machine"]["control"]["pairs"], more["control"]["pairs"]) == (6, 7)
    assert more["ceilings"] != told["machine"]["ceilings"]
    store.write_json(path, told)


def test_a_block_may_take_turns_for_longer_than_the_stages_others(family, monkeypatch) -> None:
    monkeypatch.chdir(family.path)
    before = family.tree["inference"]
    longer = {"techniques": ["sdpa"], "prompts": [16], "outputs": [8], "least_seconds": 7}
    family.set("inference", {**before, "least_seconds": 2, "measured": [*before["measured"], longer]})
    try:
        assert {one.job.technique: one.job.least_seconds for one in asked()} == {
            "kv-cache": 2, "batching": 2, "sdpa": 7,
        }  # fmt: skip
        assert "6 turns of both sides, and more where so many take less than 2 or 7 s" in " ".join(
            family.scalelab("inference", "--dry-run").stdout.split()
        )
    finally:
        family.set("inference", before)


def test_random_weights_do_not_make_results_old(family, found, monkeypatch) -> None:
    """They are made anew wherever they are missing: what is asked of the checkpoints has not changed."""
    monkeypatch.chdir(family.path)
    before = family.tree["inference"]
    block = {"techniques": ["kv-cache"], "models": ["random"], "prompts": [16], "outputs": [8], "batches": [2]}
    random = {"random": {"size": 16, "layers": 2}, "measured": [*before["measured"], block]}
    family.set("inference", {**before, **random})
    assert "rows of random weights that are still to be made" in " ".join(
        family.scalelab("inference", "--dry-run").stdout.split()
    )
    assert [(one.target.name, one.job.random) for one in asked()] == [
        (TARGET, False),
        (TARGET, False),
        ("random", True),
    ]
    assert inference.is_of_present_grid(Project.here())
    family.set("inference", before)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("inference.measured", [{"techniques": ["magic"]}], "techniques has 'magic': choose of kv-cache, "),
        ("inference.measured", [], "measured is empty: list at least one block of techniques"),
        ("inference.measured", [{"techniques": ["sdpa"], "prompts": [0]}], "prompts has 0: give 1 or more"),
        (
            "inference.measured",
            [{"techniques": ["sdpa"], "models": ["random"]}],
            "models has random: give random, with",
        ),
        (
            "inference.measured",
            [{"techniques": ["sdpa"], "models": ["w9"]}],
            "inference names 'w9', which is no cell of",
        ),
        ("inference.measured", [{"techniques": ["sdpa"]}], "prompt_tokens 64 and new_tokens 64: the window of "),
        ("inference.pairs", 5, "pairs is 5: give 6 or more, fewer have no interval of 95%"),
        ("inference.least_seconds", -1.0, "least_seconds is -1.0: give a finite number, 0 or more"),
        (
            "inference.measured",
            [{"techniques": ["sdpa"], "least_seconds": -2.0}],
            "least_seconds is -2.0: give a finite number, 0 or more",
        ),
        (
            "inference.measured",
            [{"techniques": ["sdpa"], "prompts": [16], "outputs": [8], "least_seconds": least} for least in (1, 2)],
            "measured asks twice for sdpa on w0016-l2-s0 with least_seconds 2 and 1: give the row one of them",
        ),
        ("inference.drafter", "w7", "inference names 'w7', which is no cell of inference"),
        ("inference.suite", "laws", "inference.suite is 'laws': choose one of law, inference"),
        ("inference", None, "inference is missing in params.yaml: add it"),
    ],
)
def test_bad_input_is_one_line(make_workplace, family, key: str, value: Any, message: str) -> None:
    place = make_workplace()
    place.tree = json.loads(json.dumps(family.tree))
    place.copy_runs(family)
    place.set("inference.measured", [{"techniques": ["kv-cache"], "prompts": [16], "outputs": [8]}])
    place.set(key, value)
    assert message in place.refusal("inference", "--dry-run")


def test_a_checkpoint_that_is_gone_is_one_line(make_workplace, family) -> None:
    place = make_workplace()
    place.tree = json.loads(json.dumps(family.tree))
    place.copy_runs(family)
    place.write()
    for checkpoint in (place.path / "runs/inference").glob("*/*/checkpoint"):
        shutil.rmtree(checkpoint)
    assert "checkpoint is not there, its record is: " in place.refusal("inference", "--dry-run")


def test_what_was_measured_whole_is_in_the_report_under_its_machines_name(tmp_path: Path, monkeypatch) -> None:
    table = inference_table()
    (tmp_path / "archive/epyc").mkdir(parents=True)
    (tmp_path / "archive/epyc/inference.json").write_text(json.dumps(table | analyse(table)))
    monkeypatch.setattr(kept, "ARCHIVE", tmp_path / "archive")
    monkeypatch.chdir(tmp_path)
    sections = inference.report_sections()
    assert QUESTION in [section.title for section in sections]
    assert {section.origin for section in sections} == {"epyc, inference preset, revision 0123abc"}


def test_untrained_cells_are_named_with_their_remedy(make_workplace, family, tmp_path: Path) -> None:
    place = make_workplace()
    place.tree = json.loads(json.dumps(family.tree))
    place.write()
    assert "4 branches are not trained" in place.refusal("inference", "--dry-run")
