"""The comparison from a trained suite to its table, in small; and that its intervals hold what they say."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from experiments.distillation import Comparison, describe_distillation, run_distillation
from experiments.distillation_table import Key, Measured, contrast, contrasts, ratio_variance, residual_variance
from experiments.orphans import find_orphans
from experiments.project import Project
from sweeps import store
from sweeps.distil.params import DistillationParams, Way

MIXTURE: dict[str, Any] = {
    "documents": 800,
    "items": 8,
    "shares": {"transform": 2, "parity": 1},
    "dials": {"parity": {"num_bits": 11}},
}
SUITE: dict[str, Any] = {
    "family": "decoder",
    "data": "abilities",
    "grid": [{"sizes": [4], "tokens": [4800]}, {"sizes": [12], "tokens": [9600], "seeds": [0, 1]}],
    "training": {
        "sequence_length": 30, "batch_tokens": 480, "learning_rate": 0.01, "warmup_steps": 5, "compile": False,
    },
}  # fmt: skip
STORES = ("runs/distillation", "runs/evaluations/distillation")
WAYS: tuple[Way, ...] = ("data", "logits", "on-policy")
PARAMS = DistillationParams(suite="emergence", sizes=(8,), tokens=4800, on_policy_share=0.5, ways=WAYS)


@pytest.fixture(scope="module")
def place(make_workplace: Callable[[], Any]) -> Any:
    """A project whose suite is trained: three cells, of which two have the most compute."""
    place = make_workplace()
    place.tree |= {"abilities": MIXTURE, "suites": {"emergence": SUITE}}
    place.write()
    for arguments in (["abilities"], ["train", "emergence"]):
        done = place.scalelab(*arguments)
        assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def compared(place: Any) -> dict[str, Any]:
    """The table of three ways, one size and two seeds."""
    with contextlib.chdir(place.path):
        return run_distillation(Project.here(), PARAMS, Console(file=StringIO()))


def test_there_is_a_row_a_student_with_all_that_was_measured(compared: dict[str, Any], place: Any) -> None:
    assert json.loads(json.dumps(compared)) == compared
    rows = compared["rows"]
    assert [(row["seed"], row["way"]) for row in rows] == [(seed, way) for seed in (0, 1) for way in WAYS]
    assert len({(row["flops"], row["tokens"], row["params"]) for row in rows}) == 1
    for row in rows:
        record = store.read_json(place.path / f"runs/distillation/w0008-s{row['seed']}/{row['way']}/record.json")
        assert (row["loss"], row["loss_se"], row["tokens"]) == (record["loss"], record["loss_se"], 4800)
        assert set(row["scores"]) == {
            "scalelab_transform_direct", "scalelab_parity_direct", "scalelab_parity_steps_generate",
        }  # fmt: skip
        assert row["score"] == pytest.approx(np.mean(list(row["scores"].values())))
        for found in row["acceptance"].values():
            low, high = found["ci95"]
            assert 0 <= low <= found["rate"] <= high <= 1
            assert 1 <= found["length"] <= PARAMS.num_draft + 1
        assert bool(row["sampled_positions"]) == (row["way"] == "on-policy")
        assert bool(row["judged_positions"]) == (row["way"] != "data")


def test_the_teacher_is_the_best_of_the_most_compute(compared: dict[str, Any], place: Any) -> None:
    records = store.read_records(place.path / "runs", "emergence")
    most = [record for record in records if record["size"] == 12]
    best = min(most, key=lambda record: record["loss"])
    assert len(most) == 2
    assert compared["teacher"]["branch"] == f"{best['cell']}/t9600"
    assert compared["teacher"]["loss"] == best["loss"]


def test_a_contrast_is_the_mean_difference_of_the_rows(compared: dict[str, Any]) -> None:
    rows = {(row["way"], row["seed"]): row for row in compared["rows"]}
    metrics: dict[str, Callable[[dict[str, Any]], float]] = {
        "loss": lambda row: row["loss"],
        "score": lambda row: row["score"],
        "greedy": lambda row: row["acceptance"]["greedy"]["rate"],
        "sampling": lambda row: row["acceptance"]["sampling"]["rate"],
    }
    assert [row["way"] for row in compared["contrasts"]] == ["logits", "on-policy"]
    for row in compared["contrasts"]:
        assert (row["against"], row["size"]) == ("data", 8)
        for name, value in metrics.items():
            differences = [value(rows[row["way"], seed]) - value(rows["data", seed]) for seed in (0, 1)]
            assert row[name]["by_seed"] == pytest.approx(differences, abs=1e-5)
            assert row[name]["difference"] == pytest.approx(np.mean(differences), abs=1e-5)
            low, high = row[name]["ci95"]
            assert low <= row[name]["difference"] <= high


def test_a_second_run_trains_and_judges_nothing(compared: dict[str, Any], place: Any) -> None:
    files = sorted((place.path / "runs").rglob("*.json"))
    before = [file.stat().st_mtime_ns for file in files]
    told = StringIO()
    with contextlib.chdir(place.path):
        again = run_distillation(Project.here(), PARAMS, Console(file=told))
        described = describe_distillation(Project.here(), PARAMS)
    assert again == compared
    assert told.getvalue() == ""
    assert [file.stat().st_mtime_ns for file in files] == before
    assert f"teacher {compared['teacher']['branch']} of emergence" in described
    assert "6 students: sizes 8, seeds 0, 1, ways data, logits, on-policy, 4,800 tokens each" in described
    assert "0 to train" in described


def test_gc_takes_students_that_are_no_longer_asked_for(compared: dict[str, Any], place: Any) -> None:
    def named(distillation: DistillationParams | None) -> set[str]:
        project = Project.here()
        params = replace(project.params, distillation=distillation)
        found = find_orphans(Project(params))
        assert found.left_alone == {}
        return {str(orphan.path) for orphan in found.orphans}

    with contextlib.chdir(place.path):
        assert named(PARAMS) == set()
        second = {f"{store}/w0008-s1/{way}" for store in STORES for way in WAYS}
        assert named(replace(PARAMS, seeds=(0, 2))) == second
        # What data alone taught does not depend on how much of the on-policy way is on-policy.
        assert named(replace(PARAMS, on_policy_share=0.25)) == {
            f"{store}/w0008-s{seed}/on-policy" for store in STORES for seed in (0, 1)
        }
        whole = {f"{STORES[0]}/w0008-s{seed}" for seed in (0, 1)} | {f"{STORES[1]}/w0008-s{seed}" for seed in (0, 1)}
        assert named(None) == whole | {"runs/evaluations/distillation/teacher"}


def test_a_dry_run_counts_what_another_comparison_would_train(compared: dict[str, Any], place: Any) -> None:
    with contextlib.chdir(place.path):
        project = Project.here()
        others = [replace(PARAMS, teacher="w0004-s0/t4800"), replace(PARAMS, seeds=(0, 2)), replace(PARAMS, beta=0.1)]
        found = [describe_distillation(project, params) for params in others]
        named = Comparison(project, others[0]).teacher[2]
    assert [f"{count} to train" in text for count, text in zip((4, 3, 2), found, strict=True)] == [True] * 3
    assert named["cell"] == "w0004-s0"


def test_what_cannot_be_compared_is_refused_in_one_line(place: Any) -> None:
    with contextlib.chdir(place.path):
        project = Project.here()
        for params, message in (
            (replace(PARAMS, teacher="w0099-s0/t1"), "teacher 'w0099-s0/t1' is no branch of emergence"),
            (replace(PARAMS, tokens=10**7), "tokens is 10000000, there are 24000: raise abilities.documents"),
            (replace(PARAMS, suite="nothing"), "suite 'nothing' is not in params.yaml"),
        ):
            with pytest.raises(ValueError, match=message):
                describe_distillation(project, params)
        suite = replace(project.suite("emergence"), data="text")
        on_text = replace(project, params=replace(project.params, suites={"emergence": suite}))
        with pytest.raises(ValueError, match="trains on text: distil in one whose data are abilities"):
            describe_distillation(on_text, PARAMS)
        untrained = replace(project, runs=Path("elsewhere"))
        with pytest.raises(ValueError, match="is not trained: run `scalelab train emergence`"):
            describe_distillation(untrained, PARAMS)


# The intervals, on students whose truth is known.

NUM_ITEMS, SEEDS, SIZES = 60, (0, 1), (16, 32)
EFFECTS = {"data": 0.0, "sequence": 0.3, "logits": -0.2}


def students(rng: np.random.Generator, item_spread: float, seed_spread: float) -> dict[Key, Measured]:
    """Students of a true effect a way, with items that tell ways apart unequally and trainings that fall unequally."""
    weights = rng.integers(1, 12, NUM_ITEMS).astype(float)
    found = {}
    for size in SIZES:
        tastes = {way: rng.normal(0, item_spread, NUM_ITEMS) for way in EFFECTS}
        shared = rng.normal(0, 1, NUM_ITEMS)  # easy and hard items, for everyone
        for seed in SEEDS:
            luck_of_seed = rng.normal()
            for way, effect in EFFECTS.items():
                luck = rng.normal(0, seed_spread)
                values = (effect + shared + tastes[way] + luck_of_seed + luck) * weights
                found[way, size, seed] = Measured(values, weights)
    return found


@pytest.mark.parametrize(("item_spread", "seed_spread"), [(1.0, 0.02), (0.05, 0.3), (0.7, 0.1)])
def test_intervals_hold_the_truth_as_often_as_they_say(item_spread: float, seed_spread: float) -> None:
    rng, num_trials, held = np.random.default_rng(0), 300, 0
    for _ in range(num_trials):
        low, high = contrast(students(rng, item_spread, seed_spread), "sequence", 16, SEEDS)["ci95"]
        held += low <= 0.3 <= high
    assert 0.91 <= held / num_trials <= 1


def test_what_all_students_share_widens_no_interval() -> None:
    found = contrast(students(np.random.default_rng(0), 0.0, 0.0), "logits", 32, SEEDS)
    assert found["difference"] == pytest.approx(-0.2)
    assert found["ci95"] == pytest.approx([-0.2, -0.2], abs=1e-6)


def test_the_residual_is_that_of_the_analysis_of_variance() -> None:
    one = np.ones(1)
    means = {"data": (1.0, 2.0), "logits": (1.5, 2.1), "sequence": (0.7, 2.2)}
    found = {(way, 16, seed): Measured(one * values[seed], one) for way, values in means.items() for seed in SEEDS}
    # By hand: with two blocks the residual sum of squares is half that of the differences about their mean.
    differences = np.array([second - first for first, second in means.values()])
    expected = ((differences - differences.mean()) ** 2).sum() / 2
    residual, freedom = residual_variance(found, SEEDS)
    assert freedom == 2
    assert residual == pytest.approx(expected / 2)


def test_the_items_variance_is_that_of_a_mean_where_all_weigh_alike() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert ratio_variance(values, np.ones(50)) == pytest.approx(values.var(ddof=1) / 50)


def test_contrasts_are_of_every_way_but_data_at_every_size() -> None:
    found = students(np.random.default_rng(0), 0.1, 0.1)
    metrics = ("loss", "score", "greedy", "sampling")
    rows = contrasts({key: dict.fromkeys(metrics, measured) for key, measured in found.items()})
    assert [(row["way"], row["size"]) for row in rows] == [
        ("sequence", 16), ("logits", 16), ("sequence", 32), ("logits", 32),
    ]  # fmt: skip
