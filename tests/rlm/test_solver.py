"""The solver with a scripted model: programs, sub-calls, depth, budget, errors."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from rlm.budget import Budget
from rlm.lm import Message, Messages, Price, Scripted
from rlm.sandbox.open import Open
from rlm.sandbox.sealed import Sealed
from rlm.sandbox.session import Limits, Sandbox
from rlm.solver import RLM
from tests.rlm.scripted import is_root, programs, question_of, recursive, told


def test_a_program_splits_asks_and_combines() -> None:
    code = "found = ask_all('how many x?', context.split(8))\nprint(found)\nanswer(sum(int(one) for one in found))"
    lm = programs(code, reader=lambda prompt: str(prompt.count("x\n")))
    found = RLM(lm).solve("How many x are there?", "x\ny\n" * 20)
    assert (found.answer, found.status, found.reason) == (20, "done", "")
    assert found.calls == 1 + 10
    assert found.tokens == sum(lm.num_tokens(messages) + len(lm.answers(messages).split()) for messages in lm.heard)


def test_names_stay_and_errors_are_told() -> None:
    lm = programs("kept = 41\nprint(kept, undefined)", "print(kept + 1)", "1 +", "while True: pass", "answer('end')")
    found = RLM(lm, limits=Limits(seconds=0.2)).solve("q", "text")
    assert found.answer == "end"
    first, second, third, fourth = told(lm)
    assert "NameError: name 'undefined' is not defined" in first
    assert second == "42\n"
    assert "SyntaxError" in third
    assert "TimeoutError" in fourth
    assert "names are gone" in fourth


def test_a_text_that_no_window_holds_is_refused_to_the_program() -> None:
    lm = programs("ask('q', context)", "answer(ask('q', context.lines(0, 1)))")
    lm.window = 400
    found = RLM(lm, reply_tokens=50, leaf_tokens=20).solve("q", "word " * 30 + "\n" + "word " * 600)
    assert (found.answer, found.status) == ("read", "done")
    assert "do not fit a window of 400: give less text" in told(lm)[0]


def test_old_turns_are_left_out_where_the_window_ends() -> None:
    lm = programs(*["print('word ' * 60)"] * 9)
    lm.window = 600
    found = RLM(lm, reply_tokens=20, max_turns=30).solve("q", "text")
    assert (found.status, found.reason) == ("exhausted", "max_turns 30: no final answer until then")
    assert all(lm.num_tokens(messages) + 20 <= 600 for messages in lm.heard)
    assert max(map(len, lm.heard)) < 20
    assert all(messages[:2] == lm.heard[0] for messages in lm.heard)


def test_a_reply_without_a_program_is_told_so() -> None:
    lm = Scripted(["The answer is 3.", "```python\nanswer(3)\n```"])
    assert RLM(lm).solve("q", "text").answer == 3
    assert "had no program" in told(lm)[0]


def test_the_answer_is_of_the_type_that_was_asked_for() -> None:
    lm = programs("answer('many')", "answer('7')")
    assert RLM(lm).solve("q", "text", answer_type=int).answer == 7
    assert "valid integer" in told(lm)[0]


def test_turns_end_with_the_best_answer_so_far() -> None:
    found = RLM(programs("answer('a guess', ready=False)", *["1"] * 9), max_turns=3).solve("q", "text")
    assert (found.answer, found.status) == ("a guess", "exhausted")
    assert found.reason == "max_turns 3: no final answer until then"


def test_solvers_below_solvers() -> None:
    lm = Scripted(recursive)
    found = RLM(lm, depth=2).solve("whole", "x\ny\n" * 20)
    assert found.answer == 20
    assert found.calls == 1 + 10 + 20 == len(lm.heard)


def test_the_children_of_many_solvers_do_not_wait_for_each_other() -> None:
    """Forty solvers that each hold a thread and a session, two at a time, and solvers below them."""

    def answer(messages: Messages) -> str:
        asked = question_of(messages)
        if asked == "whole":
            return "```python\nanswer(sum(rlm_all('part', ['a', 'b'] * 20)))\n```"
        if asked == "part":
            return "```python\nanswer(sum(rlm_all('leaf', [context, context])))\n```"
        return "```python\nanswer(1)\n```"

    assert RLM(Scripted(answer), depth=3, concurrency=2).solve("whole", "text").answer == 80


def test_depth_one_hands_solvers_nothing_and_depth_zero_no_calls() -> None:
    lm = programs("rlm('q', context)", "answer(ask('q', context))")
    assert RLM(lm).solve("q", "text").answer == "read"
    assert "name 'rlm' is not defined" in told(lm)[0]
    lm = programs("ask('q', context)", "answer(context.num_lines)")
    assert RLM(lm, depth=0).solve("q", "a\nb").answer == 2
    assert "name 'ask' is not defined" in told(lm)[0]
    assert "- ask(" not in lm.heard[0][0].content


def test_each_level_has_its_model_and_the_last_reads() -> None:
    """The leaves of a child, too, which `rlms` 0.1.3 sends to the root's model."""
    root, middle, reader = (Scripted(recursive, name=name) for name in ("root", "middle", "reader"))
    assert RLM([root, middle, reader], depth=2).solve("whole", "x\ny\n" * 20).answer == 20
    assert [len(lm.heard) for lm in (root, middle, reader)] == [1, 10, 20]


