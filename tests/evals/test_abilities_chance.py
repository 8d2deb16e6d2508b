"""Chance as declared is the score of guessers that do not do the task, and shortcuts do no better."""

import math
import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from evals.abilities import ABILITIES, Ability, items
from evals.abilities.ability import Example
from evals.abilities.arithmetic import Addition, Chain, Multiplication
from evals.abilities.classes import Classify, Labels
from evals.abilities.constraints import Format
from evals.abilities.copying import Induction, Recall
from evals.abilities.functions import Boolean, Linear
from evals.abilities.instructions import Compose, Transform
from evals.abilities.symbols import Logic, Parity, Pointers

NUM_EXAMPLES = 20_000
Guesser = Callable[[str, random.Random], str]


def body(prompt: str) -> str:
    return re.split("[:#]", prompt, maxsplit=1)[1][:-1]


def drawn(ability: Ability) -> list[Example]:
    """Of both sides: with few contents a side alone has its own most frequent answer."""
    rng = random.Random(9)
    return [ability.draw(rng, held_out=False) for _ in range(NUM_EXAMPLES)]


def score(ability: Ability, guess: Guesser) -> float:
    rng = random.Random(1)
    return sum(guess(example.prompt("direct"), rng) == example.answer for example in drawn(ability)) / NUM_EXAMPLES


def standard_error(chance: float, num_examples: int = NUM_EXAMPLES) -> float:
    return math.sqrt(chance * (1 - chance) / num_examples)


def one_of(choices: str) -> Guesser:
    return lambda prompt, rng: rng.choice(choices)


def always(guess: str) -> Guesser:
    return lambda prompt, rng: guess


def shown(prompt: str) -> list[str]:
    """Labels, signs, digits, values after `=`, in their order."""
    return re.findall(r"=([^,]+)", prompt)


def any_shown(prompt: str, rng: random.Random) -> str:
    return rng.choice(sorted(set(shown(prompt))))


def last_shown(prompt: str, rng: random.Random) -> str:
    return shown(prompt)[-1]


def most_shown(prompt: str, rng: random.Random) -> str:
    return Counter(shown(prompt)).most_common()[0][0]


def least_shown(prompt: str, rng: random.Random) -> str:
    return Counter(shown(prompt)).most_common()[-1][0]


def other_letters(prompt: str, rng: random.Random) -> str:
    string, again = body(prompt).split(",")
    return "".join(rng.sample(sorted(set(string) - set(again)), 2))


def other_node(prompt: str, rng: random.Random) -> str:
    arrows, query = body(prompt).split("?")
    return rng.choice(sorted({a for a, _ in arrows.split(",")} - {query[0]}))


def count_or_shuffled(prompt: str, rng: random.Random) -> str:
    """Knows that counts are 1 to 4, and otherwise says the letters in some order, or the first of them."""
    letters = body(prompt)
    return str(rng.randint(1, 4)) if prompt.startswith("count") else "".join(rng.sample(letters, len(letters)))


MODE_OF_PRODUCTS = Counter(a * b for a in range(10, 100) for b in range(2, 10)).most_common(1)[0][0]
GUESSERS: list[tuple[Ability, Guesser]] = [
    (Induction(num_letters=6, num_repeated=2, num_continued=2), other_letters),
    (Recall(), lambda prompt, rng: rng.choice(re.findall("[A-Z]", prompt))),
    (Recall(num_pairs=3), lambda prompt, rng: rng.choice(re.findall("[A-Z]", prompt))),
    (Labels(), any_shown),
    (Labels(num_classes=2, num_shown_each=4), any_shown),
    (Classify(), any_shown),
    (Linear(), one_of("0123456789")),
    (Linear(num_shown=2), one_of("0123456789")),
    (Boolean(), one_of("01")),
    (Boolean(num_bits=4, num_shown=7), one_of("01")),
    (Transform(), count_or_shuffled),
    (Transform(operations=("count", "upper")), count_or_shuffled),
    (Addition(num_digits=1), always("9")),
    (Addition(num_digits=2), always("109")),
    (Multiplication(num_digits=2), always(str(MODE_OF_PRODUCTS))),
    (Chain(), one_of("0123456789")),
    (Chain(modulus=6, num_operations=2), one_of("012345")),
    (Parity(), one_of("01")),
    (Pointers(), other_node),
    (Pointers(num_nodes=5, num_hops=3), other_node),
    (Logic(), one_of("01")),
]


def named(value: object) -> str:
    return value.name if isinstance(value, Ability) else ""


