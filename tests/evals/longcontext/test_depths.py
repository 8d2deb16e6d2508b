"""Programs for other depths: right above solvers that make no error, and harmless where nothing can be asked."""

from collections.abc import Callable
from statistics import mean

import pytest

from evals.longcontext.depths import alone, deep, partial
from evals.longcontext.item import Item
from evals.longcontext.leaves import leaf_answer
from evals.longcontext.lessons import LEAF_QUESTIONS
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.programs import program_tokens
from evals.longcontext.scorers import score
from evals.longcontext.tasks import TASKS
from rlm.lm import Messages, Scripted
from rlm.policy import LINES, ROOT, ROOT_TOKENS, Trained, parse_leaf
from rlm.sandbox.open import Open
from rlm.solver import RLM, Solution

Drawn = Callable[..., list[Item]]


def solved(item: Item, lexicon: Lexicon, depth: int) -> Solution:
    """By a root that writes the program of its depth, and solvers and leaves that answer what they are asked."""

    def answer(messages: Messages) -> str:
        prompt = messages[0].content
        asked = parse_leaf(prompt)
        if asked is not None:
            return leaf_answer(lexicon, *asked)
        question = prompt.removeprefix(f"{ROOT} ").split(LINES)[0]
        return (deep(item) if question == item.question else partial(question)).source

    solver = RLM(Scripted(answer), prompts=Trained(), depth=depth, concurrency=64)
    return solver.solve(item.question, item.context)


@pytest.mark.parametrize("task", TASKS)
def test_depth_two_is_right_with_solvers_without_error(task: str, drawn: Drawn, lexicon: Lexicon) -> None:
    for item in drawn(task, 32, count=1):
        found = solved(item, lexicon, 2)
        assert found.status == "done", found.reason
        assert score(item, found.answer) == 1, item.question


@pytest.mark.parametrize("task", TASKS)
def test_alone_is_near_chance(task: str, drawn: Drawn) -> None:
    """In the open profile a program may read text, and knows no word of it."""
    chosen = drawn(task, 2, count=24)
    scores = []
    for item in chosen:
        program = alone(item).source
        found = RLM(Scripted(lambda _: program), Open, Trained(), 0, max_turns=1).solve(item.question, item.context)  # noqa: B023
        assert found.status == "done", found.reason
        scores.append(score(item, found.answer))
    most = mean(item.chance for item in chosen)
    assert mean(scores) <= most + 3 * (most * (1 - most) / len(scores)) ** 0.5


@pytest.mark.parametrize("question", LEAF_QUESTIONS)
def test_partial_programs_are_short(question: str) -> None:
    assert len(program_tokens(partial(question).source)) < ROOT_TOKENS


@pytest.mark.parametrize("task", TASKS)
def test_programs_for_other_depths_are_short(task: str, drawn: Drawn) -> None:
    for item in drawn(task, 4, count=24):
        for program in (alone(item), deep(item)):
            assert len(program_tokens(program.source)) < ROOT_TOKENS  # and the token that ends a reply


def test_partial_programs_put_answers_together(lexicon: Lexicon, drawn: Drawn) -> None:
    """What a solver says of a long text is what a leaf would say of it, were its window long enough."""
    (events,), (facts,), (records, *_) = (drawn(task, 8, count=1) for task in ("statelog", "chain", "sempairs"))
    asked = {"kinds ?": facts, "rows ?": records, "facts ?": facts, "events ?": events}
    assert set(asked) == set(LEAF_QUESTIONS)
    for question, item in asked.items():
        text = item.context
        program = partial(question).source
        answers = Scripted(lambda messages: leaf_answer(lexicon, *parse_leaf(messages[0].content)))  # pyright: ignore[reportOptionalIterable,reportArgumentType]
        scripted = Scripted(lambda _: program)  # noqa: B023
        found = RLM([scripted, answers], prompts=Trained(), depth=1).solve(question, text)
        right = leaf_answer(lexicon, question, text)
        said = str(found.answer)
        assert said.replace(" ", "") == right.replace(" ", ""), question


@pytest.mark.parametrize("question", ["", "what ?", "pairs"])
def test_no_question_of_a_solver(question: str) -> None:
    with pytest.raises(ValueError, match="no question"):
        partial(question)
