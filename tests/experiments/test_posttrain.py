"""The post-training stage on a tiny project whose model has hardly learnt: arms that are kept, rows, and refusals."""

import copy
import json
from typing import Any

import pytest

from evals.longcontext.lexicon import Lexicon
from experiments.posttrain import contrasts
from experiments.rollouts import prompt, questions
from rlm.policy import num_pieces
from sweeps.posttrain.params import PosttrainParams
from tests.conftest import Workplace

MODEL = "policy/w0016-s0"
ASKED = {"tasks": ["count"], "questions": 2, "group": 2, "batch": 2, "epochs": 1, "windows": [1], "items": 2}


@pytest.fixture(scope="module")
def place(make_workplace: Any) -> Workplace:
    place = make_workplace()
    training = {**place.tree["suites"]["law"]["training"], "sequence_length": 128, "batch_tokens": 512}
    grid = [{"sizes": [16], "tokens": [10_240]}]
    place.set("executor.workers", 2)
    place.set("world", {"lessons": 90, "held_out": 8, "words": 1200})
    place.set("suites.policy", {"family": "decoder", "data": "world", "grid": grid, "training": training})
    measured = [{"tasks": ["count"], "arms": ["rlm-1"], "windows": [1], "items": 2}]
    place.set("longcontext", {"model": MODEL, "measured": measured})
    place.set("posttrain", ASKED)
    assert place.scalelab("world").returncode == 0
    place.trained("policy")
    return place


@pytest.fixture(scope="module")
def found(place: Workplace) -> dict[str, Any]:
    half = place.path / "runs/posttrain/rft.part/checkpoint"  # as a run that was killed leaves it
    half.mkdir(parents=True)
    (half / "model.safetensors").write_text("half")
    done = place.scalelab("posttrain")
    assert done.returncode == 0, done.stderr
    assert f"accuracy (tokens) of {MODEL} and after it" in done.stdout
    assert "intervals are over questions, not over trainings" in done.stdout
    assert not half.exists()
    return json.loads((place.path / "results/posttrain.json").read_text())


def test_both_arms_stand_beside_the_model(found: dict[str, Any]) -> None:
    assert found["base"]["name"] == MODEL
    assert [row["leaves"] for row in found["base"]["rows"]] == ["own"]
    assert [arm["method"] for arm in found["arms"]] == ["rft", "grpo"]
    for arm in found["arms"]:
        assert arm["sampled"] == 4
        assert 0 <= arm["kept"] <= 4
        assert (arm["trained_tokens"] > 0) == (arm["kept"] > 0)
        assert arm["seconds"] > 0
        assert [row["leaves"] for row in arm["rows"]] == ["own", "base"]
        assert [(pair["task"], pair["leaves"]) for pair in arm["contrasts"]] == [
            (task, leaves) for leaves in ("own", "base") for task in ("count", "all")
        ]
    for row in [*found["base"]["rows"], *(row for arm in found["arms"] for row in arm["rows"])]:
        assert (row["task"], row["length_windows"], row["num_items"]) == ("count", 1, 2)
        assert row["accuracy"] == sum(row["scores"]) / 2
        assert row["ci95"][0] <= row["accuracy"] <= row["ci95"][1]
        assert row["tokens"] == sum(row["tokens_by_item"]) / 2 > 10
        assert 0 <= row["valid_programs"] <= 1


def test_gc_takes_arms_and_rows_that_are_no_longer_asked_for(found: dict[str, Any], place: Workplace) -> None:
    def named(section: str, key: str, value: Any) -> set[str]:
        before = copy.deepcopy(place.tree)
        place.set(f"{section}.{key}", value)
        done = place.scalelab("gc", "--dry-run", "--json", "-")
        place.tree = before
        place.write()
        assert done.returncode == 0, done.stderr
        return {orphan["path"] for orphan in json.loads(done.stdout)["orphans"]}

    assert named("posttrain", "items", ASKED["items"]) == set()
    assert named("posttrain", "methods", ["rft"]) == {"runs/posttrain/grpo"}
    # Arms trained on other questions; the first model's rows are of no training.
    assert named("posttrain", "questions", 4) == {f"runs/posttrain/{method}" for method in ("rft", "grpo")}


