"""Programs with leaves that read without error are right; with leaves that do not read they are not."""

import random
from collections.abc import Callable
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest

from evals.longcontext.item import Item
from evals.longcontext.leaves import leaf_answer, marked_answer
from evals.longcontext.lexicon import CLASSES, RELATIONS, Lexicon
from evals.longcontext.programs import CHUNK_LINES, Program, program_tokens, programs
from evals.longcontext.scorers import score
from evals.longcontext.tasks import TASKS
from evals.longcontext.world import WINDOW
from rlm.policy import EOS, LEAF_TOKENS, ROOT_TOKENS, leaf_prompt, num_pieces, root_prompt
from rlm.sandbox.sealed import Sealed
from rlm.sandbox.session import Limits
from rlm.text import Text

Drawn = Callable[..., list[Item]]
Leaf = Callable[[str, str], str]


def chunks(context: str) -> list[str]:
    every = context.splitlines(keepends=True)
    return ["".join(every[start : start + CHUNK_LINES]) for start in range(0, len(every), CHUNK_LINES)]


def functions(leaf: Leaf, given: list[Any]) -> dict[str, Callable[..., Any]]:
    def ask(question: str, text: Text | str) -> str:
        return leaf(question, str(text))

    def ask_all(question: str, texts: list[Text | str]) -> list[str]:
        return [ask(question, text) for text in texts]

    return {"ask": ask, "ask_all": ask_all, "answer": given.append}


def run(program: Program, item: Item, leaf: Leaf) -> Any:
    """What the program answers; None where it raises."""
    given: list[Any] = []
    try:
        exec(program.source, {"context": Text.of(item.context), "question": item.question, **functions(leaf, given)})
    except (IndexError, KeyError, ValueError):
        return None
    return given[-1] if given else None


@pytest.fixture(scope="module")
def oracle(lexicon: Lexicon) -> Leaf:
    return lambda question, text: leaf_answer(lexicon, question, text)


@pytest.mark.parametrize("windows", [1, 4, 16])
@pytest.mark.parametrize("task", TASKS)
def test_oracle_program_and_oracle_leaf(task: str, windows: int, drawn: Drawn, oracle: Leaf) -> None:
    for item in drawn(task, windows):
        for program in programs(item):
            assert score(item, run(program, item, oracle)) == 1, (program.strategy, item.question)


@pytest.mark.parametrize("task", TASKS)
def test_programs_are_short_and_several(task: str, drawn: Drawn) -> None:
    for item in drawn(task, 4, count=24):
        found = programs(item)
        assert 2 <= len({program.source for program in found}) <= 3
        for program in found:
            tokens = program_tokens(program.source)
            assert "".join(tokens) == program.source
            assert len(tokens) <= ROOT_TOKENS


@pytest.mark.parametrize("task", TASKS)
def test_a_root_fits_its_window(task: str, drawn: Drawn) -> None:
    for item in drawn(task, 4, count=24):
        assert num_pieces(root_prompt(item.question, 100_000, 2)) + ROOT_TOKENS <= WINDOW


def test_programs_need_few_tokens_besides_the_world(drawn: Drawn, lexicon: Lexicon) -> None:
    used = {
        token.removeprefix(" ")
        for task in TASKS
        for item in drawn(task, 1, count=24)
        for program in programs(item)
        for token in program_tokens(program.source)
    }
    assert len(used - set(lexicon.vocabulary())) <= 160


@pytest.mark.parametrize("task", TASKS)
def test_programs_run_sealed(task: str, drawn: Drawn, oracle: Leaf) -> None:
    (item, *_) = drawn(task, 1)
    limits = Limits(seconds=5, memory_bytes=64 << 20, printed=500, calls=2000)
    with Sealed() as sandbox:
        for program in programs(item):
            given: list[Any] = []
            text = Text.of(item.context)
            session = sandbox.session(functions(oracle, given), limits, text, item.question)
            assert session.run(program.source).error is None
            session.close()
            assert score(item, given[-1]) == 1


def told(item: Item) -> str:
    """Facts or events from which a program can come to an answer, right or not."""
    if item.task == "statelog":
        return f"{item.meta['holders'][0]} take {item.meta['thing']}"
    facts = [line.split() for line in item.context.splitlines() if len(line.split()) == 3]
    named = [item.meta.get("start", ""), *(name for first, _, second in facts for name in (first, second))]
    names = list(dict.fromkeys(named))
    return " , ".join(f"{one} {relation} {other}" for one, other in pairwise(names[:5]) for relation in RELATIONS)


@pytest.mark.parametrize("task", TASKS)
def test_a_leaf_that_says_the_same_always_is_at_the_floor(task: str, drawn: Drawn) -> None:
    drawn_items = drawn(task, 4, count=24)
    most = mean(item.chance for item in drawn_items)
    for constant in ("none", "storm", "mona 0 1 0 1 storm", None):
        for strategy in range(2):
            given = [run(programs(i)[strategy], i, lambda q, t: constant or told(i)) for i in drawn_items]  # noqa: B023
            assert constant is not None or task not in ("chain", "statelog") or all(given)
            scores = [score(item, one) for item, one in zip(drawn_items, given, strict=True)]
            spread = (most * (1 - most) / len(scores)) ** 0.5
            assert mean(scores) <= most + 3 * spread + 1e-9, (constant, strategy)


