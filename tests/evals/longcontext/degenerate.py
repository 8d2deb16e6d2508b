"""Outputs that take no reading, and must earn no more than a guess does."""

import re
from dataclasses import dataclass

from evals.longcontext.item import Item
from evals.longcontext.lexicon import CLASSES


@dataclass(frozen=True)
class Degenerate:
    """An output that reads nothing; `floor`: the most that it scores on the item's task, in the mean over items."""

    name: str
    output: str
    floor: float


def degenerate_outputs(item: Item) -> list[Degenerate]:
    """Outputs that take no reading: nothing, echoes, every answer there is, the same answer always."""
    outputs = {
        "empty": "",
        "none": "none",
        "echo": item.context,
        "all classes": " ".join(CLASSES),
        "all numbers": " ".join(str(number) for number in range(100)),
    }
    # A question may have a number in it, and all pairs of few lines may be given: constants like any.
    constants = {
        "echo of the question": item.question,
        "all pairs": _all_pairs(item.context),
        "constant": _constant(item),
    }
    return [
        *(Degenerate(name, output, 0.0) for name, output in outputs.items()),
        *(Degenerate(name, output, item.chance) for name, output in constants.items()),
    ]


def _constant(item: Item) -> str:
    """An answer of the right kind: in the middle, or what comes first."""
    meta = item.meta
    match item.answer, item.task:
        case "number", _:
            return str(meta.get("most", 0) // 2)
        case "pairs", _:
            return _some_pairs(item.context)
        case "exact", "semniah":
            return _numbers(item.context)[0]
        case "exact", "chain":
            return next(line for line in item.context.splitlines() if ":" not in line).split()[-1]
        case "exact", "oolong_most":
            return "food"
        case "exact", "oolong_compare":
            return "more"
        case "exact", _:
            return [*meta.get("kinds", ()), *meta.get("holders", ()), *CLASSES][0]
    return "lantern"


def _numbers(context: str) -> list[str]:
    return [match.group().replace(" ", "") for match in re.finditer(r"\d(?: \d)+", context)]


def _all_pairs(context: str) -> str:
    numbers = _numbers(context)[:200]
    return " , ".join(f"{one} - {other}" for one in numbers for other in numbers if one < other)


def _some_pairs(context: str) -> str:
    """As many as may always be given."""
    first, *others = _numbers(context)[:13] or ["0"]
    return " , ".join(f"{first} - {other}" for other in others)
