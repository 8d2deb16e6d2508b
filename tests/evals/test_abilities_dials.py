"""Dials: what cannot be is refused in one line, and what is allowed fits and has both sides."""

import re
from typing import Any

import pytest

from evals.abilities import Ability, documents, items
from evals.abilities.ability import is_held_out
from evals.abilities.arithmetic import Addition, Chain, Multiplication
from evals.abilities.catalogue import ABILITIES
from evals.abilities.classes import Classify, Labels
from evals.abilities.constraints import Format
from evals.abilities.copying import Induction, Recall
from evals.abilities.functions import Boolean, Linear
from evals.abilities.instructions import Compose, Transform
from evals.abilities.symbols import Logic, Parity, Pointers

REFUSALS: list[tuple[type[Ability], dict[str, Any], str]] = [
    (Induction, {"num_letters": 4}, "num_letters is 4: give a whole number from 5 to 26"),
    (Induction, {"num_letters": 27}, "num_letters is 27: give a whole number from 5 to 26"),
    (Induction, {"num_repeated": 0}, "num_repeated is 0: give a whole number from 1 to 10"),
    (Induction, {"num_repeated": 11}, "num_repeated is 11: give a whole number from 1 to 10"),
    (Induction, {"num_continued": 10}, "num_continued is 10: give a whole number from 1 to 9"),
    (Recall, {"num_pairs": 1}, "num_pairs is 1: give a whole number from 2 to 18"),
    (Recall, {"num_pairs": 19}, "num_pairs is 19: give a whole number from 2 to 18"),
    (Recall, {"num_pairs": 2.0}, "num_pairs is 2.0: give a whole number from 2 to 18"),
    (Recall, {"num_pairs": True}, "num_pairs is True: give a whole number from 2 to 18"),
    (Labels, {"num_classes": 5}, "num_classes is 5: give a whole number from 2 to 4"),
    (Labels, {"num_shown_each": 0}, "num_shown_each is 0: give a whole number from 1 to 4"),
    (Labels, {"num_shown_each": 3}, "num_shown_each is 3: documents of 64 characters are longer than 63: lower it"),
    (Classify, {"num_shown_each": 1}, "num_shown_each is 1: give a whole number from 2 to 5"),
    (Classify, {"num_shown_each": 6}, "num_shown_each is 6: give a whole number from 2 to 5"),
    (Linear, {"num_shown": 1}, "num_shown is 1: give a whole number from 2 to 9"),
    (Linear, {"num_shown": 10}, "num_shown is 10: give a whole number from 2 to 9"),
    (Boolean, {"num_bits": 2}, "num_bits is 2: give a whole number from 3 to 4"),
    (Boolean, {"num_shown": 7}, "num_shown is 7: give a whole number from 4 to 6"),
    (Boolean, {"num_bits": 4, "num_shown": 8}, "num_shown is 8: give a whole number from 4 to 7"),
    (Transform, {"num_letters": 13}, "num_letters is 13: give a whole number from 5 to 12"),
    (Transform, {"operations": ()}, "operations is (): list one or more of rev, sort, novow"),
    (Transform, {"operations": "rev"}, "operations is 'rev': list one or more of rev, sort, novow"),
    (Transform, {"operations": ("rev", "spin")}, "operations has 'spin': name each once, and only rev, sort"),
    (Transform, {"operations": ("rev", "rev")}, "operations has 'rev': name each once, and only rev, sort"),
    (Compose, {"num_letters": 4}, "num_letters is 4: give a whole number from 5 to 12"),
    (Compose, {"seen_pairs": "yes"}, "seen_pairs is 'yes': give true or false"),
    (Format, {"num_letters": 2}, "num_letters is 2: give a whole number from 3 to 8"),
    (Format, {"num_letters": 9}, "num_letters is 9: give a whole number from 3 to 8"),
    (Addition, {"num_digits": 0}, "num_digits is 0: give a whole number from 1 to 8"),
    (Addition, {"num_digits": 9}, "num_digits is 9: give a whole number from 1 to 8"),
    (Multiplication, {"num_digits": 1}, "num_digits is 1: give a whole number from 2 to 5"),
    (Multiplication, {"num_digits": 6}, "num_digits is 6: give a whole number from 2 to 5"),
    (Chain, {"modulus": 2}, "modulus is 2: give a whole number from 3 to 10"),
    (Chain, {"modulus": 11}, "modulus is 11: give a whole number from 3 to 10"),
    (Chain, {"num_operations": 1}, "num_operations is 1: give a whole number from 2 to 15"),
    (Chain, {"num_operations": 16}, "num_operations is 16: give a whole number from 2 to 15"),
    (Parity, {"num_bits": 4}, "num_bits is 4: give a whole number from 5 to 27"),
    (Parity, {"num_bits": 28}, "num_bits is 28: give a whole number from 5 to 27"),
    (Pointers, {"num_nodes": 3}, "num_nodes is 3: give a whole number from 4 to 17"),
    (Pointers, {"num_nodes": 18}, "num_nodes is 18: give a whole number from 4 to 17"),
    (Pointers, {"num_hops": 7}, "num_hops is 7: give a whole number from 1 to 6"),
    (Pointers, {"num_hops": 0}, "num_hops is 0: give a whole number from 1 to 6"),
    (Pointers, {"num_nodes": 17, "num_hops": 3}, "num_hops is 3: documents of 64 characters are longer than 63"),
    (Logic, {"num_operators": 1}, "num_operators is 1: give a whole number from 2 to 8"),
    (Logic, {"num_operators": 9}, "num_operators is 9: give a whole number from 2 to 8"),
]


