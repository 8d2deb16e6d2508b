"""Task files agree with the catalogue, and metrics with their definitions worked out otherwise."""

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest

from evals.abilities import ABILITIES, Item, items
from evals.tasks import dataset, metrics

TEMPLATES = {
    "direct": ("loglikelihood", "loglikelihood", {"exact_match", "logprob", "logprob_per_char", "chance"}),
    "steps": ("loglikelihood", "loglikelihood", {"exact_match", "logprob", "logprob_per_char", "chance"}),
    "choice": ("multiple_choice", "choice", {"acc", "brier", "choice_logprob", "chance"}),
    "generate": ("generate_until", "generate", {"exact_match", "edit_similarity", "chance"}),
    "sampled": (
        "generate_until",
        "sampled",
        {"pass@1", "pass@2", "pass@4", "pass@8", "majority@4", "majority@8", "chance"},
    ),
}


def expected_tasks() -> dict[str, tuple[str, str, str]]:
    """Of every task its item file, its template and its group, by the catalogue."""
    tasks = {f"scalelab_text_{end}": (f"text-{end}", "direct", "text") for end in ("early", "late")}
    for name, ability in ABILITIES.items():
        kind = ability.kind.replace("-", "_")
        for style in ability.styles:
            file, task = f"{name}-{style}", f"scalelab_{name}_{style}"
            tasks[task] = (file, style, kind)
            tasks[f"{task}_generate"] = (file, "generate", "generate")
            if items(ability, style, 1, seed=0)[0].choices:
                tasks[f"{task}_choice"] = (file, "choice", kind)
            if style == "steps":
                tasks[f"{task}_sampled"] = (file, "sampled", "sampled")
    return tasks


def test_there_is_a_task_of_every_ability_and_style(root: Path) -> None:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    index = TaskManager(include_path=root / "evals" / "tasks", include_defaults=False).task_index
    expected = expected_tasks()
    groups: dict[str, set[str]] = {}
    for name, entry in index.items():
        assert entry.yaml_path is not None
        config = load_yaml(entry.yaml_path)
        if "group" in config:
            groups[name] = set(config["task"])
            continue
        file, template, _ = expected.pop(name)
        output_type, function, names = TEMPLATES[template]
        assert config["output_type"] == output_type
        assert config["process_results"] is getattr(metrics, function)
        assert config["custom_dataset"] is dataset.load
        assert config["dataset_kwargs"]["file"] == file
        assert {metric["metric"] for metric in config["metric_list"]} == names
        assert (config["doc_to_text"], config["target_delimiter"], config["fewshot_delimiter"]) == ("prompt", "", "\n")
    assert not expected
    by_group: dict[str, set[str]] = {}
    for name, (_, _, group) in expected_tasks().items():
        by_group.setdefault(f"scalelab_{group}", set()).add(name)
    cheap = {f"scalelab_{name}" for name in ("in_context", "instruction", "reasoning")}
    assert groups == by_group | {"scalelab": cheap}


# Metrics

ROW: dict[str, Any] = vars(Item("recall", "direct", "rec:aX,bY,cZ?b>", "Y.", ("X", "Y", "Z"), "Y", "aX,bY,cZ", 1 / 3))


def test_choices_are_scored_as_their_definitions_say() -> None:
    probabilities = [0.2, 0.5, 0.05]  # Of all that can follow: three quarters are on the choices.
    scored = metrics.choice(ROW, [(math.log(p), False) for p in probabilities])
    shares = [p / 0.75 for p in probabilities]
    assert scored["acc"] == 1
    assert scored["brier"] == pytest.approx(shares[0] ** 2 + (1 - shares[1]) ** 2 + shares[2] ** 2)
    assert scored["choice_logprob"] == pytest.approx(math.log(shares[1]))
    assert metrics.choice(ROW, [(-1.0, False), (-2.0, False), (-3.0, False)])["acc"] == 0


def test_a_model_that_knows_nothing_scores_chance() -> None:
    scored = metrics.choice(ROW, [(-700.0, False)] * 3)
    assert set(scored) == {"acc", "brier", "choice_logprob", "chance"}
    for metric, value in scored.items():
        guessed = ROW["chance"] if metric == "chance" else metrics.chance(metric, ROW)
        assert value == pytest.approx(guessed), metric


def test_chance_of_samples_is_what_independent_guesses_score() -> None:
    rng, totals, num_items = random.Random(0), dict.fromkeys(("pass@1", "pass@2", "pass@4", "pass@8"), 0.0), 4000
    for _ in range(num_items):
        scored = metrics.sampled(ROW, [[rng.choice("XYZ") for _ in range(8)]])
        for metric in totals:
            totals[metric] += scored[metric] / num_items
    for metric, total in totals.items():
        chance = metrics.chance(metric, ROW)
        assert chance is not None
        assert total == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / num_items))


def test_likelihoods_have_no_chance() -> None:
    assert all(metrics.chance(name, ROW) is None for name in ("logprob", "logprob_per_char", "edit_similarity"))


@pytest.mark.parametrize("num_right", range(9))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(num_right: int) -> None:
    right = [True] * num_right + [False] * (8 - num_right)
    for k in metrics.PASS_AT:
        subsets = list(itertools.combinations(right, k))
        assert metrics.pass_at(k, 8, num_right) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_a_majority_of_wrong_workings_can_be_right() -> None:
    row = vars(Item("parity", "steps", "par#011>", "010=0.", (), "0", "011", 0.5))
    responses = ["111=1", "010=0", "000=0", "1", "010=1", "111=0", "0=0", "=0"]
    scored = metrics.sampled(row, [responses])
    assert scored["majority@4"] == 0  # Two and two: the one that came first.
    assert scored["majority@8"] == 1
    assert scored["pass@1"] == 5 / 8


def edits(a: str, b: str) -> int:
    if not a or not b:
        return len(a + b)
    return min(edits(a[1:], b) + 1, edits(a, b[1:]) + 1, edits(a[1:], b[1:]) + (a[0] != b[0]))


def test_similarity_is_one_less_the_share_of_edits() -> None:
    rng = random.Random(2)
    for _ in range(50):
        a, b = ("".join(rng.choices("abc", k=rng.randrange(6))) for _ in range(2))
        assert metrics.similarity(a, b) == pytest.approx(1 - edits(a, b) / max(len(a), len(b), 1))


def test_generated_answers_are_judged_by_the_ability() -> None:
    row = vars(Item("format", "direct", "say+x2+caps:kat>", "KAT-KAT.", (), "KAT-KAT", "kat", 0.0))
    scored = metrics.generate(row, ["KAT KAT"])
    assert scored == pytest.approx({"exact_match": 1.0, "edit_similarity": 6 / 7, "chance": 0.0})
    assert metrics.generate(row, ["kat-kat"])["exact_match"] == 0
    row = vars(Item("parity", "steps", "par#011>", "010=0.", (), "0", "011", 0.5))
    assert metrics.generate(row, ["111=0"]) == {"exact_match": 1.0, "edit_similarity": 1.0, "chance": 0.5}
