"""Programs that answer the tasks where leaves read without error: several strategies for each, to train a root on.

They call what a solver's REPL has (`context`, `ask`, `ask_all`, `answer`) and work on answers alone.
"""

from dataclasses import dataclass
from typing import Any

from evals.longcontext.item import Item
from rlm.policy import PIECE

CHUNK_BYTES = 220  # five to seven records, or 70 tokens: with question and answer within a window
CHUNK_LINES = 6
READ_BYTES = 110  # where answers are as long as the text
KINDS = f'kinds = " ".join(ask_all("kinds ?", context.split({CHUNK_BYTES}))).split()\n'
BY_LINES = f"""\
kinds = []
for i in range(0, context.num_lines, {CHUNK_LINES}):
    kinds += ask("kinds ?", context.lines(i, i + {CHUNK_LINES})).split()
"""
OPPOSITES = 'other = {k: ask("opposite of " + k + " ?", "") for k in {r[-1] for r in rows}}\n'
PAIRED = "[(i, j) for u, *i, k in rows for v, *j, m in rows if u == v and other[k] == m]"
FOLLOWED = """\
place = ""
for e in events:
    if e[1:] in (["take", THING], ["swap", place]):
        place = e[0]
    elif e[0] == place and "take" not in e:
        place = e[2]
answer(place)"""


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
            return _told("rows", f"answer([r[1:-1] for r in rows if r[-1] == {asked.word(meta['kind'])}][0])")
        case "chain":
            return _chain(asked)
        case "count":
            kind = asked.word(meta["kind"])
            return [
                Program("kinds", f"{KINDS}answer(kinds.count({kind}))"),
                Program("lines", f"{BY_LINES}answer(kinds.count({kind}))"),
            ]
        case "argmax":
            common = f"from collections import Counter\n{KINDS}answer(Counter(kinds).most_common(1)[0][0])"
            return [
                Program("counter", common),
                Program("max", f"{KINDS}answer(max(set(kinds), key=lambda k: kinds.count(k)))"),
                Program("lines", f"{BY_LINES}answer(max(set(kinds), key=lambda k: kinds.count(k)))"),
            ]
        case "compare":
            first, second = map(asked.word, meta["kinds"])
            larger = f"answer({first} if kinds.count({first}) > kinds.count({second}) else {second})"
            return [Program("kinds", KINDS + larger), Program("lines", BY_LINES + larger)]
        case "count_by_user":
            user, kind = asked.word(meta["user"]), asked.word(meta["kind"])
            grep = f'kinds = ask_all("kinds ?", context.grep({user}))\nanswer(kinds.count({kind}))'
            return [
                Program("grep", grep),
                *_told("rows", f"answer([r[0] + r[-1] for r in rows].count({user} + {kind}))"),
            ]
        case "count_by_date":
            kind, month = asked.word(meta["kind"]), asked.words("month", 2)
            return _told("rows", f"answer(len([r for r in rows if r[1:3] == {month} and r[-1] == {kind}]))")
        case "sempairs":
            ids = f"ids = [r[1:-1] for r in rows if r[-1] == {asked.word(meta['kind'])}]\n"
            return _told("rows", f"{ids}answer([(x, y) for x in ids for y in ids if x < y])")
        case "truepairs":
            return _told("rows", f"{OPPOSITES}answer({PAIRED})")
        case "statelog":
            return _told("events", FOLLOWED.replace("THING", asked.word(meta["thing"])))
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


def _told(what: str, found: str) -> list[Program]:
    """With what leaves tell of rows, facts or events in a list of that name, of words each: at once, or in turn."""
    each = f'{what} = [x.split() for part in {{parts}} for x in {{told}}.split(",")]\n'
    at_once = each.format(parts=f'ask_all("{what} ?", context.split({READ_BYTES}))', told="part")
    in_turn = each.format(parts=f"context.split({READ_BYTES})", told=f'ask("{what} ?", part)')
    return [Program("at once", at_once + found), Program("in turn", in_turn + found)]


def _chain(asked: QuestionWords) -> list[Program]:
    # `start at ana , then leads , pays : who ?`, and `who is pays of leads of ana ?`.
    name, steps = ("[2]", "[5:-3:2]") if asked.question.startswith("start") else ("[-2]", "[-4:1:-2]")
    grep = f"""\
name = question.split(){name}
for step in question.split(){steps}:
    found = ",".join(ask_all("facts ?", context.grep(name))).split(",")
    name = [f.split()[2] for f in found if f.split()[:2] == [name, step]][0]
answer(name)"""
    follow = f"""\
name = question.split(){name}
for step in question.split(){steps}:
    name = [f[2] for f in facts if f[:2] == [name, step]][0]
answer(name)"""
    return [Program("grep", grep), *_told("facts", follow)]