@pytest.mark.parametrize(("definition", "dials", "message"), REFUSALS, ids=[f"{d.name}-{v}" for d, v, _ in REFUSALS])
def test_a_dial_out_of_range_is_refused(definition: type[Ability], dials: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as refusal:
        definition(**dials)
    assert "\n" not in str(refusal.value)


EASIEST: list[Ability] = [
    Induction(num_letters=5, num_repeated=1, num_continued=1),
    Recall(num_pairs=2),
    Labels(num_classes=2, num_shown_each=1),
    Classify(num_shown_each=2),
    Linear(num_shown=2),
    Linear(num_shown=9),
    Boolean(num_bits=3, num_shown=4),
    Boolean(num_bits=3, num_shown=6),
    Transform(num_letters=5),
    Compose(num_letters=5),
    Format(num_letters=3),
    Addition(num_digits=1),
    Multiplication(num_digits=2),
    *(Chain(modulus=modulus, num_operations=2) for modulus in range(3, 11)),
    Parity(num_bits=5),
    Pointers(num_nodes=4, num_hops=1),
    Logic(num_operators=2),
]
HARDEST: list[Ability] = [
    Induction(num_letters=26, num_repeated=24, num_continued=1),
    Induction(num_letters=26, num_repeated=1, num_continued=24),
    Recall(num_pairs=18),
    Labels(num_classes=4, num_shown_each=2),
    Labels(num_classes=2, num_shown_each=4),
    Classify(num_shown_each=5),
    Linear(num_shown=9),
    Boolean(num_bits=4, num_shown=7),
    Transform(num_letters=12),
    Compose(num_letters=12),
    Format(num_letters=8),
    Addition(num_digits=8),
    Multiplication(num_digits=5),
    Chain(modulus=10, num_operations=15),
    Parity(num_bits=27),
    Pointers(num_nodes=17, num_hops=2),
    Pointers(num_nodes=14, num_hops=10),
    Logic(num_operators=8),
]


@pytest.mark.parametrize("ability", [*EASIEST, *HARDEST, *ABILITIES.values()], ids=repr)
def test_every_dial_gives_both_sides_and_fits(ability: Ability) -> None:
    lengths = [len(document.text) for document in documents(ability, 1000, seed=0)]
    for style in ability.styles:
        (item,) = items(ability, style, 1, seed=0)
        assert is_held_out(ability.name, item.key)
        lengths.append(len(item.prompt + item.target))
    assert max(lengths) <= ability.max_characters <= 63


def test_too_many_items_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^addition: found only \d held-out contents at these dials: ask for no more"):
        items(Addition(num_digits=1), "direct", 20, seed=0)


@pytest.mark.parametrize(
    ("name", "request_", "message"),
    [
        ("recall", {"style": "steps", "count": 1}, "recall has no style 'steps': use direct"),
        ("parity", {"style": "brief", "count": 1}, "parity has no style 'brief': use direct or steps"),
        ("parity", {"style": "direct", "count": 0}, "count is 0: ask parity for 1 item or more"),
    ],
)
def test_what_cannot_be_asked_is_refused(name: str, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        items(ABILITIES[name], seed=0, **request_)