@pytest.mark.parametrize(("ability", "guess"), GUESSERS, ids=named)
def test_chance_is_what_an_informed_guesser_scores(ability: Ability, guess: Guesser) -> None:
    assert abs(score(ability, guess) - ability.chance) < 4 * standard_error(ability.chance)


def outermost_operator(prompt: str, rng: random.Random) -> str:
    """What the outermost operator, negated or not, says more often of random operands."""
    text, depth, operators = body(prompt), 0, {}
    for character in text:
        depth += (character == "(") - (character == ")")
        if character in "&|^":
            operators.setdefault(depth, character)
    value = {"&": 0, "|": 1, "^": rng.randrange(2)}[operators[1]]
    return str(1 - value if text[0] == "!" else value)


def last_of_chain(prompt: str, rng: random.Random) -> str:
    return body(prompt)[-1]


def next_node(prompt: str, rng: random.Random) -> str:
    arrows, query = body(prompt).split("?")
    return {arrow[0]: arrow[1] for arrow in arrows.split(",")}[query[0]]


def majority_of_bits(prompt: str, rng: random.Random) -> str:
    digits = re.findall("[01]", body(prompt))
    return "1" if 2 * digits.count("1") > len(digits) else "0"


SHORTCUTS: list[tuple[Ability, Guesser]] = [
    (Recall(), lambda prompt, rng: re.findall("[A-Z]", prompt)[0]),
    (Recall(), lambda prompt, rng: re.findall("[A-Z]", prompt)[-1]),
    *((ability, guess) for ability in (Labels(), Classify()) for guess in (last_shown, most_shown, least_shown)),
    (Linear(), last_shown),
    (Linear(), most_shown),
    *((Boolean(), guess) for guess in (last_shown, most_shown, least_shown)),
    *((Boolean(num_bits=4, num_shown=7), guess) for guess in (last_shown, most_shown, least_shown)),
    (Parity(), lambda prompt, rng: body(prompt)[-1]),
    (Chain(), last_of_chain),
    *((ability, always(bit)) for ability in (Boolean(), Parity(), Logic()) for bit in "01"),
    *((ability, always(digit)) for ability in (Linear(), Chain()) for digit in "05"),
    (Pointers(), next_node),
    (Logic(), outermost_operator),
    (Logic(), majority_of_bits),
]


@pytest.mark.parametrize(("ability", "guess"), SHORTCUTS, ids=named)
def test_shortcuts_score_no_more_than_chance(ability: Ability, guess: Guesser) -> None:
    assert score(ability, guess) < ability.chance + 4 * standard_error(ability.chance)


@pytest.mark.parametrize("ability", [Addition(num_digits=2), Multiplication(num_digits=2)], ids=named)
def test_no_number_is_more_frequent_than_chance(ability: Ability) -> None:
    counts = Counter(example.answer for example in drawn(ability))
    assert counts.most_common(1)[0][1] / NUM_EXAMPLES < ability.chance + 4 * standard_error(ability.chance)


@pytest.mark.parametrize("name", [name for name in ABILITIES if ABILITIES[name].chance > 0.05])
def test_items_have_the_answers_of_their_ability_in_equal_parts(name: str) -> None:
    """By the place of the answer among the choices, which are in order of their text."""
    asked = items(ABILITIES[name], "direct", 240, seed=0)
    chance = ABILITIES[name].chance
    counts = Counter(item.choices.index(item.answer) for item in asked)
    assert all(list(item.choices) == sorted(item.choices) for item in asked)
    for count in counts.values():
        assert abs(count / len(asked) - chance) < 4 * standard_error(chance, len(asked))


def test_weighing_ones_against_zeros_gives_some_of_parity() -> None:
    """The one shortcut that random bits leave, as the docstring of chance says."""
    expected = 0.5 + math.comb(11, 6) / 2**12
    assert abs(score(Parity(), majority_of_bits) - expected) < 4 * standard_error(expected)


def copied(prompt: str, rng: random.Random) -> str:
    return body(prompt)


def shuffled(prompt: str, rng: random.Random) -> str:
    return "".join(rng.sample(body(prompt), len(body(prompt))))


@pytest.mark.parametrize("guess", [copied, shuffled])
@pytest.mark.parametrize("ability", [Compose(), Format(), Transform(operations=("rev", "sort", "upper"))], ids=named)
def test_open_answers_are_not_guessed(ability: Ability, guess: Guesser) -> None:
    assert ability.chance == 0
    assert score(ability, guess) < 0.005
