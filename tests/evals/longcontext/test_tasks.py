"""Items: the same from the same seed, of the length asked, and giving nothing away."""

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from evals.longcontext.item import Item
from evals.longcontext.lexicon import CLASSES, TEMPLATES, Lexicon, is_held_out
from evals.longcontext.lookups import Chain
from evals.longcontext.statelog import StateLog
from evals.longcontext.task import ROOM, constant_chance, items
from evals.longcontext.tasks import TASKS
from evals.longcontext.world import WINDOW, num_tokens

LENGTHS = (1, 4, 16)
LONGEST_LINE = 1 + 4 + 1 + max(len(template.split()) for template in TEMPLATES) + 1

Drawn = Callable[..., list[Item]]
Reader = Callable[[str], str]


@pytest.mark.parametrize("windows", LENGTHS)
@pytest.mark.parametrize("task", TASKS)
def test_lengths_within_a_line(task: str, windows: int, drawn: Drawn) -> None:
    for item in drawn(task, windows):
        assert 0 <= windows * WINDOW - ROOM - num_tokens(item.context) < LONGEST_LINE
        assert item.context.endswith("\n")
        assert item.meta["num_lines"] == len(item.context.splitlines())


@pytest.mark.parametrize("task", TASKS)
def test_all_tokens_are_in_the_vocabulary(task: str, drawn: Drawn, lexicon: Lexicon) -> None:
    vocabulary = set(lexicon.vocabulary())
    for item in drawn(task, 1, count=24):
        assert {*item.context.split(), *item.question.split(), *item.gold.split()} <= vocabulary


def test_a_thousand_windows(lexicon: Lexicon) -> None:
    for name in ("semniah", "truepairs"):
        (item,) = items(TASKS[name], lexicon, 1000, 1, seed=0)
        assert 0 <= 1000 * WINDOW - ROOM - num_tokens(item.context) < LONGEST_LINE + 1


def digest(task: str, lexicon: Lexicon) -> str:
    drawn = [item for side in ("train", "held-out") for item in items(TASKS[task], lexicon, 1, 3, 7, side)]
    return hashlib.sha256(repr(drawn).encode()).hexdigest()


