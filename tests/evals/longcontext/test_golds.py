"""Golds by a reading of our own: of question and context alone, without the world's parsers."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations

import pytest

from evals.longcontext.item import Item
from evals.longcontext.lexicon import CLASSES, Lexicon
from evals.longcontext.tasks import TASKS

LENGTHS = (1, 4, 16)

Drawn = Callable[..., list[Item]]
Reader = Callable[[str], str]


def records(item: Item, reader: Reader) -> Iterator[tuple[str, str, str]]:
    """User, digits and class of each record."""
    for line in item.context.splitlines():
        if ":" in line:
            head = line.partition(" : ")[0].split()
            yield head[0], "".join(head[1:]), reader(line)


def brute_force(item: Item, lexicon: Lexicon, reader: Reader) -> str:
    """The answer from question and context alone, as one string without spaces between digits."""
    read = list(records(item, reader))
    asked = [word for word in item.question.split() if word in CLASSES]
    kinds = Counter(kind for _, _, kind in read)
    if item.task == "semniah":
        (code,) = [digits for _, digits, kind in read if kind == asked[0]]
        return code
    if item.task == "argmax":
        (top, most), (_, second) = kinds.most_common(2)
        assert most > second
        return top
    if item.task == "compare":
        assert kinds[asked[0]] != kinds[asked[1]]
        return max(asked, key=lambda kind: kinds[kind])
    if item.task.startswith("count"):
        month = re.search(r"month (\d) (\d)", item.question)
        user = re.search(r"by (\w+)", item.question)
        assert bool(month) == (item.task == "count_by_date")
        assert bool(user) == (item.task == "count_by_user")
        return str(
            sum(
                kind == asked[0] and (not month or digits[:2] == month[1] + month[2]) and (not user or user[1] == name)
                for name, digits, kind in read
            )
        )
    if item.task == "sempairs":
        return pair_text(combinations([digits for _, digits, kind in read if kind == asked[0]], 2))
    if item.task == "truepairs":
        opposite = lexicon.opposite_of
        both = [(a[1], b[1]) for a, b in combinations(read, 2) if a[0] == b[0] and opposite[a[2]] == b[2]]
        return pair_text(both)
    verbs = [line.split() for line in item.context.splitlines() if ":" not in line]
    return chained(item, verbs, lexicon) if item.task == "chain" else held(item, verbs, lexicon)


def pair_text(pairs: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> str:
    return " , ".join(sorted(" - ".join(sorted(pair)) for pair in pairs))


def chained(item: Item, lines: list[list[str]], lexicon: Lexicon) -> str:
    words = item.question.replace(",", "").split()
    if words[0] == "start":
        name, relations = words[2], [word for word in words[3:] if word in ("leads", "pays", "knows")]
    else:
        *backward, name = [word for word in words[2:-1] if word != "of"]
        relations = backward[::-1]
    for relation in relations:
        (name,) = {
            b if not passive else a
            for a, verb, b in lines
            for meaning, passive in [lexicon.relation_of[verb]]
            if meaning == relation and (b if passive else a) == name
        }
    return name


def held(item: Item, lines: list[list[str]], lexicon: Lexicon) -> str:
    """By keeping what everyone has, where the world follows one thing."""
    thing = re.search(r"(?:where is|who has) (\w+)", item.question)
    assert thing
    has: dict[str, set[str]] = {}
    for first, verb, second in lines:
        meaning, passive = lexicon.event_of[verb]
        if meaning == "take":
            for things in has.values():
                things.discard(second)
            has.setdefault(first, set()).add(second)
        elif meaning == "swap":
            has[first], has[second] = has.get(second, set()), has.get(first, set())
        elif meaning == "pass":
            giver, taker = (second, first) if passive else (first, second)
            has[taker] = has.get(taker, set()) | has.get(giver, set())
            has[giver] = set()
    (holder,) = [name for name, things in has.items() if thing[1] in things]
    return holder


def joined(text: str) -> str:
    return re.sub(r"(?<=\d) (?=\d)", "", text)


@pytest.mark.parametrize("windows", LENGTHS)
@pytest.mark.parametrize("task", TASKS)
def test_golds_by_brute_force(task: str, windows: int, drawn: Drawn, lexicon: Lexicon, reader: Reader) -> None:
    for item in drawn(task, windows):
        assert joined(item.gold) == brute_force(item, lexicon, reader), item.question


def test_a_state_follows_from_the_whole(drawn: Drawn, lexicon: Lexicon) -> None:
    """Without the last third of the events, or in another order, the answer is another in most items."""
    rng = random.Random(0)
    changed = {"cut": 0, "shuffled": 0}
    drawn_items = drawn("statelog", 4, count=40)
    for item in drawn_items:
        events = [line.split() for line in item.context.splitlines() if ":" not in line]
        head, tail = events[: item.meta["num_lines"]], events[len(events) * 2 // 3 :]
        changed["cut"] += held(item, events[: len(events) - len(tail)], lexicon) != item.gold
        changed["shuffled"] += held(item, rng.sample(head, len(head)), lexicon) != item.gold
    assert all(count > 0.6 * len(drawn_items) for count in changed.values()), changed
