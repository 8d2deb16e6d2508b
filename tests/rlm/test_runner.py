"""What a program's calls come to when the run ends before they do: told in the trace and to the program."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from rlm.lm import Messages, Scripted
from rlm.runner import Runner
from rlm.sandbox.open import Open
from rlm.sandbox.sealed import Sealed
from rlm.sandbox.session import Limits, Sandbox
from rlm.solver import RLM
from rlm.text import Text
from rlm.trace import read_events

PROFILES = pytest.mark.parametrize("sandbox", [Sealed, Open], ids=["sealed", "open"])
TRIED = "try: ask()\nexcept Exception as error: tell(str(error))"


@PROFILES
@pytest.mark.parametrize(
    ("program", "asked"), [("ask('q', 't')", 1), ("ask_all('q', ['t'] * 3)", 3)], ids=["one", "all"]
)
def test_calls_that_a_cancelled_run_leaves_are_in_its_trace(
    sandbox: Callable[[], Sandbox], program: str, asked: int, tmp_path: Path, run: Callable
) -> None:
    root, leaf = Scripted([f"```python\n{program}\n```"], name="root"), Scripted([], name="leaf", seconds=600)

    async def cancelled() -> None:
        task = asyncio.create_task(RLM([root, leaf], sandbox, trace=tmp_path / "t").asolve("q", "text"))
        while len(leaf.heard) < asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancelled())
    calls = [event for event in read_events(tmp_path / "t") if event["event"] == "call"]
    assert [call["error"] for call in calls] == [None, *["cancelled"] * asked]
    assert all(call["completion_tokens"] == 256 for call in calls[1:])  # nobody knows: the most that it can be


@PROFILES
@pytest.mark.parametrize(
    "program", ["ask(['q'], 't')", "ask_all(None, ['t'])", "rlm(5, 't')", "rlm_all(context, ['t'])"], ids=str
)
def test_a_question_that_is_none_is_told_to_the_program(sandbox: Callable[[], Sandbox], program: str) -> None:
    root = Scripted([f"```python\n{program}\n```", "```python\nanswer(1)\n```"], name="root")
    found = RLM(root, sandbox, depth=2).solve("q", "text")
    assert (found.answer, found.calls) == (1, 2)
    assert "TypeError: a question is wanted, not a " in root.heard[1][-1].content


@PROFILES
def test_an_error_of_ours_is_told_to_no_program(sandbox: Callable[[], Sandbox]) -> None:
    def broken(messages: Messages) -> str:
        return {}[messages[0].content]

    root = Scripted(["```python\ntry: ask('q', 't')\nexcept Exception: answer(1)\n```"], name="root")
    with pytest.raises(KeyError):
        RLM([root, Scripted(broken)], sandbox).solve("q", "text")


@PROFILES
def test_the_program_is_told_that_the_run_is_over(sandbox: Callable[[], Sandbox], run: Callable) -> None:
    """At the call that it waits in and at the next, so that its thread ends."""
    told: SimpleQueue[str] = SimpleQueue()
    ended: list[str] = []
    begun = asyncio.Event()

    async def call() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("call")

    async def interrupted(entered: Sandbox) -> None:
        runner = Runner()
        functions = {"ask": lambda: runner.call(call), "tell": told.put}
        session = entered.session(functions, Limits(), Text.of("text"), "q")
        task = asyncio.create_task(runner.run(session, f"{TRIED}\n{TRIED}"))
        await asyncio.wait_for(begun.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (ended, runner.over) == (["call"], True)

    with sandbox() as entered:
        run(interrupted(entered))
        assert all("the run is over" in told.get(timeout=30) for _ in range(2))
