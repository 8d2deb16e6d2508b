"""What a run leaves in its trace: all of it, enough to go on after a crash, and to tell it again without the model."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm.budget import Budget
from rlm.lm import Messages, ModelError, Price, Reply, Scripted
from rlm.replay import Replayed
from rlm.solver import RLM
from rlm.trace import last_run, read_events
from tests.rlm.scripted import programs, recursive


class Failing(Scripted):
    """Does not answer the call of that number, once."""

    def __init__(self, answers: Callable[[Messages], str], fails: int) -> None:
        super().__init__(answers)
        self.fails = fails

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        if len(self.heard) == self.fails:
            self.fails = -1
            raise ModelError("the server is gone")
        return await super().complete(messages, max_tokens)


def test_a_failure_is_told_and_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lm = Failing(recursive, 0)
    assert RLM(lm, depth=2, trace=path).solve("whole", "x\ny\n" * 20).status == "failed"
    for fails, heard in ((4, 28), (29, 30), (30, 30)):  # a solver, before it asks of its halves; either half
        lm.fails = fails
        solver = RLM(lm, depth=2, trace=path, resume=True, concurrency=1, max_turns=1)
        assert solver.solve("whole", "x\ny\n" * 20).status == "exhausted"
        assert len(lm.heard) == heard
    found = RLM(lm, depth=2, trace=path, resume=True).solve("whole", "x\ny\n" * 20)
    assert (found.answer, found.status, found.calls) == (20, "done", 31 + 4)
    assert len(lm.heard) == 31
    with pytest.raises(ValueError, match="is there already: name another file, or resume it"):
        RLM(lm, trace=path).solve("whole", "x\n")
    with pytest.raises(ValueError, match="is of a run with other question"):
        RLM(lm, trace=path, resume=True).solve("another", "x\n")


def test_a_trace_that_a_crash_cut_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    RLM(Scripted(recursive), depth=2, trace=path).solve("whole", "x\ny\n" * 20)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:30]) + lines[30][:25])
    lm = Scripted(recursive)
    assert RLM(lm, depth=2, trace=path, resume=True).solve("whole", "x\ny\n" * 20).answer == 20
    kept = sum(b'"event": "call"' in line for line in lines[:30])
    assert len(lm.heard) == 31 - kept
    again = Scripted(recursive)
    assert RLM(again, depth=2, trace=path, resume=True).solve("whole", "x\ny\n" * 20).answer == 20
    assert not again.heard


def test_a_run_is_replayed_from_its_trace_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    first = RLM(Scripted(recursive), depth=2, trace=path).solve("whole", "x\ny\n" * 20)
    lm = Scripted([])
    again = RLM(Replayed(lm, read_events(path)), depth=2).solve("whole", "x\ny\n" * 20)
    assert (again.answer, again.calls, again.tokens) == (first.answer, first.calls, first.tokens)
    other = RLM(Replayed(lm, read_events(path)), depth=2).solve("other", "x\n")
    assert (other.status, other.reason) == ("failed", "scripted: the trace has no answer to this call")


def test_every_event_is_in_the_trace(tmp_path: Path) -> None:
    path, heard = tmp_path / "run.jsonl", []
    RLM(Scripted(recursive), depth=2, trace=path, listen=heard.append).solve("whole", "x\ny\n" * 20)
    events = read_events(path)
    assert [event["event"] for event in events] == [event["event"] for event in heard]
    assert last_run(events) == events
    kinds = [event["event"] for event in events]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "run": 1,
        "sandbox": 1,
        "node": 11,
        "call": 31,
        "program": 11,
        "end": 11,
    }
    parents = {event["node"]: event["parent"] for event in events if event["event"] == "node"}
    assert parents == {0: None} | dict.fromkeys(range(1, 11), 0)


def test_a_run_that_ran_out_goes_on_with_more(tmp_path: Path) -> None:
    lm, path = Scripted(recursive), tmp_path / "t"
    first = RLM(lm, depth=2, trace=path, budget=Budget(calls=12)).solve("whole", "x\ny\n" * 20)
    assert (first.status, len(lm.heard)) == ("exhausted", 12)
    more = RLM(lm, depth=2, trace=path, resume=True, budget=Budget(calls=100)).solve("whole", "x\ny\n" * 20)
    assert (more.answer, more.calls, len(lm.heard)) == (20, 31, 31)


def gone(messages: Messages) -> str:
    raise ModelError("gone")


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (Budget(calls=3), "calls: 1 asked for, 0 left"),
        (Budget(tokens=3 * 1500), r"tokens: 1,\d+ asked for, \d+ left"),
        (Budget(usd=3 * 1.5), r"usd: 1\.\d+ asked for, 0\.\d+ left"),
    ],
    ids=["calls", "tokens", "usd"],
)
def test_what_failed_calls_cost_is_not_spent_again(tmp_path: Path, budget: Budget, told: str) -> None:
    lm, path = Scripted(gone, price=Price(1000.0, 1000.0)), tmp_path / "t"
    found = [RLM(lm, trace=path, resume=number > 0, budget=budget).solve("q", "text") for number in range(5)]
    assert [one.status for one in found] == ["failed"] * 3 + ["exhausted"] * 2
    assert [one.calls for one in found] == [1, 2, 3, 3, 3]
    assert len(lm.heard) == 3
    assert re.fullmatch(f"the budget's {told}", found[-1].reason)


def test_what_a_resumed_run_does_not_ask_again_counts_too(tmp_path: Path) -> None:
    """A program fails with its call, and another is written for it; resumed, the first goes on."""
    lm = Failing(programs("answer(ask('q', 'a'))", "answer(ask('q', 'b') + undefined)", "answer(3)").answers, 1)
    path = tmp_path / "t"
    first = RLM(lm, trace=path, budget=Budget(calls=4)).solve("q", "text")
    assert (first.status, first.calls, len(lm.heard)) == ("exhausted", 4, 3)
    last = RLM(lm, trace=path, resume=True, budget=Budget(calls=5)).solve("q", "text")
    assert (last.answer, last.calls, len(lm.heard)) == ("read", 5, 4)
    calls = [event for event in read_events(path) if event["event"] == "call"]
    assert [call["replayed"] for call in calls] == [False] * 4 + [True, False]
    assert last.tokens == sum(
        call["prompt_tokens"] + call["completion_tokens"] for call in calls if not call["replayed"]
    )


def test_what_is_no_trace_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a line of mine")
    with pytest.raises(ValueError, match=r"is of no run: name another file"):
        RLM(Scripted([]), trace=path, resume=True).solve("q", "text")
    assert path.read_text() == "a line of mine"