def test_what_children_spend_counts_above() -> None:
    """`rlms` 0.1.3 ends a capped run at $43 of $25 with $22 recorded: a child's cost is overwritten."""
    lm = Scripted(recursive, price=Price(1000.0, 1000.0))
    free = RLM(lm, depth=2).solve("whole", "x\ny\n" * 20)
    assert free.usd == pytest.approx(free.tokens / 1000)
    for usd in (free.usd / 8, free.usd / 2):
        lm.heard.clear()
        found = RLM(lm, depth=2, budget=Budget(usd=usd), reply_tokens=20, leaf_tokens=5).solve("whole", "x\ny\n" * 20)
        assert found.status == "exhausted"
        assert 0 < found.usd <= usd


def test_a_batch_does_not_pass_the_cap_in_one_turn() -> None:
    """`rlms` 0.1.3 looks at the cap after a turn: one batch of calls spends $501 of $5."""
    lm = programs("ask_all('q', ['some text'] * 500)\nanswer(1)", *["1"] * 9)
    found = RLM(lm, budget=Budget(calls=20)).solve("q", "text")
    assert (found.status, found.calls, len(lm.heard)) == ("exhausted", 20, 20)
    assert found.reason == "the budget's calls: 1 asked for, 0 left"


def test_a_program_may_answer_with_what_it_has_when_the_budget_ends() -> None:
    code = (
        "n = 0\ntry:\n    while True:\n        n += len(ask('q', 't'))\nexcept Exception as e:\n    answer([n, str(e)])"
    )
    found = RLM(programs(code), budget=Budget(calls=6)).solve("q", "text")
    assert found.status == "done"
    assert found.answer == [20, "the budget's calls: 1 asked for, 0 left"]


def test_a_child_has_what_is_left_and_no_more() -> None:
    """`rlms` 0.1.3 gives each child the whole limit anew."""

    def answer(messages: Messages) -> str:
        if not is_root(messages):
            return "1"
        if question_of(messages) == "whole":
            return "```python\nask_all('q', ['t'] * 4)\nr = rlm('part', context)\nanswer(r)\n```"
        return "```python\nanswer(0, ready=False)\nask_all('q', ['t'] * 8)\n```"

    lm = Scripted(answer)
    found = RLM(lm, depth=2, budget=Budget(calls=10)).solve("whole", "text")
    assert len(lm.heard) == found.calls == 10


def test_sub_calls_run_side_by_side() -> None:
    """160 answers of 50 ms at 16 at a time take half a second; one after another they would take eight."""
    lm = programs("ask_all('q', ['text'] * 160)\nanswer(1)")
    lm.seconds = 0.05
    began = time.perf_counter()
    assert RLM(lm).solve("q", "text").status == "done"
    assert time.perf_counter() - began < 4


def test_it_can_be_awaited_and_twice_at_once(run) -> None:
    async def both() -> list[object]:
        solver = RLM(Scripted(lambda messages: f"```python\nanswer({question_of(messages)})\n```"))
        return [found.answer for found in await asyncio.gather(*(solver.asolve(name, "text") for name in "01"))]

    assert run(both()) == [0, 1]


def test_it_solves_where_a_loop_runs_already(run) -> None:
    """As in a notebook."""

    async def cell() -> object:
        return RLM(programs("answer(1)")).solve("q", "text").answer

    assert run(cell()) == 1


@pytest.mark.parametrize(
    ("code", "told_error"),
    [
        ("ask('q', context.split(4))", "TypeError: a text is wanted, not a list: for several use ask_all"),
        ("ask('q', 5)", "TypeError: a text is wanted, not a int"),
        ("ask_all('q', context)", "TypeError: a list of texts is wanted, not a Text: for one use ask"),
        ("ask_all('q', 'abc')", "TypeError: a list of texts is wanted, not a str"),
        ("ask_all('q', ['a', 5])", "TypeError: a text is wanted, not a int"),
        ("answer({(1, 2): 3})", "TypeError: keys must be str"),
    ],
)
def test_what_makes_no_sense_is_told_and_costs_nothing(code: str, told_error: str) -> None:
    lm = programs(code, "answer(1)")
    found = RLM(lm).solve("q", "a\nb\nc\n")
    assert (found.answer, found.calls) == (1, 2)
    assert told_error in told(lm)[0]


