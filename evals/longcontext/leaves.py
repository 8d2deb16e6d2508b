"""What a leaf is asked about a chunk of lines, and the answers of one that reads without error.

| question                    | answer                                                                                |
|-----------------------------|---------------------------------------------------------------------------------------|
| `kinds ?`                   | `storm fruit storm`: the class of each record, in order                               |
| `kinds by ana ?`            | the same of a user's records                                                          |
| `kinds in 0 3 ?`            | the same of a month's                                                                 |
| `count of storm ?`          | `1 2`: how many records are about a class                                             |
| `numbers of storm ?`        | `4 7 1 , 0 3 2`: the digits of the records about a class, in order                    |
| `rows ?`                    | `ana 0 3 1 4 storm , eli 2 2 0 1 fruit`: user, digits and class of each record        |
| `pairs ?`                   | `0 3 1 4 - 2 2 0 1 , ...`: records or rows of one user about opposite classes         |
| `opposite of storm ?`       | `fruit`: from no text                                                                 |
| `ana leads ?`               | `eli`: to whom a fact relates a name                                                  |
| `zorp with ana , then ?`    | `eli`: who has a thing after these lines, if `ana` (or `none`) had it before          |

Where there is nothing to tell the answer is `none`, and `0` to a count.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from evals.longcontext.item import Item
from evals.longcontext.lexicon import CLASSES, NONE, Lexicon
from evals.longcontext.pairs import pairs_text
from evals.longcontext.world import Record, holder_after, read_events, read_facts, read_records


def leaf_answer(lexicon: Lexicon, question: str, text: str) -> str:
    """The right answer from the text alone; raises ValueError for what is no question to a leaf."""
    match question.split():
        case ["kinds", "?"]:
            return _kinds(read_records(lexicon, text))
        case ["kinds", "by", user, "?"]:
            return _kinds(record for record in read_records(lexicon, text) if record.user == user)
        case ["kinds", "in", tens, ones, "?"]:
            return _kinds(record for record in read_records(lexicon, text) if record.digits[:2] == tens + ones)
        case ["count", "of", kind, "?"]:
            return " ".join(str(sum(record.kind == kind for record in read_records(lexicon, text))))
        case ["numbers", "of", kind, "?"]:
            found = [" ".join(record.digits) for record in read_records(lexicon, text) if record.kind == kind]
            return " , ".join(found) or NONE
        case ["rows", "?"]:
            rows = [f"{one.user} {' '.join(one.digits)} {one.kind}" for one in read_records(lexicon, text)]
            return " , ".join(rows) or NONE
        case ["pairs", "?"]:
            both = combinations(read_records(lexicon, text), 2)
            return pairs_text((one.digits, other.digits) for one, other in both if _are_paired(lexicon, one, other))
        case ["opposite", "of", kind, "?"] if kind in CLASSES:
            return lexicon.opposite_of[kind]
        case [thing, "with", holder, ",", "then", "?"]:
            for event in read_events(lexicon, text):
                holder = holder_after(event, thing, holder)
            return holder
        case [name, relation, "?"]:
            facts = read_facts(lexicon, text)
            return next((fact.second for fact in facts if (fact.first, fact.verb) == (name, relation)), NONE)
    raise ValueError(f"{question!r} is no question to a leaf")


def _kinds(records: Iterator[Record]) -> str:
    return " ".join(record.kind for record in records) or NONE


def _are_paired(lexicon: Lexicon, one: Record, other: Record) -> bool:
    return one.user == other.user and lexicon.opposite_of[one.kind] == other.kind


def leaf_questions(item: Item) -> list[str]:
    """What the programs for an item ask of its chunks, whatever the chunk; those of `statelog` depend on the state."""
    meta: dict[str, Any] = item.meta
    match item.task:
        case "semniah":
            return [f"numbers of {meta['kind']} ?"]
        case "sempairs":
            return [f"numbers of {meta['kind']} ?", "rows ?"]
        case "truepairs":
            return ["rows ?"]
        case "chain":
            names = [meta["start"], *meta["hops"][:-1]]
            return [f"{name} {relation} ?" for name, relation in zip(names, meta["relations"], strict=True)]
        case "count":
            return ["kinds ?", f"count of {meta['kind']} ?"]
        case "argmax":
            return ["kinds ?"]
        case "compare":
            return ["kinds ?", *(f"count of {kind} ?" for kind in meta["kinds"])]
        case "count_by_user":
            return [f"kinds by {meta['user']} ?", "kinds ?"]
        case "count_by_date":
            return [f"kinds in {meta['month']} ?", "rows ?"]
        case "statelog":
            return [f"{meta['thing']} with {holder} , then ?" for holder in (NONE, *meta["holders"])]
    raise ValueError(f"{item.task} asks no leaf of the closed world")


def chunks(context: str, lines: int) -> list[str]:
    """The context in parts of so many lines; the last may have fewer."""
    every = context.splitlines(keepends=True)
    return ["".join(every[start : start + lines]) for start in range(0, len(every), lines)]


def leaf_examples(lexicon: Lexicon, item: Item, lines: int) -> Iterator[tuple[str, str, str]]:
    """Questions, chunks and right answers to train a leaf on: every question for every chunk of so many lines.

    Of `statelog` only the question that a run without error asks of the chunk; of `truepairs` besides those about the
    rows of each user and about all classes.
    """
    parts = chunks(item.context, lines)
    if item.task == "statelog":
        holder = NONE
        for part in parts:
            question = f"{item.meta['thing']} with {holder} , then ?"
            holder = leaf_answer(lexicon, question, part)
            yield question, part, holder
        return
    for question in leaf_questions(item):
        for part in parts:
            yield question, part, leaf_answer(lexicon, question, part)
    if item.task == "truepairs":
        for kind in CLASSES:
            yield f"opposite of {kind} ?", "", lexicon.opposite_of[kind]
        rows: dict[str, list[str]] = {}
        for one in read_records(lexicon, item.context):
            rows.setdefault(one.user, []).append(f"{one.user} {' '.join(one.digits)} {one.kind}\n")
        for lines_of_user in rows.values():
            text = "".join(lines_of_user)
            yield "pairs ?", text, leaf_answer(lexicon, "pairs ?", text)
