"""What a leaf is asked about a chunk of lines, and the answers of one that reads without error.

| question              | answer                                                                         |
|-----------------------|--------------------------------------------------------------------------------|
| `kinds ?`             | `storm fruit storm`: the class of each record, in order                        |
| `rows ?`              | `ana 0 3 1 4 storm , eli 2 2 0 1 fruit`: user, digits and class of each record |
| `facts ?`             | `ana leads eli , ivo pays ana`: what relation each fact is, of whom to whom    |
| `events ?`            | `ana take zorp , eli pass ana`: the same of events, but for greetings          |
| `opposite of storm ?` | `fruit`: from no text                                                          |

Where there is nothing to tell the answer is `none`. A leaf reads; what is to be looked up in what it read a program
looks up. A trained leaf goes through the lines: it writes the mark of each, and after it what that line tells, if
anything, so that where to read on is never to be searched for.
"""

from evals.longcontext.lexicon import CLASSES, NONE, Lexicon
from evals.longcontext.world import Says, read_events, read_facts, read_records
from rlm.policy import MARKS

BEFORE = -1  # the line of what is told before any
Told = list[tuple[int, str]]


def leaf_answer(lexicon: Lexicon, question: str, text: str) -> str:
    """The right answer from the text alone; raises ValueError for what is no question to a leaf."""
    told, sign = _told(lexicon, question, text)
    return f"{sign} ".join(part for _, part in told) or NONE


def marked_answer(lexicon: Lexicon, question: str, text: str) -> str:
    """The same as a trained leaf is to write it: with the mark of every line, before what that line tells."""
    told, sign = _told(lexicon, question, text)
    parts, answer, signed = dict(told), "", ""
    for line in range(BEFORE, len(text.splitlines())):
        answer += MARKS[line] if BEFORE < line < len(MARKS) else ""
        if line in parts:
            answer, signed = f"{answer}{signed} {parts[line]}", sign
    return answer if told else f"{answer} {NONE}"


def _told(lexicon: Lexicon, question: str, text: str) -> tuple[Told, str]:
    """What lines tell, and the sign between two parts of an answer."""
    match question.split():
        case ["kinds", "?"]:
            return [(one.line, one.kind) for one in read_records(lexicon, text)], ""
        case ["rows", "?"]:
            records = read_records(lexicon, text)
            return [(one.line, f"{one.user} {' '.join(one.digits)} {one.kind}") for one in records], " ,"
        case ["facts", "?"]:
            return [_said(fact) for fact in read_facts(lexicon, text)], " ,"
        case ["events", "?"]:
            return [_said(event) for event in read_events(lexicon, text) if event.verb != "greet"], " ,"
        case ["opposite", "of", kind, "?"] if kind in CLASSES:
            return [(BEFORE, lexicon.opposite_of[kind])], ""
    raise ValueError(f"{question!r} is no question to a leaf")


def _said(one: Says) -> tuple[int, str]:
    return one.line, f"{one.first} {one.verb} {one.second}"