def test_a_text_as_answer_is_its_characters(tmp_path: Path) -> None:
    found = RLM(programs("answer([context.lines(0, 1)])"), trace=tmp_path / "t").solve("q", "a\nb\n")
    assert asdict(found)["answer"] == ["a\n"]


@pytest.mark.parametrize(("sandbox", "seen"), [(Sealed, False), (Open, True)], ids=["sealed", "open"])
def test_a_text_that_a_solver_below_hands_up_is_read_by_programs_of_the_open_profile_alone(
    sandbox: Callable[[], Sandbox], seen: bool
) -> None:
    def answer(messages: Messages) -> str:
        if question_of(messages) == "whole":
            return "```python\nfound = rlm('part', context)\nprint(found)\nanswer(str(type(found)))\n```"
        return "```python\nanswer(context.lines(0, 1))\n```"

    events: list[dict] = []
    RLM(Scripted(answer), sandbox, depth=2, listen=events.append).solve("whole", "the secret\nb\n")
    printed = [event["printed"] for event in events if event["event"] == "program" and event["node"] == 0]
    assert ("the secret" in printed[0]) == seen


def test_a_solver_below_that_does_not_end_is_an_error_with_its_best_answer() -> None:
    def answer(messages: Messages) -> str:
        if question_of(messages) == "whole":
            return "```python\nrlm('part', context)\n```" if len(messages) == 2 else "```python\nanswer('seen')\n```"
        return "```python\nanswer('a guess', ready=False)\n```"

    lm = Scripted(answer)
    assert RLM(lm, depth=2, max_turns=2).solve("whole", "text").answer == "seen"
    (error,) = told(lm)
    assert "the solver's status is exhausted: max_turns 2" in error
    assert "its best answer so far: 'a guess'" in error


def test_a_program_that_runs_on_ends_with_the_budgets_seconds() -> None:
    began = time.perf_counter()
    found = RLM(programs("answer(1, ready=False)\nwhile True: pass"), budget=Budget(seconds=0.5)).solve("q", "text")
    assert (found.answer, found.status) == (1, "exhausted")
    assert time.perf_counter() - began < 5


def test_a_run_that_is_cancelled_waits_for_no_program(run) -> None:
    async def cancelled(code: str) -> None:
        task = asyncio.create_task(RLM(programs(code), limits=Limits(seconds=5)).asolve("q", "text"))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for code in ("while True: pass", "while True:\n    try: ask('q', 't')\n    except Exception: pass"):
        began = time.perf_counter()
        run(cancelled(code))
        assert time.perf_counter() - began < 3


def test_an_output_is_cut_to_what_the_root_can_read() -> None:
    lm = programs("print('word ' * 4000)", "answer(1)")
    lm.window = 3000
    assert RLM(lm).solve("q", "text").status == "done"
    assert "characters more]" in told(lm)[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth": -1}, "depth -1: give 0 or more"),
        ({"max_turns": 0}, "max_turns 0: give at least 1"),
        ({"concurrency": 0}, "concurrency 0: give at least 1"),
        ({"lm": []}, "lm: give at least one model"),
        (
            {"lm": [Scripted([])] * 2, "depth": 0},
            "lm: 2 models, but depth 0 calls no more than 1: give fewer, or depth 1",
        ),
        ({"lm": [Scripted([])] * 3}, "lm: 3 models, but depth 1 calls no more than 2: give fewer, or depth 2"),
        ({"resume": True}, "resume: there is no trace"),
    ],
)
def test_what_makes_no_solver_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RLM(**{"lm": Scripted([])} | changed)


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(ValueError, match="the question is empty"):
        RLM(Scripted([])).solve(" ", "text")


def test_messages_are_what_prompts_make_them() -> None:
    """What is said of the REPL is what is there."""
    lm = programs("answer(1)")
    RLM(lm, depth=2).solve("Who?", "a\nb\n")
    system, user = lm.heard[0]
    promised = set(re.findall(r"\b(\w+)\(", system.content)) - {"question"}
    assert promised == {"ask", "ask_all", "rlm", "rlm_all", "answer", "lines", "split", "grep"}
    used = "context.lines(0, 1), context.split(4), context.grep('Who'), context.size, context.num_lines"
    lm = programs(f"print(ask, ask_all, rlm, rlm_all, {used})\nanswer(1)")
    assert RLM(lm, depth=2, max_turns=1).solve("Who?", "a\nb\n").status == "done"
    assert user == Message("user", "context: 4 characters in 2 lines.\nQuestion: Who?")