@pytest.mark.parametrize("task", ["semniah", "argmax", "sempairs", "truepairs", "chain", "statelog"])
def test_a_leaf_that_reads_another_part_is_no_help(task: str, drawn: Drawn, oracle: Leaf) -> None:
    """The chunks of another item: what is said is well formed, and not of this context."""
    drawn_items = drawn(task, 4, count=24)
    scores = []
    for item, other in zip(drawn_items, [*drawn_items[1:], drawn_items[0]], strict=True):
        parts, rng = chunks(other.context), random.Random(0)
        scores.append(score(item, run(programs(item)[0], item, lambda q, t: oracle(q, rng.choice(parts)))))  # noqa: B023
    assert mean(scores) <= mean(item.chance for item in drawn_items) + 0.17


def test_one_wrong_leaf_changes_the_answer_as_foreseen(drawn: Drawn, lexicon: Lexicon) -> None:
    """A record misread as the class that is counted is one more."""
    for item in drawn("count", 4):
        answers: list[str] = []

        def wrong(question: str, text: str) -> str:
            kinds = leaf_answer(lexicon, question, text).split()
            if not answers:  # noqa: B023
                place = next(number for number, kind in enumerate(kinds) if kind != item.meta["kind"])  # noqa: B023
                kinds[place] = item.meta["kind"]  # noqa: B023
            answers.append(" ".join(kinds))  # noqa: B023
            return answers[-1]  # noqa: B023

        assert run(programs(item)[0], item, wrong) == int(item.gold.replace(" ", "")) + 1
        assert score(item, int(item.gold.replace(" ", "")) + 1) == 0.75


@pytest.mark.parametrize("task", TASKS)
def test_a_leaf_fits_its_window(task: str, drawn: Drawn, lexicon: Lexicon, oracle: Leaf) -> None:
    """The prompt with room for an answer, and the answer with its marks in that room."""
    for item in drawn(task, 4):
        asked: list[tuple[str, str]] = []

        def heard(question: str, text: str) -> str:
            asked.append((question, text))  # noqa: B023
            return oracle(question, text)

        for program in programs(item):
            run(program, item, heard)
        assert max(num_pieces(leaf_prompt(*one)) for one in asked) + LEAF_TOKENS <= WINDOW
        assert max(num_pieces(marked_answer(lexicon, *one) + EOS) for one in asked) <= LEAF_TOKENS


def test_leaf_answers_in_words(lexicon: Lexicon) -> None:
    word = {kind: next(w for w, k in lexicon.class_of.items() if k == kind) for kind in CLASSES}
    ana, eli = lexicon.names[:2]
    text = (
        f"{ana} 0 3 1 4 : not {word['storm']} but {word['fruit']}\n"
        f"{eli} 1 2 0 1 : more {word['storm']} than {word['fruit']}\n"
        f"{ana} 0 4 0 9 : {word['storm']}\n"
    )
    answers = {
        "kinds ?": "fruit storm storm",
        "rows ?": f"{ana} 0 3 1 4 fruit , {eli} 1 2 0 1 storm , {ana} 0 4 0 9 storm",
    }
    for question, answer in answers.items():
        assert leaf_answer(lexicon, question, text) == answer
    opposite = lexicon.opposite_of["storm"]
    assert leaf_answer(lexicon, "opposite of storm ?", "") == opposite


def test_roles_and_events_in_words(lexicon: Lexicon) -> None:
    ana, eli, ivo = lexicon.names[:3]
    said = {meaning: verb for verb, meaning in (lexicon.relation_of | lexicon.event_of).items()}
    thing = next(iter(lexicon.class_of))
    facts = f"{ana} {said['leads', False]} {eli}\n{eli} {said['leads', True]} {ivo}\n"
    events = (
        f"{ana} {said['take', False]} {thing}\n{ana} {said['pass', True]} {eli}\n{ana} {said['greet', False]} {eli}\n"
    )
    assert leaf_answer(lexicon, "facts ?", facts) == f"{ana} leads {eli} , {ivo} leads {eli}"
    assert leaf_answer(lexicon, "events ?", events) == f"{ana} take {thing} , {eli} pass {ana}"
    assert leaf_answer(lexicon, "events ?", facts) == leaf_answer(lexicon, "facts ?", events) == "none"


def test_things_move_with_their_holders(lexicon: Lexicon, drawn: Drawn) -> None:
    """As a program follows them, from what leaves tell of the events."""
    ana, eli, ivo = lexicon.names[:3]
    (item,) = drawn("statelog", 1, count=1)
    thing = item.meta["thing"]

    def at_last(*events: str) -> Any:
        return run(programs(item)[0], item, lambda question, text: " , ".join(events))

    take = f"{ana} take {thing}"
    assert at_last(take) == ana
    assert at_last(take, f"{ana} pass {eli}") == eli
    assert at_last(take, f"{eli} pass {ana}") == ana
    assert at_last("none", take, f"{ana} take {lexicon.names[9]}") == ana
    assert at_last(take, f"{ivo} swap {ana}", f"{ivo} swap {eli}") == eli


@pytest.mark.parametrize("question", ["", "what ?", "kinds", "opposite of nothing ?", "rows of storm ?"])
def test_no_question_to_a_leaf(lexicon: Lexicon, question: str) -> None:
    with pytest.raises(ValueError, match="no question"):
        leaf_answer(lexicon, question, "")
