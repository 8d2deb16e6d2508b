"""No counter passes its cap, whatever is under way, and the ledger is the sum of the calls."""

import asyncio
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm.budget import Budget, Exhausted, Ledger
from rlm.calls import Caller, TooLong
from rlm.lm import Message, Messages, ModelError, Price, Reply, Scripted
from rlm.trace import Trace, read_events

PRICE = Price(1_000_000 / 1024, 2_000_000 / 1024)  # dyadic: sums of them are exact


class Unreliable(Scripted):
    """Fails now and then, writes as many tokens as it likes, and yields to others in between."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__(lambda messages: "", price=PRICE, window=400)
        self.draw = draw

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        for _ in range(self.draw.randrange(3)):
            await asyncio.sleep(0)
        if self.draw.random() < 0.2:
            raise ModelError("failed", self.draw.random() < 0.5, num_retries=self.draw.randrange(3), after=0.0)
        return Reply("", self.num_tokens(messages), self.draw.randrange(max_tokens + 1))


def random_tree(seed: int, path: Path, run: Callable[..., Any]) -> tuple[Ledger, list[Ledger]]:
    """Spends until nothing is left: nodes that call, call in batches, and have children with caps of their own."""
    draw = random.Random(seed)
    root = Ledger(
        Budget(
            draw.choice([None, draw.randrange(60)]),
            draw.choice([None, draw.randrange(20_000)]),
            usd=draw.choice([None, draw.randrange(20_000) / 1024]),
        )
    )
    nodes = [root]
    lm = Unreliable(draw)

    def check() -> None:
        for node in nodes:
            for counter in ("calls", "tokens", "usd"):
                cap = getattr(node.budget, counter)
                used = getattr(node.spent, counter) + getattr(node.reserved, counter)
                assert cap is None or used <= cap

    async def call(caller: Caller, node: Ledger) -> None:
        prompt = (Message("user", "w " * draw.randrange(1, 450)),)
        try:
            await caller.call(lm, lambda: prompt, draw.randrange(1, 200), node, nodes.index(node), "ask")
        except (Exhausted, ModelError, TooLong):
            pass
        finally:
            check()

    async def spend(caller: Caller, node: Ledger, depth: int) -> None:
        for _ in range(draw.randrange(1, 4)):
            if depth and draw.random() < 0.4:
                child = node.child(Budget(calls=draw.choice([None, 3]), tokens=draw.choice([None, 900])))
                nodes.append(child)
                await spend(caller, child, depth - 1)
            else:
                await asyncio.gather(*(call(caller, node) for _ in range(draw.choice([1, 1, 5, 24]))))

    async def whole(trace: Trace) -> None:
        caller = Caller(trace, 16)
        await asyncio.gather(*(spend(caller, root, 3) for _ in range(3)))

    with Trace(path) as trace:
        run(whole(trace))
    return root, nodes


@pytest.mark.parametrize("part", range(10))
def test_of_a_thousand_random_trees_none_passes_a_cap(part: int, tmp_path: Path, run) -> None:
    """The sums are held against the trace, which knows nothing of the ledger; a call that is refused is no call."""
    num_failed = 0
    for seed in range(100 * part, 100 * part + 100):
        path = tmp_path / f"{seed}.jsonl"
        root, nodes = random_tree(seed, path, run)
        calls = read_events(path)
        told = {
            "calls": len(calls),
            "tokens": sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls),
            "usd": sum(call["usd"] for call in calls),
        }
        assert vars(root.spent) == told
        assert all(set(vars(node.reserved).values()) == {0} for node in nodes)
        own = [call for call in calls if call["node"] == 0]
        children = [node for node in nodes if node.parent is root]
        assert root.spent.calls == len(own) + sum(child.spent.calls for child in children)
        num_failed += sum(call["error"] is not None for call in calls)
    assert num_failed > 100


def test_a_call_under_way_holds_its_room() -> None:
    ledger = Ledger(Budget(tokens=100))
    first = ledger.child().reserve(60)
    with pytest.raises(Exhausted, match="the budget's tokens: 60 asked for, 40 left"):
        ledger.child().reserve(60)
    first.settle(10, 0.0)
    ledger.child().reserve(60)
    with pytest.raises(AssertionError, match="settled twice"):
        first.settle(10, 0.0)


def test_time_is_the_walls_and_a_childs_is_no_longer() -> None:
    clock = itertools.count(step=4.0)
    ledger = Ledger(Budget(seconds=10), clock=lambda: next(clock))
    child = ledger.child(Budget(seconds=100))
    assert child.seconds_left <= 6
    with pytest.raises(Exhausted, match="seconds"):
        child.reserve(1)


def test_a_slow_call_ends_with_the_budgets_seconds(tmp_path: Path, run) -> None:
    async def slow(trace: Trace) -> None:
        ledger = Ledger(Budget(seconds=0.05))
        await Caller(trace, 1).call(
            Scripted(["late"], seconds=30), lambda: (Message("user", "q"),), 5, ledger, 0, "ask"
        )

    with Trace(tmp_path / "t") as trace, pytest.raises(Exhausted, match="seconds"):
        run(slow(trace))
    (call,) = read_events(tmp_path / "t")
    assert call["error"] == "the budget's seconds ended"
    assert (call["prompt_tokens"], call["completion_tokens"]) == (1, 5)  # nobody knows: the most that it can be


def test_a_call_waits_for_room_that_others_hold_and_do_not_need(tmp_path: Path, run) -> None:
    """Sixteen at once would hold 16 x 101 tokens; each needs 2, and all of them fit."""

    async def ask_all(trace: Trace) -> list[Reply]:
        ledger, caller, lm = Ledger(Budget(tokens=150)), Caller(trace, 16), Scripted(lambda messages: "a", seconds=0.01)
        prompt = (Message("user", "q"),)
        return await asyncio.gather(*(caller.call(lm, lambda: prompt, 100, ledger, 0, "ask") for _ in range(24)))

    with Trace(tmp_path / "t") as trace:
        assert len(run(ask_all(trace))) == 24


@pytest.mark.parametrize("name", ["calls", "tokens", "seconds", "usd"])
def test_a_negative_cap_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"budget: {name} -1: give 0 or more"):
        Budget(**{name: -1})
