"""Lessons are what a solver will ask, in the model's tokens, and without the compositions that are held out."""

import itertools
import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from evals.longcontext.drills import Drills
from evals.longcontext.leaves import leaf_answer, marked_answer
from evals.longcontext.lessons import MOST_VERB_LINES, Lesson, Lessons, pieces
from evals.longcontext.lexicon import Lexicon, Side, is_held_out
from evals.longcontext.world import WINDOW
from rlm.policy import (
    ANSWER,
    EOS,
    LEAF,
    LEAF_TOKENS,
    MARKS,
    MOST_LINES,
    ROOT,
    TEXT,
    num_pieces,
    parse_leaf,
    policy_tokenizer,
)

COUNT = 600


def drawn(lexicon: Lexicon, side: Side = "train", count: int = COUNT, seed: int = 0, **first: int) -> list[Lesson]:
    return list(itertools.islice(Lessons(lexicon, seed, side, **first), count))


@pytest.fixture(scope="module")
def lessons(lexicon: Lexicon) -> list[Lesson]:
    return drawn(lexicon)


@pytest.fixture(scope="module")
def later(lexicon: Lexicon) -> list[Lesson]:
    """Of those after the first."""
    return drawn(lexicon, first=0)


def test_the_same_seed_the_same_lessons(lexicon: Lexicon, lessons: list[Lesson]) -> None:
    assert drawn(lexicon, count=40) == lessons[:40]
    assert drawn(lexicon, count=40, seed=1) != lessons[:40]


def test_every_piece_is_a_token_and_a_lesson_fits_the_window(
    lexicon: Lexicon, lessons: list[Lesson], later: list[Lesson]
) -> None:
    tokenizer = policy_tokenizer(pieces(lexicon))
    for lesson in [*lessons, *later]:
        text = lesson.row()["text"]
        assert WINDOW - 1 <= len(tokenizer(text)["input_ids"]) == num_pieces(text) <= WINDOW


def test_what_lines_tell_along_is_what_they_say(reader: Callable[[str], str], lessons: list[Lesson]) -> None:
    told = 0
    for lesson in lessons:
        first, _ = lesson.parts[0]
        if not first.startswith(f"{LEAF} kinds ?{TEXT}") or first.endswith(ANSWER):
            continue
        for number, (prompt, target) in enumerate(lesson.parts):
            found = re.search(r"([^<>]+)<\|(\d+)\|>$", prompt)
            if found is None or (number and prompt.startswith(LEAF)):
                break  # what fills the window
            assert found[2] == str(number + 1)
            assert target == f" {reader(f' {found[1].strip()}')}"
            told += 1
    assert told > 600


def test_rows_of_names_are_copied(lexicon: Lexicon) -> None:
    drills = Drills(lexicon, random.Random(0))
    for _ in range(50):
        (first, target), *others = drills.copied()
        row, name = re.fullmatch(rf".*{re.escape(TEXT)} (.+){re.escape(ANSWER)} (\w+)", first).groups()  # pyright: ignore[reportOptionalMemberAccess]
        assert all(f"{first.strip()}{after}" in row for first, after in [(name, target), *others])


@pytest.mark.parametrize("question", ["facts ?", "events ?"])
def test_what_verbs_say_is_asked_of_few_lines_and_of_many(question: str, later: list[Lesson]) -> None:
    """Among them texts of which there is nothing to say; none is longer than a program's chunk may be."""
    told = [
        target
        for lesson in later
        for prompt, target in lesson.parts
        if prompt.startswith(f"{LEAF} {question}") and prompt.endswith(ANSWER)
    ]
    assert max(map(num_pieces, told)) <= LEAF_TOKENS
    said = Counter(0 if " none" in target else target.count(",") + 1 for target in told)
    assert set(range(MOST_VERB_LINES)) <= set(said)


