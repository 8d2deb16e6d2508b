"""`scalelab bench longcontext` with somebody's model behind a server, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from evals.longcontext import oolong, ruler
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.measure import SIDE
from evals.longcontext.task import items
from experiments.bench.longcontext import TASKS
from tests.experiments.conftest import shell
from tests.serving import completion

ASKED = ("bench", "longcontext", "--lm", "openai:m", "--items", "3")


def found(place: Path, url: str, *arguments: str) -> dict[str, Any]:
    done = shell(place, *ASKED, "--base-url", url, *arguments, "--json", "-")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_tasks_are_there() -> None:
    assert len(TASKS) == 10 + len(ruler.TASKS) + len(oolong.TASKS)


def test_a_model_that_finds_needles(tmp_path: Path, serve) -> None:
    """Whatever it is asked, it knows the number: what is looked at is how it is asked, and what that costs."""
    task = ruler.TASKS["niah_single_2"]
    golds = {item.question: item.gold for item in items(task, Lexicon(), 4, 3, 1, SIDE)}

    def answer(asked: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        rules, said = asked["messages"][0]["content"], asked["messages"][-1]["content"]
        gold = next(gold for question, gold in golds.items() if question in said)
        return completion(asked, f'```python\nanswer("{gold}")\n```' if rules.startswith("You answer") else gold)

    url = serve(answer, {"max_model_len": 100_000}).url
    told = found(
        tmp_path, url, "--task", task.name, "--windows", "4", "--arm", "direct", "--arm", "rlm-1", "--arm", "map-reduce"
    )
    accuracy = {row["arm"]: row["accuracy"] for row in told["rows"]}
    assert accuracy["direct"] == accuracy["rlm-1"] == 1
    calls = {row["arm"]: row["calls"] for row in told["rows"]}
    assert calls["direct"] == calls["rlm-1"] == 1 < calls["map-reduce"]
    assert {pair["against"] for pair in told["contrasts"]} == {"direct", "map-reduce"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--task", "riddles"), "--task riddles: there is none such: give one of semniah,"),
        (("--arm", "oracle"), "--arm oracle: there is none such: give one of direct,"),
        (("--windows", "0"), "--windows 0: give 1 or more"),
        (("--items", "0"), "--items 0: give 1 or more"),
        (("--lm", "gpt"), "--lm 'gpt': give builtin, hf:PATH or openai:MODEL"),
    ],
)
def test_bad_input_is_refused_in_a_line(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    done = shell(tmp_path, "bench", "longcontext", "--lm", "openai:m", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"scalelab: {told}")
    assert done.stderr.count("\n") == 1


def test_an_arm_that_is_not_for_the_model_is_refused_before_anything_is_asked(tmp_path: Path, serve) -> None:
    server = serve(lambda asked: completion(asked, "none"), {"max_model_len": 100_000})
    done = shell(tmp_path, *ASKED, "--base-url", server.url, "--arm", "direct", "--arm", "dense")
    assert done.returncode == 2
    assert done.stderr == ("scalelab: arm dense: m gives no vectors: use a model from a folder, or leave the arm out\n")
    assert not [one for one in server.heard if one is not None]


def test_a_dry_run_says_what_would_run(tmp_path: Path) -> None:
    done = shell(tmp_path, *ASKED, "--dry-run")
    assert done.stdout.startswith(
        "12 rows of 3 items: truncation, map-reduce, rlm-1 on argmax, chain, contexts of 1, 16"
    )
