"""Instructions: operations, their compositions and demands on a format, done and verified letter by letter."""

import re
from collections.abc import Iterator

import pytest

from evals.abilities import ABILITIES, Item, check, documents, items
from evals.abilities.instructions import Compose

# Both orders.
UNSEEN_OPERATIONS = [{"rev", "take"}, {"sort", "twice"}, {"novow", "take"}, {"sub", "sort"}]
UNSEEN_DEMANDS = [{"caps", "x"}, {"box", "end"}, {"caps", "begin"}]
DEMAND_PATTERNS = {"caps": r"[^a-z]*", "box": r"[^\[\]\w]*\[[^\[\]]*\][^\[\]\w]*"}


def body(prompt: str) -> str:
    return re.split("[:#]", prompt, maxsplit=1)[1][:-1]


def head(prompt: str) -> str:
    return re.split("[:#]", prompt, maxsplit=1)[0]


def operate(operation: str, text: str) -> str:
    """One operation, said as in a prompt, letter by letter."""
    name, _, argument = operation.partition("-")
    letters = {
        "rev": lambda: reversed(text),
        "sort": lambda: sorted(text, key=ord),
        "novow": lambda: [letter for letter in text if letter.lower() not in set("aeiou")],
        "drop": lambda: [letter for letter in text if letter != argument],
        "count": lambda: str(sum(letter == argument for letter in text)),
        "twice": lambda: [*text, *text],
        "upper": lambda: [chr(ord(letter) - 32) if letter.islower() else letter for letter in text],
        "sub": lambda: [argument[1] if letter == argument[0] else letter for letter in text],
        "take": lambda: [letter for place, letter in enumerate(text) if place < int(argument)],
    }
    return "".join(letters[name]())


def solve_instructions(prompt: str) -> str:
    text = body(prompt)
    for operation in head(prompt).split("+"):
        text = operate(operation, text)
    return text


def obeys(demand: str, word: str, answer: str) -> bool:
    """One demand of `format`, apart from the others."""
    if demand in DEMAND_PATTERNS:
        return re.fullmatch(DEMAND_PATTERNS[demand], answer) is not None
    if demand in ("x2", "x3"):
        return answer.lower().count(word) == int(demand[1])
    return answer[0 if demand.startswith("begin") else -1] == demand[-1]


def lines(name: str) -> Iterator[tuple[str, str]]:
    """Prompts and targets of both sides, in every style."""
    ability = ABILITIES[name]
    for document in documents(ability, 1500, seed=0):
        yield document.prompt, document.target
    for style in ability.styles:
        for item in items(ability, style, 200, seed=0):
            yield item.prompt, item.target


@pytest.mark.parametrize("name", ["transform", "compose"])
def test_operations_are_done_in_their_order(name: str) -> None:
    for prompt, target in lines(name):
        assert target == f"{solve_instructions(prompt)}.", prompt


def test_formats_meet_every_demand() -> None:
    for prompt, target in lines("format"):
        word, answer = body(prompt), target[:-1]
        demands = head(prompt).split("+")[1:]
        assert 1 <= len(demands) <= 2
        assert all(obeys(demand, word, answer) for demand in demands), prompt + target
        num_copies = max((int(demand[1]) for demand in demands if demand[0] == "x"), default=1)
        assert re.sub(r"\W", "", answer).lower() == word * num_copies


# Compositions


def names_of(prompt: str) -> list[str]:
    """Operations without their arguments."""
    return [operation.partition("-")[0] for operation in head(prompt).split("+")]


def test_compositions_of_items_are_never_trained_on_and_do_not_commute() -> None:
    trained = {tuple(names_of(document.prompt)) for document in documents(ABILITIES["compose"], 20_000, seed=0)}
    assert not any(set(pair) in UNSEEN_OPERATIONS for pair in trained)
    asked = items(ABILITIES["compose"], "direct", 500, seed=0)
    assert {tuple(names_of(item.prompt)) for item in asked} == {
        pair for a, b in UNSEEN_OPERATIONS for pair in ((a, b), (b, a))
    }
    for pair in UNSEEN_OPERATIONS:
        for name in pair:
            assert {place for names in trained for place in (0, 1) if names[place] == name} == {0, 1}
    for item in asked:
        shows_both_operations_and_their_order(item)


def test_items_on_seen_pairs_differ_in_the_pair_only() -> None:
    trained = {tuple(names_of(document.prompt)) for document in documents(ABILITIES["compose"], 20_000, seed=0)}
    for item in items(Compose(seen_pairs=True), "direct", 300, seed=0):
        assert tuple(names_of(item.prompt)) in trained
        shows_both_operations_and_their_order(item)


def shows_both_operations_and_their_order(item: Item) -> None:
    text, (first, second) = body(item.prompt), head(item.prompt).split("+")
    right = operate(second, operate(first, text))
    assert item.answer == right
    assert right not in ("", text, operate(first, text), operate(second, text), operate(first, operate(second, text)))


def test_transforms_always_change_their_string() -> None:
    prompts = [document.prompt for document in documents(ABILITIES["transform"], 5000, seed=0)]
    assert all(solve_instructions(prompt) not in ("", body(prompt)) for prompt in prompts)
    assert len({names_of(prompt)[0] for prompt in prompts}) == 9


def kinds_of(prompt: str) -> set[str]:
    return {re.sub(r"[^a-z]", "", demand) for demand in head(prompt).split("+")[1:]}


def test_demands_of_items_are_never_trained_on_together() -> None:
    trained = {frozenset(kinds_of(document.prompt)) for document in documents(ABILITIES["format"], 20_000, seed=0)}
    assert {frozenset({kind}) for kind in ("caps", "box", "x", "begin", "end")} <= trained
    assert not any(kinds in UNSEEN_DEMANDS for kinds in trained)
    asked = [item.prompt for item in items(ABILITIES["format"], "direct", 500, seed=0)]
    assert {frozenset(kinds_of(prompt)) for prompt in asked} == set(map(frozenset, UNSEEN_DEMANDS))
    for kind in ("caps", "box", "x", "begin", "end"):
        assert sum(kind in kinds and len(kinds) == 2 for kinds in trained) >= 2


@pytest.mark.parametrize(
    ("demands", "answer", "right"),
    [
        ("x2+caps", "KAT-KAT", True),
        ("x2+caps", "KAT KAT", True),
        ("x2+caps", "KATKAT.kat", True),
        ("x2+caps", "KAT", False),
        ("x2+caps", "KAT-KAT-KAT", False),
        ("x2+caps", "KAT-kat", False),
        ("box+end!", "[kat]!", True),
        ("box+end!", "[kat!]", False),
        ("box+end!", "[kat", False),
        ("box+end!", "[kat]kat!", False),
        ("box+end!", "[kat]?", False),
        ("box+x2", "[kat-kat]", True),
        ("box+x2", "[kat]-[kat]", False),
        ("begin*+caps", "*KAT", True),
        ("begin*+caps", "* KAT", True),
        ("begin*+caps", "KAT*", False),
        ("begin*+caps", "*TAK", False),
        ("begin*+end;", "*kat;", True),
        ("begin*+end;", "*kat", False),
    ],
)
def test_formats_are_judged_by_their_demands(demands: str, answer: str, right: bool) -> None:
    item = Item("format", "direct", f"say+box:dog>[dog].\nsay+{demands}:kat>", "?", (), "?", "kat", 0)
    assert check(item, answer) is right
