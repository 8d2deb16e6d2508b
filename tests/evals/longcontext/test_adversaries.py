"""Opponents that do not read stay near chance, and would not, were there something to find."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from statistics import mean
from typing import Any

import pytest

from evals.longcontext.adversaries import MOST_PAIRS, Adversary, BagOfWords, BestRegex
from evals.longcontext.item import Item
from evals.longcontext.lexicon import CLASSES, Lexicon
from evals.longcontext.scorers import score
from evals.longcontext.tasks import TASKS

Drawn = Callable[..., list[Item]]
NUM_FITTED, NUM_ANSWERED = 60, 60
# Above chance, for numbers alone: how often a user comes tells a little of how many lines of his there can be.
ALLOWED = {"count_by_user": 0.05, "count_by_date": 0.05}


def scored(adversary: Adversary, fitted: list[Item], answered: list[Item]) -> float:
    adversary.fit(fitted)
    return mean(score(item, adversary.answer(item)) for item in answered)


@pytest.mark.parametrize("adversary", [BestRegex, BagOfWords])
@pytest.mark.parametrize("task", TASKS)
def test_near_chance(task: str, adversary: type[BestRegex | BagOfWords], drawn: Drawn) -> None:
    windows = 4 if task == "statelog" else 2  # of few events a rule follows those that there are
    fitted, answered = drawn(task, windows, NUM_FITTED, 1), drawn(task, windows, NUM_ANSWERED, 2)
    chance = mean(item.chance for item in answered)
    spread = (max(chance, 0.01) * (1 - chance) / NUM_ANSWERED) ** 0.5
    assert scored(adversary(), fitted, answered) <= chance + 3 * spread + ALLOWED.get(task, 0)


@pytest.mark.parametrize("task", ["argmax", "semniah", "sempairs", "count"])
def test_words_without_their_composition_do_not_do(task: str, drawn: Drawn, lexicon: Lexicon) -> None:
    assert mean(score(item, words_alone(lexicon, item)) for item in drawn(task, 16)) <= 0.3


def words_alone(lexicon: Lexicon, item: Item) -> Any:
    """By the class of every word, reading over negation and contrast: every word of a line counts."""
    lines = item.context.splitlines()
    kinds = [{lexicon.class_of[w] for w in line.split() if w in lexicon.class_of} for line in lines]
    asked = [word for word in item.question.split() if word in CLASSES]
    if item.answer == "number":
        return sum(asked[0] in of for of in kinds)
    matching = [
        " ".join(filter(str.isdigit, line.split())) for line, of in zip(lines, kinds, strict=True) if set(asked) & of
    ]
    if item.answer == "pairs":
        return list(combinations(matching, 2))[:MOST_PAIRS]
    if len(asked) == 1:
        return matching[0] if matching else ""
    counts = Counter(kind for of in kinds for kind in of)
    return max(asked or CLASSES, key=lambda kind: counts[kind])


def test_a_leak_into_words_is_found(drawn: Drawn) -> None:
    """The answer's class is written into the context, as it must not be."""
    fitted, answered = (
        [replace(item, context=item.context + f"{item.gold} " * 9) for item in drawn("argmax", 2, count, seed)]
        for count, seed in ((180, 1), (40, 2))
    )
    assert scored(BagOfWords(), fitted, answered) > 0.8


def test_a_leak_into_a_position_is_found(drawn: Drawn) -> None:
    def leaking(item: Item) -> Item:
        lines = item.context.splitlines(keepends=True)
        place = item.meta["line"]
        return replace(item, context="".join([*lines[:place], *lines[place + 1 :], lines[place]]))

    fitted, answered = ([leaking(item) for item in drawn("semniah", 2, 20, seed)] for seed in (1, 2))
    regex = BestRegex()
    assert scored(regex, fitted, answered) == 1
    assert regex.name == "number of the last line"


def test_what_never_changes_is_found(drawn: Drawn) -> None:
    fitted, answered = ([replace(item, gold=CLASSES[3]) for item in drawn("argmax", 2, 20, seed)] for seed in (1, 2))
    assert scored(BestRegex(), fitted, answered) == scored(BagOfWords(), fitted, answered) == 1
