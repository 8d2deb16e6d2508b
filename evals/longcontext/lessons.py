"""What the built-in model is trained on: readings of a leaf, programs of a root, and short contexts read at a glance.

Everything is drawn from the world at random, from the compositions of the side `train`; no item that a benchmark draws
is among it but by chance.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evals.longcontext.cut import ends
from evals.longcontext.depths import alone, deep, partial
from evals.longcontext.drills import Drills
from evals.longcontext.item import Item
from evals.longcontext.leaves import leaf_answer, marked_answer
from evals.longcontext.lexicon import CLASSES, EVENTS, NONE, RELATIONS, TEMPLATES, Lexicon, Side
from evals.longcontext.programs import program_tokens, programs
from evals.longcontext.task import items
from evals.longcontext.tasks import TASKS
from evals.longcontext.world import VERB_LINE_TOKENS, WINDOW, Writer, date, document
from rlm.policy import (
    EOS,
    ERRORS,
    LEAF,
    LEAF_TOKENS,
    MARKS,
    MOST_LINES,
    NO_ERROR,
    TEXT,
    leaf_prompt,
    num_pieces,
    root_prompt,
    told_prompt,
)

FIRST = 18_000  # lessons, before there are drills
MOST_RECORDS = 7  # of a chunk of records, as the programs split contexts
MOST_VERB_LINES = 15
MOST_WINDOWS = 8  # of a context of which the two ends are read
PREFERRED = 3.0  # how much more often the best strategy is shown than another
DEPTHS = (1.0, 6.0, 2.0)  # how often programs of depth 0, 1 and 2 are shown
RECOVERED = 0.15  # of those of depth 1: after a program that failed
ALONG = 0.4  # of lessons after the first about lines: what each tells is asked as it ends
PARTIAL = 0.2  # of those of depth 1: for a leaf's question, as solvers of depth 2 ask
LEAF_QUESTIONS = (
    "kinds ?", "kinds ?", "kinds by USER ?", "kinds in MONTH ?", "count of KIND ?", "numbers of KIND ?", "rows ?",
    "THING with USER , then ?", "USER VERB ?",
)  # fmt: skip


def pieces(lexicon: Lexicon) -> list[str]:
    """What the model has a token for: the world's words after a space, and all that programs are made of."""
    drawn = [item for task in TASKS.values() for item in items(task, lexicon, 1, 48, 0)]
    sources = [program.source for item in drawn for program in [*programs(item), alone(item), deep(item)]]
    sources += [partial(question).source for question in LEAF_QUESTIONS]
    words = [f" {word}" for word in (*lexicon.vocabulary(), *ERRORS, NO_ERROR) if word != "\n"]
    return [*words, *sorted({piece for source in sources for piece in program_tokens(source)} - set(words))]


@dataclass(frozen=True)
class Lesson:
    """Prompts, and what is to follow each."""

    parts: Sequence[tuple[str, str]]

    def row(self) -> dict[str, Any]:
        """A document of which what follows is scored."""
        text, spans = "", []
        for prompt, target in self.parts:
            text += prompt
            spans.append([len(text), len(text) + len(target)])
            text += target
        return {"text": text, "loss_spans": spans}