def test_determinism_in_another_process(lexicon: Lexicon, root: Path) -> None:
    code = (
        "import hashlib\nfrom evals.longcontext.lexicon import Lexicon\nfrom evals.longcontext.task import items\n"
        "from evals.longcontext.tasks import TASKS\nlexicon = Lexicon()\nfor name in TASKS:\n"
        "    drawn = [i for side in ('train', 'held-out') for i in items(TASKS[name], lexicon, 1, 3, 7, side)]\n"
        "    print(hashlib.sha256(repr(drawn).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "77"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [digest(task, lexicon) for task in TASKS]


@pytest.mark.parametrize("task", TASKS)
def test_seeds_differ_and_fewer_are_the_first(task: str, lexicon: Lexicon, drawn: Drawn) -> None:
    assert items(TASKS[task], lexicon, 1, 3, seed=0) == drawn(task, 1)[:3]
    contexts = {item.context for seed in (0, 1) for item in drawn(task, 1, 8, seed)}
    assert len(contexts) == 16


@pytest.mark.parametrize("task", TASKS)
def test_held_out_compositions(task: str, drawn: Drawn, lexicon: Lexicon) -> None:
    for side in ("train", "held-out"):
        for item in drawn(task, 4, 4, 0, side):
            for line in item.context.splitlines():
                if ":" not in line:
                    continue
                template, words, place = lexicon.template(line.split())
                sides = [is_held_out(template, word) for word in words]
                assert sides[place] if side == "held-out" else not any(sides), line


@pytest.mark.parametrize("task", TASKS)
def test_classes_and_relations_stand_in_no_context(task: str, drawn: Drawn) -> None:
    for item in drawn(task, 4):
        assert not {*CLASSES, "leads", "pays", "knows"} & set(item.context.split())


@pytest.mark.parametrize("task", ["semniah", "count", "sempairs"])
def test_words_of_the_class_mislead(task: str, drawn: Drawn, lexicon: Lexicon, reader: Reader) -> None:
    for item in drawn(task, 4):
        kind = item.meta["kind"]
        lines = item.context.splitlines()
        misleading = [
            line
            for line in lines
            if reader(line) != kind and kind in {lexicon.class_of.get(word) for word in line.split()}
        ]
        assert len(misleading) > len(lines) / 25


def test_compared_and_top_shares(drawn: Drawn, reader: Reader) -> None:
    for item in drawn("argmax", 16):
        total, (top, *others) = item.meta["num_lines"], sorted(item.meta["counts"].values(), reverse=True)
        assert 0.13 <= top / total < 0.145
        assert top - others[0] >= int(0.04 * total)
        assert all(0.05 <= other / total <= 0.11 for other in others)
    firsts = 0
    for item in drawn("compare", 16, count=40):
        more, less = sorted((item.meta["counts"][kind] for kind in item.meta["kinds"]), reverse=True)
        assert 0.13 <= more / item.meta["num_lines"] < 0.145
        assert more - less >= int(0.05 * item.meta["num_lines"])
        firsts += item.meta["kinds"][0] == item.gold
    assert 10 <= firsts <= 30


def test_a_window_tells_little_and_all_of_them_decide(drawn: Drawn, lexicon: Lexicon, reader: Reader) -> None:
    rng = random.Random(0)
    by_window = by_reading = 0
    drawn_items = drawn("argmax", 64, count=24)
    for item in drawn_items:
        kinds = [reader(line) for line in item.context.splitlines()]
        start = rng.randrange(len(kinds) - 22)
        by_window += Counter(kinds[start : start + 22]).most_common(1)[0][0] == item.gold
        misread = [rng.choice(CLASSES) if rng.random() < 0.05 else kind for kind in kinds]
        by_reading += Counter(misread).most_common(1)[0][0] == item.gold
    assert by_window <= 0.5 * len(drawn_items)
    assert by_reading == len(drawn_items)


def test_chains_pass_different_names(drawn: Drawn, lexicon: Lexicon) -> None:
    lengths = set()
    for item in drawn("chain", 4, count=24):
        passed = [item.meta["start"], *item.meta["hops"]]
        assert len(set(passed)) == len(passed) == len(item.meta["relations"]) + 1
        assert passed[-1] == item.gold
        lengths.add(len(item.meta["hops"]))
        verbs = [line.split()[1] for line in item.context.splitlines() if len(line.split()) == 3]
        assert {lexicon.relation_of[verb][1] for verb in verbs} == {True, False}
    assert lengths == {2, 3, 4}


def test_names_come_equally_often_in_facts(drawn: Drawn) -> None:
    for item in drawn("chain", 4):
        facts = [line.split() for line in item.context.splitlines() if ":" not in line]
        assert set(Counter(name for first, _, second in facts for name in (first, second)).values()) == {6}


def test_states_depend_on_more_than_the_last_mention(drawn: Drawn) -> None:
    for item in drawn("statelog", 16, count=24):
        lines = item.context.splitlines()
        naming = [number for number, line in enumerate(lines) if item.meta["thing"] in line and ":" not in line]
        assert naming[-1] == item.meta["last_line"] < len(lines) / 3
        assert lines[naming[-1]].split()[0] == item.meta["last_taker"] != item.gold


def test_gold_pairs_are_bounded(drawn: Drawn) -> None:
    for windows in LENGTHS:
        assert all(1 <= item.gold.count("-") <= 15 for item in drawn("sempairs", windows, count=24))
        assert all(1 <= item.gold.count("-") <= 8 for item in drawn("truepairs", windows, count=24))


def test_numbers_of_lines_differ(drawn: Drawn) -> None:
    for task in ("sempairs", "truepairs"):
        for item in drawn(task, 16):
            numbers = [line.partition(" : ")[0].split(" ", 1)[1] for line in item.context.splitlines()]
            assert len(set(numbers)) == len(numbers)


def test_golds_are_spread(drawn: Drawn) -> None:
    for task in ("argmax", "semniah", "chain", "statelog", "count"):
        golds = Counter(item.gold for item in drawn(task, 1, count=60))
        assert max(golds.values()) <= 18, task


def test_constant_chance() -> None:
    for most in range(9):
        scores = [sum(0.75 ** abs(n - guess) for n in range(most + 1)) / (most + 1) for guess in range(most + 1)]
        assert constant_chance(most) == pytest.approx(max(scores))


def test_impossible_dials(lexicon: Lexicon) -> None:
    with pytest.raises(ValueError, match="hops"):
        Chain(least_hops=3, most_hops=2)
    with pytest.raises(ValueError, match="holders"):
        StateLog(num_holders=2)
    with pytest.raises(ValueError, match="windows"):
        items(TASKS["count"], lexicon, 0, 1, 0)


def test_events_keep_their_order(drawn: Drawn) -> None:
    """Fillers stand between events, and events are not all in one place."""
    for item in drawn("statelog", 4):
        runs = [kind for kind, _ in groupby(":" in line for line in item.context.splitlines())]
        assert len(runs) > 10
