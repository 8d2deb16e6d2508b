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

from itertools import combinations

from evals.longcontext.lexicon import CLASSES, NONE, Lexicon
from evals.longcontext.pairs import pairs_text
from evals.longcontext.world import Record, holder_after, read_events, read_facts, read_records
from rlm.policy import MARKS, MOST_LINES

Parts = list[tuple[tuple[int, ...], str]]


def leaf_answer(lexicon: Lexicon, question: str, text: str) -> str:
    """The right answer from the text alone; raises ValueError for what is no question to a leaf."""
    parts, sign = _parts(lexicon, question, text)
    return sign.join(part for _, part in parts)


def marked_answer(lexicon: Lexicon, question: str, text: str) -> str:
    """The same as a trained leaf is to write it: before each part the marks of the lines that it is from."""
    parts, sign = _parts(lexicon, question, text)
    return sign.rstrip().join(
        f"{''.join(MARKS[line] for line in lines if line < MOST_LINES)} {part}" for lines, part in parts
    )


def _parts(lexicon: Lexicon, question: str, text: str) -> tuple[Parts, str]:
    """The parts of an answer, each with the lines that it is from, and what stands between them."""
    records = list(read_records(lexicon, text)) if text else []
    nothing: Parts = [((), NONE)]
    match question.split():
        case ["kinds", "?"]:
            return _kinds(records), " "
        case ["kinds", "by", user, "?"]:
            return _kinds([record for record in records if record.user == user]), " "
        case ["kinds", "in", tens, ones, "?"]:
            return _kinds([record for record in records if record.digits[:2] == tens + ones]), " "
        case ["count", "of", kind, "?"]:
            lines = tuple(record.line for record in records if record.kind == kind)
            return [(lines, " ".join(str(len(lines))))], ""
        case ["numbers", "of", kind, "?"]:
            found = [((record.line,), " ".join(record.digits)) for record in records if record.kind == kind]
            return found or nothing, " , "
        case ["rows", "?"]:
            rows = [((one.line,), f"{one.user} {' '.join(one.digits)} {one.kind}") for one in records]
            return rows or nothing, " , "
        case ["pairs", "?"]:
            both = [(one, other) for one, other in combinations(records, 2) if _are_paired(lexicon, one, other)]
            lines = tuple(record.line for pair in both for record in pair)
            return [(lines, pairs_text((one.digits, other.digits) for one, other in both))], ""
        case ["opposite", "of", kind, "?"] if kind in CLASSES:
            return [((), lexicon.opposite_of[kind])], ""
        case [thing, "with", holder, ",", "then", "?"]:
            lines = []
            for event in read_events(lexicon, text):
                before, holder = holder, holder_after(event, thing, holder)
                if holder != before:
                    lines.append(event.line)
            return [(tuple(lines), holder)], ""
        case [name, relation, "?"]:
            facts = read_facts(lexicon, text)
            found = [((fact.line,), fact.second) for fact in facts if (fact.first, fact.verb) == (name, relation)]
            return found[:1] or nothing, ""
    raise ValueError(f"{question!r} is no question to a leaf")


def _kinds(records: list[Record]) -> Parts:
    return [((record.line,), record.kind) for record in records] or [((), NONE)]


def _are_paired(lexicon: Lexicon, one: Record, other: Record) -> bool:
    return one.user == other.user and lexicon.opposite_of[one.kind] == other.kind
