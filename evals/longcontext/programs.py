"""Programs that answer the tasks where leaves read without error: several strategies for each, to train a root on.

They call what a solver's REPL has (`context`, `ask`, `ask_all`, `answer`) and work on answers alone.
"""

from dataclasses import dataclass
from typing import Any

from evals.longcontext.item import Item
from evals.longcontext.lexicon import NONE
from rlm.policy import PIECE

CHUNK_BYTES = 220  # five to seven records, or 70 tokens: with question and answer within a window
CHUNK_LINES = 6
SPLIT = f"context.split({CHUNK_BYTES})"
KINDS = f'kinds = " ".join(ask_all("kinds ?", {SPLIT})).split()\n'
BY_LINES = f"""\
found = []
for i in range(0, context.num_lines, {CHUNK_LINES}):
    found += ask("kinds ?", context.lines(i, i + {CHUNK_LINES})).split()
"""
ROWS = '",".join(ask_all("rows ?", context.split(110))).split(",")'  # their answers are as long as the text


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
    """The strategies for an item of the closed world; the first is the one to prefer. ValueError for another item.

    A program takes what it asks for from the question, `question` in its REPL, by place.
    """
    meta: dict[str, Any] = item.meta
    asked = QuestionWords(item.question)
    match item.task:
        case "semniah":
            return _semniah(asked.word(meta["kind"]))
        case "chain":
            return _chain(asked)
        case "count":
            kind = asked.word(meta["kind"])
            return [
                Program("kinds", f"{KINDS}answer(kinds.count({kind}))"),
                Program("counts", f"answer({_sum_of_counts(kind, SPLIT)})"),
            ]
        case "argmax":
            common = f"from collections import Counter\n{KINDS}answer(Counter(kinds).most_common(1)[0][0])"
            return [
                Program("counter", common),
                Program("max", f"{KINDS}answer(max(set(kinds), key=lambda k: kinds.count(k)))"),
                Program("lines", f"{BY_LINES}answer(max(set(found), key=lambda k: found.count(k)))"),
            ]
        case "compare":
            first, second = map(asked.word, meta["kinds"])
            counted = f"parts = {SPLIT}\na = {_sum_of_counts(first, 'parts')}\nb = {_sum_of_counts(second, 'parts')}\n"
            return [
                Program(
                    "kinds", f"{KINDS}answer({first} if kinds.count({first}) > kinds.count({second}) else {second})"
                ),
                Program("counts", f"{counted}answer({first} if a > b else {second})"),
            ]
        case "count_by_user":
            user, kind = asked.word(meta["user"]), asked.word(meta["kind"])
            found = f'kinds = ask_all("kinds ?", context.grep({user}))\n'
            by_user = f'kinds = " ".join(ask_all("kinds by " + {user} + " ?", {SPLIT})).split()\n'
            counted = f"answer(kinds.count({kind}))"
            return [Program("grep", found + counted), Program("asked", by_user + counted)]
        case "count_by_date":
            kind, month = asked.word(meta["kind"]), asked.words("month", 2)
            in_month = f'kinds = " ".join(ask_all("kinds in " + " ".join({month}) + " ?", {SPLIT})).split()\n'
            wanted = f"r.split()[1:3] == {month} and r.split()[-1] == {kind}"
            return [
                Program("asked", f"{in_month}answer(kinds.count({kind}))"),
                Program("rows", f"rows = {ROWS}\nanswer(sum(1 for r in rows if {wanted}))"),
            ]
        case "sempairs":
            return _sempairs(asked.word(meta["kind"]))
        case "truepairs":
            return _truepairs()
        case "statelog":
            return _statelog(asked.word(meta["thing"]), asked.place(":") + 1)
    raise ValueError(f"{item.task} has no programs")


@dataclass(frozen=True)
class QuestionWords:
    """A question as programs take it apart."""

    question: str

    def place(self, word: str) -> int:
        """Where a word stands."""
        return self.question.split().index(word)

    def word(self, word: str) -> str:
        """How a program says it."""
        return f"question.split()[{self.place(word)}]"

    def words(self, before: str, count: int) -> str:
        """How a program says so many words after another."""
        start = self.place(before) + 1
        return f"question.split()[{start}:{start + count}]"


def _semniah(kind: str) -> list[Program]:
    asked = f'"numbers of " + {kind} + " ?"'
    side_by_side = f'found = ask_all({asked}, {SPLIT})\nanswer([x for x in found if x != "{NONE}"][0])'
    one_by_one = f"""\
for part in {SPLIT}:
    found = ask({asked}, part)
    if found != "{NONE}":
        answer(found)
        break"""
    return [Program("side by side", side_by_side), Program("one by one", one_by_one)]


def _chain(asked: QuestionWords) -> list[Program]:
    # `start at ana , then leads , pays : who ?`, and `who is pays of leads of ana ?`.
    name, steps = ("[2]", "[5:-3:2]") if asked.question.startswith("start") else ("[-2]", "[-4:1:-2]")

    def source(texts: str, setup: str = "") -> str:
        return f"""\
{setup}name = question.split(){name}
for step in question.split(){steps}:
    found = ask_all(name + " " + step + " ?", {texts})
    name = [x for x in found if x != "{NONE}"][0]
answer(name)"""

    return [Program("grep", source("context.grep(name)")), Program("scan", source("parts", f"parts = {SPLIT}\n"))]


def _sum_of_counts(kind: str, parts: str) -> str:
    return f'sum(int(x.replace(" ", "")) for x in ask_all("count of " + {kind} + " ?", {parts}))'


def _sempairs(kind: str) -> list[Program]:
    asked = f"""\
ids = []
for found in ask_all("numbers of " + {kind} + " ?", {SPLIT}):
    if found != "{NONE}":
        ids += found.split(",")
"""
    rows = f"""\
rows = [r.split() for r in {ROWS}]
ids = [r[1:-1] for r in rows if r[-1] == {kind}]
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


def _statelog(thing: str, first_holder: int) -> list[Program]:
    asked = f'{thing} + " with " + place + " , then ?"'
    in_turn = f"""\
place = "{NONE}"
for part in {SPLIT}:
    place = ask({asked}, part)
answer(place)"""
    # What each part makes of each holder, side by side; then the parts one after the other.
    side_by_side = f"""\
parts = {SPLIT}
names = ["{NONE}"] + question.split()[{first_holder}:-1:2]
after = {{place: ask_all({asked}, parts) for place in names}}
place = "{NONE}"
for i in range(len(parts)):
    place = after[place][i]
answer(place)"""
    by_lines = f"""\
place = "{NONE}"
for i in range(0, context.num_lines, {CHUNK_LINES}):
    place = ask({asked}, context.lines(i, i + {CHUNK_LINES}))
answer(place)"""
    return [Program("in turn", in_turn), Program("side by side", side_by_side), Program("lines", by_lines)]
