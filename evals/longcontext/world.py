"""Lines and documents of the closed world: records with a phrase, facts between names, events with things.

    ana 0 3 1 4 : not zorp but fram     a record: user, digits (date mmdd, number or code), phrase
    ana tanvil eli                      a fact or an event: name, verb, name or thing

A space stands between all tokens, so that a word is a token and a digit is one; a line's end is one more.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evals.longcontext.lexicon import CLASSES, SLOTS, TEMPLATES, Lexicon, Side

WINDOW = 128  # tokens: what a leaf reads at a time, question and answer included
VERB_LINE_TOKENS = 4
TEMPLATE_TOKENS = [len(template.split()) for template in TEMPLATES]
Decoys = Mapping[str, float]
BOOST = 3.0  # how much more often than the others a class misleads by words that do not count


@dataclass(frozen=True)
class Record:
    """A line with a phrase, as it is read; digits without spaces; `line` counts from 0."""

    line: int
    user: str
    digits: str
    kind: str


@dataclass(frozen=True)
class Says:
    """A line with a verb, as it is read: `first` is who does it, whatever the order in the line."""

    line: int
    verb: str
    first: str
    second: str


def num_tokens(text: str) -> int:
    """Words, digits and signs, and a token for each line's end."""
    return len(text.split()) + text.count("\n")


def layout(rng: random.Random, tokens: int, num_digits: int) -> list[int]:
    """The templates of the records that fill so many tokens within a line: what they say is not settled yet."""
    templates = []
    while True:
        template = rng.randrange(len(TEMPLATES))
        tokens -= record_tokens(template, num_digits)
        if tokens < 0:
            return templates
        templates.append(template)


def record_tokens(template: int, num_digits: int) -> int:
    """User, digits, colon, phrase and the line's end."""
    return 1 + num_digits + 1 + TEMPLATE_TOKENS[template] + 1


def record(user: str, digits: str, phrase: str) -> str:
    """A line, without its end; `digits` without spaces."""
    return f"{user} {' '.join(digits)} : {phrase}"


class Writer:
    """Draws phrases of a side of the split; `decoys` weighs the classes of words that do not count."""

    def __init__(self, lexicon: Lexicon, rng: random.Random, side: Side, decoys: Decoys | None = None) -> None:
        self.lexicon, self.rng = lexicon, rng
        self.side: Side = side
        self.weights = [(decoys or {}).get(kind, 1.0) for kind in CLASSES]

    def phrase(self, template: int, kind: str) -> str:
        """A phrase about that class; words that do not count are of other classes, and none stands twice."""
        slots: dict[str, str] = {"B": self.rng.choice(self.lexicon.pool(kind, template, self.side))}
        side: Side = "train" if self.side == "train" else "any"
        tokens = []
        for token in TEMPLATES[template].split():
            if token in SLOTS and token not in slots:
                word = slots["B"]
                while word in slots.values() or self.lexicon.class_of[word] == kind:
                    (decoy,) = self.rng.choices(CLASSES, self.weights)
                    word = self.rng.choice(self.lexicon.pool(decoy, template, side))
                slots[token] = word
            tokens.append(slots.get(token, token))
        return " ".join(tokens)

    def record(self, template: int, kind: str, user: str, digits: str) -> str:
        """A line, without its end."""
        return record(user, digits, self.phrase(template, kind))

    def filler(self, template: int, users: list[str]) -> str:
        """A record that no question is about."""
        return self.record(template, self.rng.choice(CLASSES), self.rng.choice(users), date(self.rng))


def date(rng: random.Random, month: str | None = None) -> str:
    """mmdd, with 28 days in each month."""
    return (month or f"{rng.randint(1, 12):02d}") + f"{rng.randint(1, 28):02d}"


def document(lines: list[str]) -> str:
    """The context; each line has an end."""
    return "".join(line + "\n" for line in lines)


def read_records(lexicon: Lexicon, text: str) -> Iterator[Record]:
    """The records in a text, in order."""
    for number, line in enumerate(text.splitlines()):
        tokens = line.split()
        if ":" in tokens:
            digits = "".join(token for token in tokens[1:] if token.isdigit())
            yield Record(number, tokens[0], digits, lexicon.meaning(tokens))


def read_facts(lexicon: Lexicon, text: str) -> Iterator[Says]:
    """The facts in a text, by relation."""
    return _read_verbs(lexicon.relation_of, text)


def read_events(lexicon: Lexicon, text: str) -> Iterator[Says]:
    """The events in a text, by kind of event, in order."""
    return _read_verbs(lexicon.event_of, text)


def _read_verbs(meaning_of: dict[str, tuple[str, bool]], text: str) -> Iterator[Says]:
    for number, line in enumerate(text.splitlines()):
        tokens = line.split()
        if len(tokens) == 3 and tokens[1] in meaning_of:
            meaning, is_passive = meaning_of[tokens[1]]
            first, second = (tokens[2], tokens[0]) if is_passive else (tokens[0], tokens[2])
            yield Says(number, meaning, first, second)


def holder_after(event: Says, thing: str, holder: str) -> str:
    """Who has the thing after an event: it is taken, or moves with all that a holder has; a greeting moves nothing."""
    if event.verb == "take" and event.second == thing:
        return event.first
    if event.verb in ("swap", "pass") and holder == event.first:
        return event.second
    return event.first if event.verb == "swap" and holder == event.second else holder
