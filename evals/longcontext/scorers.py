"""Strict scores from 0 to 1.

RULER (Hsieh et al. 2024, arXiv 2404.06654) scores recall of substrings, under which an echo of the context is right;
here a set is scored by its exact F1, and an output of more than twice the right members and ten is worth nothing.
"""

import re
from collections.abc import Callable
from typing import Any

from evals.longcontext.item import Answer, Item

SPACED_DIGITS = re.compile(r"\b\d(?: \d)+\b")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
MOST_DIGITS = 12  # of a number: with more it is far from every count
PAIR = r"\d+ ?- ?\d+"
PAIRS = re.compile(rf"{PAIR}(?: ?, ?{PAIR})*")


def normalised(output: Any) -> str:
    """Lower case, single spaces, digits that stand apart joined: `4 7 1`, or a list of its digits, is 471."""
    text = " ".join(map(str, output)) if isinstance(output, list | tuple) else str(output)
    text = " ".join(text.lower().split())
    return SPACED_DIGITS.sub(lambda match: match.group().replace(" ", ""), text)


def score(item: Item, output: Any) -> float:
    """The score of an output, a str or a value that a program answered with, by the item's kind of answer."""
    return SCORERS[item.answer](item.gold, output)


def exact(gold: str, output: Any) -> float:
    """1 where both are the same, normalised."""
    return float(normalised(gold) == normalised(output))


def number(gold: str, output: Any) -> float:
    """0.75^|error| of OOLONG (arXiv 2511.02817); 0 for an output with no number and for one with several."""
    given = read_number(output)
    return 0.0 if given is None else 0.75 ** abs(given - float(normalised(gold)))


def read_number(output: Any) -> float | None:
    """The number in an output; None where there is none, where there are several, and for one of too many digits."""
    found = NUMBER.findall(normalised(output))
    return None if len(found) != 1 or len(found[0]) > MOST_DIGITS else float(found[0])


def pairs(gold: str, output: Any) -> float:
    """F1 of sets of pairs without order; 0 for an output that is no list of pairs and for one of too many pairs."""
    right, given = _pairs(gold), _pairs(output)
    assert right, f"{gold!r} has no pairs"
    return _f1(set(right), given)


def members(gold: str, output: Any) -> float:
    """F1 of sets of what stands between commas, spaces or line ends; 0 for an output of too many words."""
    given = list(output) if isinstance(output, list | tuple | set) else re.split(r"[,\s]+", str(output))
    words = [word for word in (str(one).strip().lower() for one in given) if word]
    return _f1({word.strip().lower() for word in gold.split(",")}, words)


SCORERS: dict[Answer, Callable[[str, Any], float]] = {
    "exact": exact,
    "number": number,
    "pairs": pairs,
    "set": members,
}


def _f1(right: set[Any], given: list[Any]) -> float:
    if not given or len(given) > 2 * len(right) + 10:
        return 0.0
    return 2 * len(right & set(given)) / (len(right) + len(set(given)))


def _pairs(output: Any) -> list[frozenset[str]]:
    """Pairs of numbers without their leading zeros; none where the output is anything else."""
    if isinstance(output, list | tuple | set):
        both = [one if isinstance(one, list | tuple) else () for one in output]
        text = " , ".join(" - ".join(normalised(number) for number in one) for one in both)
    else:
        text = normalised(output)
    if not PAIRS.fullmatch(text):
        return []
    return [frozenset(number.strip().lstrip("0") or "0" for number in pair.split("-")) for pair in text.split(",")]
