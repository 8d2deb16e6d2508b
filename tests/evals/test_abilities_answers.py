"""In context and by reasoning: every answer and its working found by other means than the generators'."""

import ast
import re
from collections.abc import Callable, Iterator
from itertools import combinations

import pytest

from evals.abilities import ABILITIES, Item, check, documents, items

NUM_CONTINUED = 4  # Of induction at its default dials, which the prompt does not say.


def body(prompt: str) -> str:
    return re.split("[:#]", prompt, maxsplit=1)[1][:-1]


def head(prompt: str) -> str:
    return re.split("[:#]", prompt, maxsplit=1)[0]


def only(answers: set[str]) -> str:
    assert len(answers) == 1, f"the prompt leaves {sorted(answers)} open"
    return answers.pop()


def solve_induction(prompt: str) -> str:
    string, again = body(prompt).split(",")
    assert len(set(string)) == len(string)
    found = re.search(f"{again}(.{{{NUM_CONTINUED}}})", string)
    assert found
    return found.group(1)


def solve_recall(prompt: str) -> str:
    pairs, asked = body(prompt).split("?")
    table = {pair[0]: pair[1] for pair in pairs.split(",")}
    assert len(table) == len(set(table.values())) == pairs.count(",") + 1
    return table[asked]


def shown_pairs(prompt: str) -> tuple[list[list[str]], str]:
    *shown, asked = body(prompt).split(",")
    pairs = [pair.split("=") for pair in shown]
    names = [name for name, _ in pairs]
    assert len({*names, asked}) == len(names) + 1
    return pairs, asked


def solve_labels(prompt: str) -> str:
    pairs, asked = shown_pairs(prompt)

    def class_of(thing: str) -> str:
        return "digit" if thing.isdigit() else "capital" if thing.isupper() else "vowel" if thing in "aeiou" else "rest"

    return only({word for thing, word in pairs if class_of(thing) == class_of(asked)})


def solve_classify(prompt: str) -> str:
    """By every feature under which no sign stands for both values: there must be one only."""
    pairs, asked = shown_pairs(prompt)
    features: list[Callable[[str], bool]] = [
        lambda thing: thing[0].isupper(),
        lambda thing: thing[0].lower() in "aeiou",
        lambda thing: int(thing[1]) % 2 == 1,
        lambda thing: int(thing[1]) >= 5,
    ]
    tables = [{feature(thing): sign for thing, sign in pairs} for feature in features]
    fitting = [k for k, f in enumerate(features) if all(tables[k][f(thing)] == sign for thing, sign in pairs)]
    assert len(fitting) == 1
    return tables[fitting[0]][features[fitting[0]](asked)]


def solve_linear(prompt: str) -> str:
    pairs, asked = shown_pairs(prompt)
    points = [(int(x), int(y)) for x, y in pairs]
    lines = [(a, b) for a in range(10) for b in range(10) if all((a * x + b - y) % 10 == 0 for x, y in points)]
    assert len(lines) == 1
    assert lines[0][0]
    return str((lines[0][0] * int(asked) + lines[0][1]) % 10)


def solve_boolean(prompt: str) -> str:
    """By every two bits whose values never stand for both 0 and 1."""
    pairs, asked = shown_pairs(prompt)
    answers: set[str] = set()
    for i, j in combinations(range(len(asked)), 2):
        values: dict[str, set[str]] = {}
        for bits, value in pairs:
            values.setdefault(bits[i] + bits[j], set()).add(value)
        if all(len(both) == 1 for both in values.values()):
            answers |= values.get(asked[i] + asked[j], {"0", "1"})
    return only(answers)


def with_columns(totals: list[int]) -> tuple[str, str]:
    """The working, and the number that its columns spell."""
    return f"{totals[-1]}" + "".join(str(t % 10) for t in totals[-2::-1]), ",".join(map(str, totals))