class Lessons:
    """Draws lessons, each of a window of tokens; pairs of words and classes fill it."""

    def __init__(self, lexicon: Lexicon, seed: int, side: Side = "train") -> None:
        self.lexicon = lexicon
        self.side: Side = side
        self.rng = random.Random(f"lessons {lexicon.seed} {seed} {side}")
        self._verbs: dict[str, list[str]] = {}
        for verb, (meaning, _) in [*lexicon.relation_of.items(), *lexicon.event_of.items()]:
            self._verbs.setdefault(meaning, []).append(verb)
        self._drills = Drills(lexicon, self.rng)
        # How often each is drawn: of the first lessons, which are mostly about classes, and after.
        self._shares: dict[Callable[[], Lesson], tuple[float, float]] = {
            self._along: (0.20, 0.05),
            self._phrases: (0.10, 0.03),
            self._kinds: (0.20, 0.12),
            self._seen: (0.00, 0.04),
            self._copied: (0.00, 0.12),
            self._matched: (0.00, 0.08),
            self._lookup: (0.08, 0.22),
            self._relation: (0.08, 0.10),
            self._state: (0.02, 0.04),
            self._program: (0.24, 0.14),
            self._glance: (0.08, 0.06),
        }
        self._short = (self._program, self._relation, self._words)
        self._along_share, self._fillers = 0.0, [self._drills.word]

    def __iter__(self) -> Iterator[Lesson]:
        lessons, (first, after) = list(self._shares), zip(*self._shares.values(), strict=True)
        for index in itertools.count():
            if index == FIRST:
                self._along_share = ALONG
                self._fillers += [self._drills.name, self._drills.verb]
            parts = self.rng.choices(lessons, first if index < FIRST else after)[0]().parts
            room = WINDOW - sum(num_pieces(prompt + target) for prompt, target in parts)
            if room >= 0:
                yield Lesson([*parts, *self._filling(room)])

    def _filling(self, room: int) -> Iterator[tuple[str, str]]:
        """Short lessons while there is room for what is drawn, then words with what they mean; in so many tokens."""
        while True:
            parts = self.rng.choice(self._short)().parts
            size = sum(num_pieces(prompt + target) for prompt, target in parts)
            if size > room:
                break
            room -= size
            yield from parts
        while room > 1:
            part = self._filler() if room > 2 else self._drills.word()  # no more than two tokens
            room -= num_pieces("".join(part))
            yield part

    def _filler(self) -> tuple[str, str]:
        return self.rng.choice(self._fillers)()

    def _words(self) -> Lesson:
        """A dozen words with what they mean."""
        return Lesson([self._filler() for _ in range(12)])

    def _seen(self) -> Lesson:
        return Lesson(self._drills.seen())

    def _copied(self) -> Lesson:
        return Lesson(self._drills.copied())

    def _matched(self) -> Lesson:
        """What each of many facts of few names tells of one of them."""
        rng = self.rng
        name, *others = rng.sample(self.lexicon.names, rng.randint(4, 12))
        relation, lines = rng.choice(RELATIONS), []
        for _ in range(MOST_LINES):
            one, other = rng.sample(others, 2)
            pair = rng.choice([(name, other), (name, other), (one, name), (one, other)])
            lines.append(self._fact(pair[0], relation if rng.random() < 0.6 else rng.choice(RELATIONS), pair[1]))
        return self._read_along(f"{name} {relation} ?", document(lines))

    def _along(self) -> Lesson:
        """The class of each line, a bare phrase or a record, as soon as it ends."""
        line = self.rng.choice([self._phrase, lambda: self._records(1)])
        return self._read_along("kinds ?", "".join(line() for _ in range(MOST_LINES)))

    def _phrases(self) -> Lesson:
        """Of lines that are a phrase."""
        return self._read("kinds ?", "".join(self._phrase() for _ in range(self.rng.randint(1, 13))))

    def _phrase(self) -> str:
        template, kind = self.rng.randrange(len(TEMPLATES)), self.rng.choice(CLASSES)
        phrase = Writer(self.lexicon, self.rng, self.side).phrase(template, kind)
        return document([f": {phrase}"])

    def _kinds(self) -> Lesson:
        """Of every line of a chunk."""
        return self._read("kinds ?", self._records(self._num_lines()))

    def _lookup(self) -> Lesson:
        """What asks for a part of the lines, or for more than their classes."""
        rng = self.rng
        question = rng.choice(
            ["kinds by USER ?", "kinds in MONTH ?", "count of KIND ?", "numbers of KIND ?", "numbers of KIND ?",
             "rows ?", "rows ?", "pairs ?", "opposite of KIND ?"]
        )  # fmt: skip
        if question == "opposite of KIND ?":
            return self._read(question.replace("KIND", rng.choice(CLASSES)), "")
        if question == "pairs ?":
            return self._read(question, self._rows(rng.randint(1, 8)))
        num_digits = 4 if "MONTH" in question else rng.choice([3, 4, 4, 5])
        months = [f"{month:02d}" for month in rng.sample(range(1, 13), rng.randint(1, 8))]
        kind = rng.choice(CLASSES)
        text = self._records(self._num_lines(), num_digits, months, kind)
        user = rng.choice(text.splitlines()).split()[0]
        month = " ".join(rng.choice(months))
        return self._read(question.replace("USER", user).replace("MONTH", month).replace("KIND", kind), text)

    def _relation(self) -> Lesson:
        """To whom a fact relates a name: among few lines that name it, or many that do not."""
        rng = self.rng
        names = rng.sample(self.lexicon.names, rng.randint(3, 12))
        name, relation = rng.choice(names), rng.choice(RELATIONS)
        lines = []
        for one in names if rng.random() < 0.5 else [name]:
            for meaning in RELATIONS:
                if rng.random() < 0.8:
                    lines.append(self._fact(one, meaning, rng.choice([x for x in names if x != one])))
                if one == name:
                    lines.append(self._fact(rng.choice([x for x in names if x != one]), meaning, one))
        lines = rng.sample(lines, min(len(lines), MOST_VERB_LINES))
        lines = lines[: rng.randint(1, len(lines))] if rng.random() < 0.3 else lines
        return self._read(f"{name} {relation} ?", self._mixed(lines))

    def _state(self) -> Lesson:
        """Who has a thing after events."""
        rng = self.rng
        holders = rng.sample(self.lexicon.names, 6)
        things = rng.sample(list(self.lexicon.class_of), 4)
        lines = []
        for _ in range(rng.randint(1, 9)):
            event = rng.choice(EVENTS)
            one, other = rng.sample(holders, 2)
            if event == "take":
                other = rng.choice(things)
            lines.append(f"{one} {rng.choice(self._verbs[event])} {other}")
        return self._read(f"{things[0]} with {rng.choice([NONE, *holders])} , then ?", self._mixed(lines))

    def _program(self) -> Lesson:
        """A program for a question; that there may be many lines is told by their number alone."""
        rng, depth = self.rng, self.rng.choices((0, 1, 2), DEPTHS)[0]
        item = self._item()
        question = item.question
        if depth == 1 and rng.random() < PARTIAL:
            question = self._leaf_question()
            chosen = partial(question)
        elif depth == 1:
            strategies = programs(item)
            chosen = rng.choices(strategies, [PREFERRED] + [1.0] * (len(strategies) - 1))[0]
        else:
            chosen = deep(item) if depth else alone(item)
        prompt = root_prompt(question, int(10 ** rng.uniform(1, 4.6)), depth)
        if depth == 1 and question == item.question and rng.random() < RECOVERED:
            # What came before does not fit the window; another way than the one it is likely to have tried.
            prompt += told_prompt(rng.choice((*ERRORS, NO_ERROR)))
            chosen = rng.choice(programs(item)[1:])
        return Lesson([(prompt, chosen.source + EOS)])

    def _leaf_question(self) -> str:
        """One that a solver may be asked about a part that is too long for a leaf."""
        rng, lexicon = self.rng, self.lexicon
        asked = rng.choice(LEAF_QUESTIONS)
        month = " ".join(f"{rng.randint(1, 12):02d}")
        words = {"KIND": rng.choice(CLASSES), "MONTH": month, "VERB": rng.choice(RELATIONS)}
        words |= {"THING": rng.choice(list(lexicon.class_of)), "USER": rng.choice(lexicon.names)}
        return " ".join(words.get(word, word) for word in asked.split())

    def _glance(self) -> Lesson:
        """The answer to a question from a context that fits a window, or from the two ends of one that does not."""
        cut = self.rng.random() < 0.5
        item = self._item(self.rng.randint(1, MOST_WINDOWS) if cut else 1)
        text = item.context
        if cut:
            text = ends(text, lambda part: num_pieces(leaf_prompt(item.question, part)), WINDOW - LEAF_TOKENS)
        return Lesson([(leaf_prompt(item.question, text), f" {item.gold}{EOS}")])

    def _item(self, windows: int = 1) -> Item:
        task = self.rng.choice(list(TASKS.values()))
        return items(task, self.lexicon, windows, 1, self.rng.randrange(2**32), self.side)[0]

    def _read(self, question: str, text: str) -> Lesson:
        if text and question != "pairs ?" and self.rng.random() < self._along_share:
            return self._read_along(question, text)
        return Lesson([(leaf_prompt(question, text), marked_answer(self.lexicon, question, text) + EOS)])

    def _read_along(self, question: str, text: str) -> Lesson:
        """What each line tells of the answer, as soon as it ends; of events, what all lines until then tell.

        It is what the line's mark has to know when an answer looks it up.
        """
        parts, before, room, lines = [], f"{LEAF} {question}{TEXT}", WINDOW, text.splitlines(keepends=True)
        for number, (line, mark) in enumerate(zip(lines, MARKS, strict=False), 1):
            told = "".join(lines[:number]) if question.endswith("then ?") else line
            prompt, target = f"{before} {line.rstrip()}{mark}", f" {leaf_answer(self.lexicon, question, told)}"
            room -= num_pieces(prompt + target)
            if room < 0:
                break
            parts.append((prompt, target))
            before = ""
        return Lesson(parts)

    def _num_lines(self) -> int:
        return MOST_RECORDS if self.rng.random() < 0.5 else self.rng.randint(1, MOST_RECORDS)

    def _records(
        self, count: int, num_digits: int = 4, months: list[str] | None = None, kind: str | None = None
    ) -> str:
        """Lines by few users or many, of classes at random or often of one."""
        rng = self.rng
        users = rng.sample(self.lexicon.names, rng.choice([3, 8, 40]))
        boosted = kind or rng.choice(CLASSES)
        writer = Writer(self.lexicon, rng, self.side, {boosted: rng.choice([1.0, 3.0])})
        share = rng.choice([0.0, 0.0, 0.1, 0.3])
        lines = []
        for _ in range(count):
            one = boosted if rng.random() < share else rng.choice(CLASSES)
            digits = (
                date(rng, rng.choice(months) if months else None)
                if num_digits == 4
                else f"{rng.randrange(10**num_digits):0{num_digits}d}"
            )
            lines.append(writer.record(rng.randrange(len(TEMPLATES)), one, rng.choice(users), digits))
        return document(lines)

    def _rows(self, count: int) -> str:
        """Rows of one user, as programs put them together."""
        rng = self.rng
        user = rng.choice(self.lexicon.names)
        kinds = rng.choices(CLASSES, k=count)
        if count > 1 and rng.random() < 0.5:
            kinds[1] = self.lexicon.opposite_of[kinds[0]]
            rng.shuffle(kinds)
        return document([f"{user} {' '.join(f'{rng.randrange(10_000):04d}')} {kind}" for kind in kinds])

    def _mixed(self, lines: list[str]) -> str:
        """The lines in order, with records among them or none."""
        rng = self.rng
        writer = Writer(self.lexicon, rng, self.side)
        users = rng.sample(self.lexicon.names, 30)
        room = max(0, (WINDOW // 2 - VERB_LINE_TOKENS * len(lines)) // 12)
        fillers = [
            writer.filler(rng.randrange(len(TEMPLATES)), users) for _ in range(rng.choice([0, rng.randint(0, room)]))
        ]
        places = set(rng.sample(range(len(lines) + len(fillers)), len(lines)))
        coming, filling = iter(lines), iter(fillers)
        return document([next(coming if place in places else filling) for place in range(len(lines) + len(fillers))])

    def _fact(self, name: str, relation: str, other: str) -> str:
        verb = self.rng.choice(self._verbs[relation])
        return f"{other} {verb} {name}" if self.lexicon.relation_of[verb][1] else f"{name} {verb} {other}"
