"""The recursive arm: right wherever its leaves and programs are, in both profiles, to every depth."""

from collections.abc import Callable

import pytest

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.arms import arm
from evals.longcontext.item import Item
from evals.longcontext.leaves import leaf_answer
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.programs import programs
from evals.longcontext.scorers import score
from evals.longcontext.tasks import TASKS
from rlm.lm import Messages, Scripted
from rlm.policy import ROOT, Trained, parse_leaf
from rlm.sandbox.open import Open

Drawn = Callable[..., list[Item]]
LEAF_TOKENS = 256


def oracle(lexicon: Lexicon, item: Item) -> Scripted:
    """A root that writes the item's program, and leaves that read without error."""

    def said(messages: Messages) -> str:
        leaf = parse_leaf(messages[0].content)
        return leaf_answer(lexicon, *leaf) if leaf else programs(item)[0].source

    return Scripted(said)


@pytest.mark.parametrize("task", TASKS)
def test_it_is_right_where_leaves_and_programs_are(run, task: str, drawn: Drawn, lexicon: Lexicon) -> None:
    for item in drawn(task, 4, count=2):
        lm = oracle(lexicon, item)
        found = run(arm("rlm-1", lm, Trained(), LEAF_TOKENS).answer(Asked.of(item)))
        assert (score(item, found.answer), found.status, found.reason) == (1, "done", "")
        assert found.calls == len(lm.heard) > 4
        said = [lm.answers(messages) for messages in lm.heard]  # type: ignore[operator]
        assert found.tokens == sum(map(lm.num_tokens, lm.heard)) + sum(len(one.split()) for one in said)


def test_its_profile_is_that_of_its_sandbox(run, drawn: Drawn, lexicon: Lexicon) -> None:
    (item, *_) = drawn("count", 1)
    found = arm("rlm-1", oracle(lexicon, item), Trained(), LEAF_TOKENS, sandbox=lambda: Open(unsafe=True))
    assert found.profile == "open"
    assert score(item, run(found.answer(Asked.of(item))).answer) == 1


def scripted(**programs: str) -> Scripted:
    """Roots that write the program for their question; leaves count lines."""

    def said(messages: Messages) -> str:
        leaf = parse_leaf(messages[0].content)
        if leaf:
            return str(leaf[1].count("\n"))
        return programs[messages[0].content.removeprefix(f"{ROOT} ").partition("<|")[0]]

    return Scripted(said)


LEAVES = "answer(sum(int(x) for x in ask_all('count', context.split(8))))"
SOLVERS = "answer(sum(rlm_all('part', context.split(16))))"


def test_depths(run) -> None:
    """Of 8 lines: counted by no call, by 4 leaves, and by 2 solvers with 2 leaves each."""
    asked = Asked("whole", "abc\n" * 8, "number")
    for name, program, calls in [
        ("rlm-0", "answer(context.num_lines)", 1),
        ("rlm-1", LEAVES, 5),
        ("rlm-2", SOLVERS, 7),
    ]:
        lm = scripted(whole=program, part=LEAVES)
        found = run(arm(name, lm, Trained(), LEAF_TOKENS).answer(asked))
        assert (found.answer, found.calls, found.status) == (8, calls, "done")


def test_a_program_for_more_depth_does_not_end(run) -> None:
    asked = Asked("whole", "abc\n" * 8, "number")
    found = run(arm("rlm-0", scripted(whole=LEAVES), Trained(), LEAF_TOKENS).answer(asked))
    assert (found.answer, found.status) == (None, "exhausted")
    assert found.reason.startswith("max_turns 12")


def test_what_a_program_gets_wrong_does_not_fit_its_reply(run, drawn: Drawn, lexicon: Lexicon) -> None:
    """A program that is cut at `reply_tokens` is no program."""
    (item, *_) = drawn("truepairs", 1)
    found = arm("rlm-1", oracle(lexicon, item), Trained(), LEAF_TOKENS, reply_tokens=12)
    assert run(found.answer(Asked.of(item))).status == "exhausted"
