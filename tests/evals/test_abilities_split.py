"""The split by content: no held-out content in training, read from the prompts alone, and the same for everyone."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement, islice, product
from pathlib import Path

import pytest

from evals.abilities import ABILITIES, Ability, documents, items, shots
from evals.abilities.arithmetic import Addition, Chain, Multiplication
from evals.abilities.copying import Induction, Recall
from evals.abilities.functions import Boolean
from evals.abilities.instructions import Compose, Transform
from evals.abilities.symbols import Parity, Pointers

NUM_DOCUMENTS, NUM_ITEMS = 100_000, 200


def body(prompt: str) -> str:
    return re.split("[:#]", prompt, maxsplit=1)[1][:-1]


def head(prompt: str) -> str:
    return re.split("[:#]", prompt, maxsplit=1)[0]


def shown_sorted(prompt: str) -> str:
    """Labels, classify, linear: all that is shown but the last, which is what is asked."""
    return ",".join(sorted(body(prompt).split(",")[:-1]))


def arrows_sorted(prompt: str) -> str:
    return ",".join(sorted(body(prompt).partition("?")[0].split(",")))


def boolean_content(prompt: str) -> str:
    *shown, asked = body(prompt).split(",")
    return ",".join([*sorted(shown), asked])


def operands_sorted(sign: str, prompt: str) -> str:
    return sign.join(map(str, sorted(map(int, body(prompt).split(sign)))))


def chain_content(prompt: str) -> str:
    """Runs of one operator with their operands in order; the start belongs to the first."""

    def in_order(run: re.Match[str]) -> str:
        sign = run.group()[0]
        return sign + sign.join(sorted(run.group()[1:].split(sign)))

    text = body(prompt)
    ordered = re.sub(r"\+\d(\+\d)*|\*\d(\*\d)*", in_order, text[1] + text)
    return head(prompt).removeprefix("mod") + ":" + ordered[1:]


def logic_content(prompt: str) -> str:
    """A stack of canonical parts, joined at each closing bracket."""
    stack: list[str] = []
    for character in body(prompt):
        if character != ")":
            stack.append(character)
            continue
        right, operator, left, _ = (stack.pop() for _ in range(4))
        negation = stack.pop() if stack and stack[-1] == "!" else ""
        first, second = min(left, right), max(left, right)
        stack.append(f"{negation}({first}{operator}{second})")
    (content,) = stack
    return content


CONTENTS: dict[str, Callable[[str], str]] = {
    "induction": lambda prompt: body(prompt).split(",")[0],
    "recall": arrows_sorted,
    "labels": shown_sorted,
    "classify": shown_sorted,
    "linear": shown_sorted,
    "boolean": boolean_content,
    "transform": body,
    "compose": body,
    "format": body,
    "addition": partial(operands_sorted, "+"),
    "multiplication": partial(operands_sorted, "*"),
    "chain": chain_content,
    "parity": body,
    "pointers": arrows_sorted,
    "logic": logic_content,
}


def held_out(name: str, content: str) -> bool:
    """One content in eight, by hash."""
    return hashlib.blake2b(f"{name}\n{content}".encode(), digest_size=8).digest()[0] % 8 == 0


@pytest.mark.parametrize("name", ABILITIES)
def test_no_held_out_content_is_in_training(name: str) -> None:
    ability, content_of = ABILITIES[name], CONTENTS[name]
    prompts = (document.prompt for document in documents(ability, NUM_DOCUMENTS, seed=0))
    trained = {content_of(prompt) for prompt in prompts}
    assert not any(held_out(name, content) for content in trained)
    asked = items(ability, ability.styles[-1], NUM_ITEMS, seed=1)
    contents = {content_of(item.prompt) for item in asked}
    assert len(contents) == NUM_ITEMS
    assert contents == {item.key for item in asked}
    assert all(held_out(name, content) for content in contents)
    assert not trained & contents


def drawn_side(ability: Ability, held: bool) -> set[str]:
    """Every content of a side of a small space."""
    content_of = CONTENTS[ability.name]
    if not held:
        return {content_of(document.prompt) for document in documents(ability, 20_000, seed=0)}
    with pytest.raises(ValueError, match="found only") as refusal:
        items(ability, "direct", 10_000, seed=0)
    num_items = int(re.findall(r"\d+", str(refusal.value))[0])
    return {content_of(item.prompt) for item in items(ability, "direct", num_items, seed=0)}


@pytest.mark.parametrize(
    ("ability", "space"),
    [
        (Addition(num_digits=1), {f"{a}+{b}" for a, b in combinations_with_replacement(range(10), 2)}),
        (Multiplication(num_digits=2), {f"{a}*{b}" for a in range(2, 10) for b in range(10, 100)}),
        (Parity(num_bits=6), {"".join(bits) for bits in product("01", repeat=6)}),
    ],
    ids=lambda value: value.name if isinstance(value, Ability) else "",
)
def test_the_two_sides_are_the_whole_space(ability: Ability, space: set[str]) -> None:
    trained, asked = drawn_side(ability, held=False), drawn_side(ability, held=True)
    assert trained | asked == space
    assert not trained & asked
    assert 0.06 < len(asked) / len(space) < 0.22


@pytest.mark.parametrize("name", ABILITIES)
def test_a_content_is_on_one_side_whatever_the_style(name: str) -> None:
    ability = ABILITIES[name]
    by_style = [items(ability, style, 50, seed=3) for style in ability.styles]
    for answers in zip(*by_style, strict=True):
        assert len({(item.key, item.answer) for item in answers}) == 1
        assert len({item.prompt for item in answers}) == len(ability.styles)
    seen = {re.search("[:#]", document.prompt)[0] for document in documents(ability, 200, seed=0)}  # pyright: ignore
    assert seen == {"direct": {":"}, "steps": {":", "#"}}[ability.styles[-1]]


@pytest.mark.parametrize(
    "ability",
    [
        Compose(seen_pairs=True),
        Transform(operations=("rev", "count")),
        Pointers(num_nodes=12, num_hops=5),
        Induction(num_repeated=1, num_continued=1),
        Recall(num_pairs=3),
        Boolean(num_bits=4, num_shown=7),
        Chain(modulus=7, num_operations=9),
    ],
    ids=lambda ability: ability.name,
)
def test_the_split_knows_no_dials(ability: Ability) -> None:
    content_of = CONTENTS[ability.name]
    assert all(held_out(ability.name, content_of(item.prompt)) for item in items(ability, "direct", 100, seed=0))
    assert not any(held_out(ability.name, content_of(doc.prompt)) for doc in documents(ability, 2000, seed=0))


@pytest.mark.parametrize("name", ABILITIES)
def test_shots_are_of_the_training_side(name: str) -> None:
    ability = ABILITIES[name]
    for style in ability.styles:
        made = shots(ability, style, 16, seed=5)
        contents = {CONTENTS[name](shot.prompt) for shot in made}
        assert len(contents) == 16
        assert not any(held_out(name, content) for content in contents)
        assert all(("#" in shot.prompt) == (style == "steps") == ("=" in shot.target) for shot in made)


# The same for everyone

DIGEST = """
import hashlib
from evals.abilities import ABILITIES, documents, items, shots
digest = hashlib.sha256()
for ability in ABILITIES.values():
    for document in documents(ability, 300, seed=7):
        digest.update(repr(document).encode())
    for style in ability.styles:
        digest.update(repr(items(ability, style, 20, seed=7) + shots(ability, style, 4, seed=7)).encode())
print(digest.hexdigest())
"""


def test_the_seed_decides_whatever_the_process(root: Path) -> None:
    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", DIGEST]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert digest("1") == digest("2")


@pytest.mark.parametrize("name", ABILITIES)
def test_fewer_are_the_first_of_more_and_seeds_differ(name: str) -> None:
    ability = ABILITIES[name]
    more = list(documents(ability, 60, seed=2))
    assert list(documents(ability, 40, seed=2)) == list(islice(more, 40))
    assert items(ability, "direct", 40, seed=2) == items(ability, "direct", 60, seed=2)[:40]
    assert list(documents(ability, 60, seed=4)) != more
    assert items(ability, "direct", 40, seed=4) != items(ability, "direct", 40, seed=2)
