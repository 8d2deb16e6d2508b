"""`scalelab bench longcontext` with somebody's model behind a server, and what it refuses."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from evals.longcontext import oolong, ruler
from evals.longcontext.arms.chunks import chunks
from evals.longcontext.item import Item
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.measure import SIDE
from evals.longcontext.programs import CHUNK_BYTES
from evals.longcontext.task import items
from experiments.bench.longcontext import TASKS
from tests.experiments.conftest import shell
from tests.serving import completion

Answer = tuple[int, bytes, dict[str, str]]
ASKED = ("bench", "longcontext", "--lm", "openai:m", "--items", "3")


def drawn(task: str, windows: int) -> list[Item]:
    """What ASKED asks."""
    return items(TASKS[task], Lexicon(), windows, 3, 1, SIDE)


def found(place: Path, url: str, *arguments: str) -> dict[str, Any]:
    done = shell(place, *ASKED, "--base-url", url, *arguments, "--json", "-")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_tasks_are_there() -> None:
    assert len(TASKS) == 10 + len(ruler.TASKS) + len(oolong.TASKS)


def test_a_model_that_finds_needles(tmp_path: Path, serve) -> None:
    """Whatever it is asked, it knows the number: what is looked at is how it is asked, and what that costs."""
    task = ruler.TASKS["niah_single_2"]
    golds = {item.question: item.gold for item in drawn(task.name, 4)}

    def answer(asked: dict[str, Any]) -> Answer:
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
        (("--concurrency", "0"), "--concurrency 0: give 1 or more"),
        (("--max-usd", "1"), "--max-usd 1 needs prices: give --usd-read and --usd-written"),
        (
            ("--lm", "builtin", "--max-calls", "9"),
            "--max-calls, --max-tokens, --max-usd, its prices and",
        ),
        (
            ("--lm", "builtin", "--arm", "direct", "--windows", "256"),
            "windows 256: direct reads 127 at most: leave",
        ),
    ],
)
def test_bad_input_is_refused_in_a_line(newcomer, arguments: tuple[str, ...], told: str) -> None:
    assert newcomer.refusal("bench", "longcontext", "--lm", "openai:m", *arguments).startswith(f"scalelab: {told}")


def test_an_arm_that_is_not_for_the_model_is_refused_before_anything_is_asked(tmp_path: Path, serve) -> None:
    server = serve(lambda asked: completion(asked, "none"), {"max_model_len": 100_000})
    done = shell(tmp_path, *ASKED, "--base-url", server.url, "--arm", "direct", "--arm", "dense")
    assert done.returncode == 2
    assert done.stderr == ("scalelab: arm dense: m gives no vectors: use a model from a folder, or leave the arm out\n")
    assert not [one for one in server.heard if one is not None]


def test_a_dry_run_says_what_would_run(tmp_path: Path) -> None:
    done = shell(tmp_path, *ASKED, "--arm", "truncation", "--arm", "summary", "--arm", "rlm-1", "--dry-run")
    asked = [item for task in ("argmax", "count_by_user") for windows in (1, 16) for item in drawn(task, windows)]
    num_chunks = sum(len(chunks(item.context, CHUNK_BYTES)) for item in asked)
    assert done.stdout == (
        "12 rows of 3 items: truncation, summary, rlm-1 on argmax, count_by_user, contexts of 1, 16 windows, with "
        "openai:m; 12 items for each arm; calls at most, but for those that fail and are made again, and chunks that "
        "no window holds: 12 by truncation, "
        f"{num_chunks} by summary; those of rlm-1 hang on programs, of which a solver writes 12 at most\n"
    )


def test_no_more_calls_are_under_way_than_may_be(tmp_path: Path, serve) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def answer(asked: dict[str, Any]) -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.05)
        with lock:
            under_way -= 1
        if asked["messages"][0]["content"].startswith("You answer"):
            return completion(asked, "```python\nanswer(ask_all('kinds ?', context.split(200))[0])\n```")
        return completion(asked, "none")

    server = serve(answer, {"max_model_len": 100_000})
    arms = ("--arm", "map-reduce", "--arm", "rlm-1")
    told = found(tmp_path, server.url, "--task", "argmax", "--windows", "4", *arms, "--concurrency", "3")
    assert most == 3
    assert told["spent"]["calls"] == len(server.heard) == 3 * sum(row["calls"] for row in told["rows"]) > 3 * 3


@pytest.mark.parametrize("second", ["map-reduce", "rlm-1"])
def test_what_the_budget_pays_for_is_kept(tmp_path: Path, serve, second: str) -> None:
    """One row of three calls; the second, whose fourth would be the sixth, is none."""
    rows_before = []

    def answer(asked: dict[str, Any]) -> Answer:
        rows_before.append(len(json.loads((tmp_path / "found.json").read_text())["rows"]))
        program = "answer(1, ready=False)"
        return completion(asked, f"```python\n{program}\n```" if "You answer" in str(asked) else "none")

    server = serve(answer, {"max_model_len": 100_000})
    arms = ("--task", "argmax", "--windows", "4", "--arm", "truncation", "--arm", second)
    caps = ("--max-calls", "5", "--max-usd", "1", "--usd-read", "1", "--usd-written", "1", "--json", "found.json")
    done = shell(tmp_path, *ASKED, "--base-url", server.url, *arms, *caps)
    assert done.returncode == 1
    assert done.stderr.endswith("\nscalelab: the budget's calls: 1 asked for, 0 left: 1 of 2 rows are there\n")
    assert rows_before == [0, 0, 0, 1, 1]
    told = json.loads((tmp_path / "found.json").read_text())
    assert [(row["arm"], row["calls"]) for row in told["rows"]] == [("truncation", 1)]
    assert told["exhausted"] == "the budget's calls: 1 asked for, 0 left"
    assert told["spent"]["calls"] == 5
    assert told["spent"]["usd"] == pytest.approx(told["spent"]["tokens"] / 1e6)
    assert f"5 calls, {told['spent']['tokens']:,} tokens, $0.00" in done.stdout


def test_calls_that_fail_are_made_again_as_often_as_elsewhere_and_count(tmp_path: Path, serve) -> None:
    server = serve(lambda asked: (503, b"{}", {"retry-after-ms": "1"}), {"max_model_len": 100_000})
    told = found(tmp_path, server.url, "--task", "argmax", "--windows", "1", "--arm", "direct", "--arm", "rlm-1")
    assert [(row["calls"], row["failed"]) for row in told["rows"]] == [(5, 3), (5, 3)]
    assert told["spent"]["calls"] == len(server.heard) == 2 * 3 * 5


def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(tmp_path: Path, serve) -> None:
    server = serve(lambda asked: completion(asked, "none"), {"max_model_len": 100_000})
    (tmp_path / "taken").mkdir()
    done = shell(tmp_path, *ASKED, "--base-url", server.url, "--json", "taken")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("scalelab: --json taken cannot be written")
    assert not server.heard


def test_a_context_beyond_the_window_fails_without_a_call(tmp_path: Path, serve) -> None:
    server = serve(lambda asked: completion(asked, "none"), {"max_model_len": 1000})
    told = found(tmp_path, server.url, "--task", "argmax", "--windows", "1", "--windows", "16", "--arm", "direct")
    assert [(row["length_windows"], row["calls"], row["failed"]) for row in told["rows"]] == [(1, 1, 0), (16, 0, 3)]
    assert "do not fit a window of 1000" in told["rows"][1]["reason"]
