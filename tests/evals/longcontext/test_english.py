"""RULER's and OOLONG's kind in English: golds by regular expressions and counters, which solve the first of them."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from evals.longcontext import oolong, ruler
from evals.longcontext.english import MONTHS, MOST_COMPOUNDS, NAMES, TOPICS, compound
from evals.longcontext.item import Item
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.scorers import score
from evals.longcontext.task import ROOM, items
from evals.longcontext.world import WINDOW, num_tokens

EVERY_TASK = {**ruler.TASKS, **oolong.TASKS}
Drawn = Callable[[str, int], list[Item]]


@pytest.fixture(scope="module")
def english() -> Drawn:
    lexicon = Lexicon(num_words=1200, num_names=100)
    return lambda task, windows: items(EVERY_TASK[task], lexicon, windows, 6, seed=0)


def by_regex(item: Item) -> str:
    if item.task.startswith("niah"):
        asked = re.findall(r"[\w-]+", item.question.partition(" of ")[2].partition("?")[0])
        return ", ".join(found for key in asked for found in re.findall(rf"number of {key} is (.+)\.", item.context))
    if item.task == "vt":
        names = re.findall(r"value (\d+)", item.question)
        for one, other in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)", item.context):
            names += [one] if other in names else []
        return ", ".join(names[1:])
    words = item.context.split()[1::2] if item.task == "cwe" else item.context.split()
    (asked,) = map(int, re.findall(r"Which (\d+)", item.question))
    return ", ".join(word for word, _ in Counter(words).most_common(asked))


@pytest.mark.parametrize("windows", [1, 4, 16])
@pytest.mark.parametrize("task", ruler.TASKS)
def test_a_regular_expression_solves_ruler(task: str, windows: int, english: Drawn) -> None:
    for item in english(task, windows):
        assert score(item, by_regex(item)) == 1


def read(item: Item) -> list[tuple[str, str, str]]:
    """Month, user and topic of each line: of the word before which the sentence does not turn away."""
    topic_of = {word: topic for topic, words in TOPICS.items() for word in words}
    first_counts = ("It was", "A few", "More on")
    last_counts = ("Forget", "I meant", "You expect", "Rather than")
    found = []
    for line in item.context.splitlines():
        date, user, text = line.split(" | ")
        topics = [topic_of[word] for word in re.findall(r"\w+", text) if word in topic_of]
        assert len(topics) == (2 if text.startswith(first_counts + last_counts) else 1)
        found.append((MONTHS[int(date[5:7]) - 1], user, topics[-1 if text.startswith(last_counts) else 0]))
    return found


def by_brute_force(item: Item) -> str:
    lines = read(item)
    kinds = Counter(topic for _, _, topic in lines)
    asked = [word for word in re.findall(r"\w+", item.question) if word in TOPICS]
    if item.task == "oolong_most":
        return next(topic for topic in asked if kinds[topic] == max(kinds.values()))
    if item.task == "oolong_compare":
        more = kinds[asked[0]] - kinds[asked[1]]
        return "more" if more > 0 else "fewer" if more < 0 else "same"
    words = re.findall(r"\w+", item.question)
    months, users = set(words) & set(MONTHS), set(words) & set(NAMES)
    assert len(months) == (item.task == "oolong_date")
    assert len(users) == (item.task == "oolong_user")
    return str(sum(t == asked[0] and {m} >= months and {u} >= users for m, u, t in lines))


@pytest.mark.parametrize("windows", [1, 4, 16])
@pytest.mark.parametrize("task", oolong.TASKS)
def test_oolong_by_brute_force(task: str, windows: int, english: Drawn) -> None:
    for item in english(task, windows):
        assert item.gold == by_brute_force(item)


@pytest.mark.parametrize("task", EVERY_TASK)
def test_lengths_within_a_line_and_seeds(task: str, english: Drawn) -> None:
    for windows in (1, 4):
        for item in english(task, windows):
            longest = max(len(line.split()) + 1 for line in item.context.splitlines())
            assert 0 <= windows * WINDOW - ROOM - num_tokens(item.context) <= max(longest, 24)
    assert english(task, 1) == english(task, 1)
    assert len({item.context for item in english(task, 1)}) == 6


def test_topics_stand_in_no_line_and_share_no_word(english: Drawn) -> None:
    words = [word for topic in TOPICS.values() for word in topic]
    assert len(words) == len(set(words))
    for item in english("oolong_count", 16):
        assert not set(TOPICS) & set(re.findall(r"\w+", item.context))


def test_compounds_all_differ() -> None:
    numbers = [*range(40_000), *range(40_000, MOST_COMPOUNDS, 7), MOST_COMPOUNDS - 1]
    assert len({compound(number) for number in numbers}) == len(set(numbers))
    with pytest.raises(ValueError):
        compound(MOST_COMPOUNDS)