def test_arms_and_rows_are_kept(place: Workplace, found: dict[str, Any]) -> None:
    files = [path for path in (place.path / "runs/posttrain").rglob("*") if path.is_file()]
    kept = {path: path.stat().st_mtime_ns for path in files}
    assert {path.name for path in files} >= {"record.json", "rows.json", "model.safetensors", "tokenizer.json"}
    said = "rft and grpo of policy/w0016-s0, each on 2 questions x 2 programs: {} to train; 1 tasks, 1 lengths, {} "
    assert place.scalelab("posttrain", "--dry-run").stdout.startswith(said.format(0, "2 items: 0 of 3"))
    assert place.scalelab("posttrain").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    again = json.loads((place.path / "results/posttrain.json").read_text())
    assert again["arms"] == found["arms"]
    for key, value, told in (("items", 3, (0, "3 items: 3 of 3")), ("learning_rate", 1e-3, (2, "2 items: 2 of 3"))):
        place.set("posttrain", {**ASKED, key: value})
        assert place.scalelab("posttrain", "--dry-run").stdout.startswith(said.format(*told))
    place.set("posttrain", ASKED)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (
            "posttrain",
            None,
            "posttrain is missing in params.yaml: add it, with its tasks, or `scalelab use",
        ),
        ("posttrain.tasks", ["poem"], "posttrain.tasks has 'poem': choose of semniah, chain, count"),
        ("posttrain.group", 1, "posttrain: group is 1: give 2 or more"),
        ("posttrain.methods", ["ppo"], "posttrain.methods[0] is 'ppo': choose one of rft, grpo"),
        ("longcontext", None, "posttrain goes on from longcontext.model and longcontext is missing: add it"),
    ],
)
def test_one_line_for_what_cannot_be(place: Workplace, key: str, value: Any, told: str) -> None:
    kept = json.loads(json.dumps(place.tree))
    try:
        place.set(key, value)
        assert told in place.refusal("posttrain")
    finally:
        place.tree = kept
        place.write()


def test_questions_are_of_every_task_and_length() -> None:
    params = PosttrainParams(tasks=("count", "argmax"), questions=8, batch=4, windows=(1, 2))
    drawn = questions(params, Lexicon(num_words=1200))
    shapes = [(item.task, item.meta["windows"]) for item in drawn]
    assert sorted(shapes) == sorted(2 * [(task, windows) for task in ("count", "argmax") for windows in (1, 2)])
    assert len({item.context for item in drawn}) == 8
    assert drawn == questions(params, Lexicon(num_words=1200))
    assert all(10 <= num_pieces(prompt(item)) <= 32 for item in drawn)


def test_contrasts_are_paired_and_pooled() -> None:
    def row(task: str, scores: list[float], tokens: list[int]) -> dict[str, Any]:
        told = {"task": task, "length_windows": 1, "leaves": "own", "num_items": 2}
        return {**told, "scores": scores, "tokens_by_item": tokens}

    before = [row("count", [0.0, 0.0], [80, 120]), row("argmax", [0.0, 1.0], [300, 300])]
    found = contrasts([row("count", [1.0, 1.0], [40, 60]), row("argmax", [0.0, 1.0], [100, 200])], before)
    assert [(pair["task"], pair["difference"]) for pair in found] == [("count", 1), ("argmax", 0), ("all", 0.5)]
    z2 = 1.959964**2
    assert found[0]["ci95"] == pytest.approx([(2 - z2) / (2 + z2), 1]), "two items leave much open"
    assert found[2]["ci95"][0] < 0.5 < found[2]["ci95"][1]
    assert [pair["num_items"] for pair in found] == [2, 2, 4]
    assert all(pair["tokens_ratio"] == 0.5 for pair in found)
    assert found[0]["tokens_ratio_ci95"] == pytest.approx([0.5, 0.5]), "each item takes half"
    low, high = found[1]["tokens_ratio_ci95"]
    assert 1 / 3 < low < 0.5 < high < 2 / 3