def solve_addition(prompt: str) -> tuple[str, str]:
    a, b = map(int, body(prompt).split("+"))
    places = [10**place for place in range(len(str(a)))]
    spelled, working = with_columns([(a % (10 * p) + b % (10 * p)) // p for p in places])
    assert int(spelled) == a + b
    return spelled, working


def solve_multiplication(prompt: str) -> tuple[str, str]:
    a, b = map(int, body(prompt).split("*"))
    spelled, working = with_columns([a % (10 ** (place + 1)) * b // 10**place for place in range(len(str(a)))])
    assert int(spelled) == a * b
    return spelled, working


def solve_chain(prompt: str) -> tuple[str, str]:
    """Every beginning of the chain in unbounded integers; brackets put it from left to right."""
    modulus, operations = int(head(prompt).removeprefix("mod")), re.findall(r"[+*]\d", body(prompt))
    expression, values = body(prompt)[0], []
    for operation in operations:
        expression = f"({expression}){operation}"
        values.append(str(eval(expression) % modulus))
    return values[-1], "".join(values)


def solve_parity(prompt: str) -> tuple[str, str]:
    bits = body(prompt)
    return str(int(bits, 2).bit_count() % 2), "".join(str(bits[:k].count("1") % 2) for k in range(1, len(bits) + 1))


def solve_pointers(prompt: str) -> tuple[str, str]:
    arrows, query = body(prompt).split("?")
    follow, way = {arrow[0]: arrow[1] for arrow in arrows.split(",")}, query[0]
    assert set(follow) == set(follow.values())
    for _ in range(int(query[1:])):
        way += follow[way[-1]]
    return way[-1], way[1:]


def solve_logic(prompt: str) -> tuple[str, str]:
    """By Python's own grammar, sub-expressions in the order in which they end."""
    tree = ast.parse(body(prompt).replace("!", "N"), mode="eval").body
    known = {"N": lambda value: 1 - value}
    brackets: dict[int, ast.expr] = {}  # By where they end; a negation takes the place of what it negates.
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            brackets[node.end_col_offset or 0] = node
        elif isinstance(node, ast.BinOp):
            brackets.setdefault((node.end_col_offset or 0) + 1, node)
    values = [str(eval(ast.unparse(brackets[end]), known)) for end in sorted(brackets)]
    return str(eval(ast.unparse(tree), known)), "".join(values)


SOLVERS: dict[str, Callable[[str], str | tuple[str, str]]] = {
    "induction": solve_induction,
    "recall": solve_recall,
    "labels": solve_labels,
    "classify": solve_classify,
    "linear": solve_linear,
    "boolean": solve_boolean,
    "addition": solve_addition,
    "multiplication": solve_multiplication,
    "chain": solve_chain,
    "parity": solve_parity,
    "pointers": solve_pointers,
    "logic": solve_logic,
}


def lines(name: str) -> Iterator[tuple[str, str]]:
    """Prompts and targets of both sides, in every style."""
    ability = ABILITIES[name]
    for document in documents(ability, 1500, seed=0):
        yield document.prompt, document.target
    for style in ability.styles:
        for item in items(ability, style, 200, seed=0):
            yield item.prompt, item.target


@pytest.mark.parametrize("name", SOLVERS)
def test_targets_are_right(name: str) -> None:
    for prompt, target in lines(name):
        solution = SOLVERS[name](prompt)
        if isinstance(solution, str):
            assert target == f"{solution}.", prompt
        elif "#" in prompt:
            assert target == f"{solution[1]}={solution[0]}.", prompt
        else:
            assert target == f"{solution[0]}.", prompt


@pytest.mark.parametrize("name", ABILITIES)
def test_lines_are_short_and_regular(name: str) -> None:
    for prompt, target in lines(name):
        text = prompt + target
        assert len(text) <= ABILITIES[name].max_characters <= 63
        assert re.fullmatch(r"[!-~]+", text), text
        assert text.count(">") == 1
        assert prompt.endswith(">")
        assert text.count(".") == 1
        assert target.endswith(".")
        assert target.count("=") == ("#" in prompt)
        assert len(target) > 1


@pytest.mark.parametrize("name", ABILITIES)
def test_items_say_what_they_ask(name: str) -> None:
    ability = ABILITIES[name]
    for style in ability.styles:
        for item in items(ability, style, 200, seed=0):
            assert (item.ability, item.style) == (name, style)
            assert item.target.removesuffix(".").rpartition("=")[2] == item.answer
            assert item.chance == ability.chance
            assert check(item, item.target)
            assert check(item, item.target + " and more.")
            assert not check(item, "")
            assert not check(item, item.target.replace(item.answer + ".", item.answer + "q."))
            if item.choices:
                assert style == "direct"
                assert item.answer in item.choices
                assert len(set(item.choices)) == len(item.choices) == round(1 / ability.chance)
                assert [choice for choice in item.choices if check(item, choice)] == [item.answer]


def test_working_is_not_judged() -> None:
    item = Item("parity", "steps", "par#011>", "010=0.", (), "0", "011", 0.5)
    assert check(item, "0")
    assert check(item, "111=0.")
    assert not check(item, "010=1.")
