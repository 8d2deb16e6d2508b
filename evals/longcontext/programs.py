"""Programs that answer the tasks where leaves read without error: several strategies for each, to train a root on.

They call what a solver's REPL has (`context`, `ask`, `ask_all`, `answer`) and work on answers alone.
"""

from dataclasses import dataclass
from typing import Any

from evals.longcontext.item import Item
from evals.longcontext.lexicon import NONE
from rlm.policy import PIECE

CHUNK_BYTES = 440  # about 11 to 13 records or 125 tokens: with the longest answer, `rows`, within a window
CHUNK_LINES = 12
ROWS = '",".join(ask_all("rows ?", context.split(300))).split(",")'  # their answers are as long as the text


@dataclass(frozen=True)
class Program:
    """A strategy and its source."""

    strategy: str
    source: str


def program_tokens(source: str) -> list[str]:
    """A program in tokens that make it up again: names, digits, runs of signs (`")).` is one), each with the space
    before it, and line ends with the indent that follows."""
    return PIECE.findall(source)


def programs(item: Item) -> list[Program]:
    """The strategies for an item of the closed world; the first is the one to prefer. ValueError for another item."""
    meta: dict[str, Any] = item.meta
    parts = f"context.split({CHUNK_BYTES})"
    match item.task:
        case "semniah":
            return _semniah(f'"numbers of {meta["kind"]} ?"', parts)
        case "chain":
            return _chain(meta["start"], meta["relations"], parts)
        case "count":
            kind = meta["kind"]
            return [
                Program(
                    "kinds", f'kinds = " ".join(ask_all("kinds ?", {parts})).split()\nanswer(kinds.count("{kind}"))'
                ),
                Program("counts", f"answer({_sum_of_counts(kind, parts)})"),
            ]
        case "argmax":
            listed = f'kinds = " ".join(ask_all("kinds ?", {parts})).split()\n'
            common = "from collections import Counter\n" + listed + "answer(Counter(kinds).most_common(1)[0][0])"
            return [
                Program("counter", common),
                Program("max", listed + "answer(max(set(kinds), key=lambda k: kinds.count(k)))"),
                Program("lines", _by_lines("kinds ?") + "answer(max(set(found), key=lambda k: found.count(k)))"),
            ]
        case "compare":
            first, second = meta["kinds"]
            listed = f'kinds = " ".join(ask_all("kinds ?", {parts})).split()\n'
            counted = f"parts = {parts}\na = {_sum_of_counts(first, 'parts')}\nb = {_sum_of_counts(second, 'parts')}\n"
            return [
                Program(
                    "kinds",
                    listed + f'answer("{first}" if kinds.count("{first}") > kinds.count("{second}") else "{second}")',
                ),
                Program("counts", counted + f'answer("{first}" if a > b else "{second}")'),
            ]
        case "count_by_user":
            user, kind = meta["user"], meta["kind"]
            asked = f'kinds = " ".join(ask_all("kinds by {user} ?", {parts})).split()\n'
            found = f'kinds = ask_all("kinds ?", context.grep("{user}"))\n'
            counted = f'answer(kinds.count("{kind}"))'
            return [Program("asked", asked + counted), Program("grep", found + counted)]
        case "count_by_date":
            month, kind = meta["month"], meta["kind"]
            asked = f'kinds = " ".join(ask_all("kinds in {month} ?", {parts})).split()\n'
            wanted = f'r.split()[1:3] == {month.split()!r} and r.split()[-1] == "{kind}"'
            rows = f"rows = {ROWS}\n"
            return [
                Program("asked", asked + f'answer(kinds.count("{kind}"))'),
                Program("rows", rows + f"answer(sum(1 for r in rows if {wanted}))"),
            ]
        case "sempairs":
            return _sempairs(meta["kind"], parts)
        case "truepairs":
            return _truepairs()
        case "statelog":
            return _statelog(meta["thing"], meta["holders"], parts)
    raise ValueError(f"{item.task} has no programs")


def _semniah(question: str, parts: str) -> list[Program]:
    side_by_side = f'found = ask_all({question}, {parts})\nanswer([x for x in found if x != "{NONE}"][0])'
    one_by_one = f"""\
for part in {parts}:
    found = ask({question}, part)
    if found != "{NONE}":
        answer(found)
        break"""
    return [Program("side by side", side_by_side), Program("one by one", one_by_one)]


def _chain(start: str, relations: list[str], parts: str) -> list[Program]:
    def source(texts: str, setup: str = "") -> str:
        return f"""\
{setup}name = "{start}"
for step in "{" ".join(relations)}".split():
    found = ask_all(name + " " + step + " ?", {texts})
    name = [x for x in found if x != "{NONE}"][0]
answer(name)"""

    return [Program("grep", source("context.grep(name)")), Program("scan", source("parts", f"parts = {parts}\n"))]


def _sum_of_counts(kind: str, parts: str) -> str:
    return f'sum(int(x.replace(" ", "")) for x in ask_all("count of {kind} ?", {parts}))'


def _by_lines(question: str) -> str:
    """Chunks by lines, one after the other; the words of all answers in `found`."""
    return f"""\
found = []
for i in range(0, context.num_lines, {CHUNK_LINES}):
    found += ask("{question}", context.lines(i, i + {CHUNK_LINES})).split()
"""


def _sempairs(kind: str, parts: str) -> list[Program]:
    asked = f"""\
ids = []
for found in ask_all("numbers of {kind} ?", {parts}):
    if found != "{NONE}":
        ids += found.split(",")
"""
    rows = f"""\
rows = [r.split() for r in {ROWS}]
ids = [r[1:-1] for r in rows if r[-1] == "{kind}"]
"""
    paired = "answer([(x, y) for x in ids for y in ids if x < y])"
    return [Program("asked", asked + paired), Program("rows", rows + paired)]


def _truepairs() -> list[Program]:
    groups = f"""\
users = {{}}
for r in {ROWS}:
    name = r.split()[0]
    users[name] = users.get(name, "") + r + "\\n"
found = ask_all("pairs ?", list(users.values()))
answer(",".join(x for x in found if x != "{NONE}"))"""
    opposites = f"""\
rows = [r.split() for r in {ROWS}]
other = {{k: ask("opposite of " + k + " ?", "") for k in {{r[-1] for r in rows}}}}
answer([(i, j) for u, *i, k in rows for v, *j, m in rows if u == v and other[k] == m])"""
    return [Program("groups", groups), Program("opposites", opposites)]


def _statelog(thing: str, holders: list[str], parts: str) -> list[Program]:
    in_turn = f"""\
place = "{NONE}"
for part in {parts}:
    place = ask(" {thing} with " + place + " , then ?", part)
answer(place)"""
    # What each part makes of each holder, side by side; then the parts one after the other.
    side_by_side = f"""\
parts = {parts}
names = "{" ".join([NONE, *holders])}".split()
after = {{x: ask_all(" {thing} with " + x + " , then ?", parts) for x in names}}
place = "{NONE}"
for i in range(len(parts)):
    place = after[place][i]
answer(place)"""
    by_lines = f"""\
place = "{NONE}"
for i in range(0, context.num_lines, {CHUNK_LINES}):
    place = ask(" {thing} with " + place + " , then ?", context.lines(i, i + {CHUNK_LINES}))
answer(place)"""
    return [Program("in turn", in_turn), Program("side by side", side_by_side), Program("lines", by_lines)]
