"""Programs for other depths than one: alone, with no model to ask, and above solvers that read large parts each."""

import re
from typing import Any

from evals.longcontext.item import Item
from evals.longcontext.lexicon import NONE
from evals.longcontext.programs import CHUNK_BYTES, READ_BYTES, Program, QuestionWords, programs

PART_BYTES = 3600  # of a part for a solver: fifteen chunks, or thirty
SIDE_BY_SIDE = re.compile(r"ask_all\((.*?), context\.split\(\d+\)\)")


def alone(item: Item) -> Program:
    """What a program says that reads nothing: by position, by how often a literal stands, or the same always.

    It needs a profile in which programs may read text. Raises ValueError for another item.
    """
    meta: dict[str, Any] = item.meta
    asked = QuestionWords(item.question)
    match item.task:
        case "semniah":
            source = "answer(str(context.lines(0, 1)).split()[1:4])"
        case "chain":
            name = "[2]" if item.question.startswith("start") else "[-2]"
            source = f"""\
name = question.split(){name}
for step in range({len(meta["relations"])}):
    found = str(context.grep(name)[0]).split()
    name = found[0] if found[-1] == name else found[-1]
answer(name)"""
        case "count" | "count_by_date":
            source = "answer(context.num_lines // 24)"
        case "count_by_user":
            source = f"answer(len(context.grep({asked.word(meta['user'])})) // 2)"
        case "argmax":
            source = 'answer("storm")'
        case "compare":
            source = f"answer({asked.word(meta['kinds'][0])})"
        case "sempairs" | "truepairs":
            source = "rows = [str(context.lines(i, i + 1)).split()[1:5] for i in range(2)]\nanswer([rows])"
        case "statelog":
            source = f"answer({asked.word(meta['holders'][0])})"
        case _:
            raise ValueError(f"{item.task} has no programs")
    return Program("alone", source)


def deep(item: Item) -> Program:
    """The best strategy with solvers in the place of leaves; that which asks of few lines at a time stays as it is."""
    source = SIDE_BY_SIDE.sub(rf"rlm_all(\1, context.split({PART_BYTES}))", programs(item)[0].source)
    return Program("deep", source)


def partial(question: str) -> Program:
    """How a solver answers a leaf's question about more than a leaf can read; raises ValueError for another."""
    match question.split():
        case ["kinds", "?"]:
            num_bytes, sign = CHUNK_BYTES, " "
        case ["rows" | "facts" | "events", "?"]:
            num_bytes, sign = READ_BYTES, " , "
        case _:
            raise ValueError(f"{question!r} is no question to a leaf")
    source = f"""\
found = ask_all(question, context.split({num_bytes}))
answer("{sign}".join([x for x in found if x != "{NONE}"]) or "{NONE}")"""
    return Program("partial", source)