@pytest.mark.parametrize("question", ["kinds ?", "rows ?"])
def test_answers_about_records_fit(question: str, later: list[Lesson]) -> None:
    parts = [part for lesson in later for part in lesson.parts if part[0].startswith(f"{LEAF} {question}")]
    told = [num_pieces(target) for prompt, target in parts if prompt.endswith(ANSWER)]
    assert len(told) > 50
    assert max(told) <= LEAF_TOKENS


def test_spans_are_what_follows_the_prompts(lessons: list[Lesson]) -> None:
    for lesson in lessons[:50]:
        row = lesson.row()
        assert [row["text"][a:b] for a, b in row["loss_spans"]] == [target for _, target in lesson.parts]


def test_both_roles_are_taught_and_all_words(lexicon: Lexicon) -> None:
    every = drawn(lexicon, count=2000)
    firsts = [lesson.parts[0] for lesson in every]
    roots = [prompt for prompt, _ in firsts if prompt.startswith(ROOT)]
    assert len(roots) / len(firsts) == pytest.approx(0.28, abs=0.04)  # as often as they are weighed
    assert {re.search(r"<\|depth\|> (\d)", prompt)[1] for prompt in roots} == {"0", "1", "2"}  # pyright: ignore[reportOptionalSubscript]
    words = {prompt.strip() for lesson in every for prompt, _ in lesson.parts}
    assert set(lexicon.class_of) <= words


@pytest.mark.parametrize(("side", "expected"), [("train", False), ("held-out", True)])
def test_held_out_compositions_are_in_no_lesson(side: Side, expected: bool, lexicon: Lexicon) -> None:
    held_out = [
        is_held_out(template, words[place])
        for first in (0, 600)
        for lesson in drawn(lexicon, side, 200, first=first)
        for prompt, _ in lesson.parts
        if (asked := parse_leaf(prompt)) is not None
        for line in asked[1].splitlines()
        if ":" in line.split()
        for template, words, place in [lexicon.template(line.split())]
    ]
    assert len(held_out) > 300
    assert all(found == expected for found in held_out)


def test_targets_are_the_oracles(lexicon: Lexicon, later: list[Lesson]) -> None:
    """Without the marks, which no reply shows, a leaf's target is what an oracle says."""
    count = 0
    for prompt, target in (part for lesson in later for part in lesson.parts if part[0].startswith(LEAF)):
        asked = parse_leaf(prompt)
        if asked is None:
            continue  # lines read along, without an answer at their end
        assert target.endswith(EOS)
        try:
            right = leaf_answer(lexicon, *asked)
        except ValueError:
            continue  # a task's own question, of a context that fits the window
        plain = re.sub(r"<\|\w+\|>", "", target)
        assert plain == f" {right}"
        count += 1
    assert count > 0.6 * COUNT


def test_every_line_has_its_mark_in_the_answer(lexicon: Lexicon) -> None:
    ana, eli = lexicon.names[:2]
    word = {kind: word for word, kind in lexicon.class_of.items()}
    text = (
        f"{ana} 0 1 : {word['storm']}\n{eli} 0 2 : not {word['storm']} but {word['ship']}\n{ana} 0 3 : {word['ship']}\n"
    )
    one, two, three = MARKS[:3]
    answers = {
        "kinds ?": f"{one} storm{two} ship{three} ship",
        "rows ?": f"{one} {ana} 0 1 storm{two} , {eli} 0 2 ship{three} , {ana} 0 3 ship",
        "facts ?": f"{one}{two}{three} none",
    }
    for question, answer in answers.items():
        assert marked_answer(lexicon, question, text) == answer
    verb = next(
        verb for verb, (meaning, is_passive) in lexicon.relation_of.items() if (meaning, is_passive) == ("pays", 1)
    )
    fact = f"{ana} {verb} {eli}\n"
    assert marked_answer(lexicon, "facts ?", text + fact) == f"{one}{two}{three}{MARKS[3]} {eli} pays {ana}"
    many = f"{ana} 0 1 : {word['storm']}\n" * (MOST_LINES + 1)
    assert marked_answer(lexicon, "kinds ?", many).endswith(f"{MARKS[-1]} storm storm")
