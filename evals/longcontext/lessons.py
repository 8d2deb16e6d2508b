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
from evals.longcontext.lexicon import CLASSES, EVENTS, RELATIONS, TEMPLATES, Lexicon, Side
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
    NO_ERROR,
    TEXT,
    leaf_prompt,
    num_pieces,
    root_prompt,
    told_prompt,
)

FIRST = 18_000  # lessons of leaves that read classes alone: as many as the laptop preset has
# Of a chunk as the programs split contexts: of which classes are asked; of which an answer is as long as the text.
MOST_RECORDS, MOST_ROWS, MOST_VERB_LINES = 7, 4, 6
MOST_WINDOWS = 8  # of a context of which the two ends are read
PREFERRED = 6.0  # how much more often the best strategy is shown than another
DEPTHS = (1.0, 6.0, 2.0)  # how often programs of depth 0, 1 and 2 are shown
RECOVERED = 0.15  # of those of depth 1: after a program that failed
PARTIAL = 0.1  # of those of depth 1: for a leaf's question, as solvers of depth 2 ask
LEAF_QUESTIONS = ("kinds ?", "rows ?", "facts ?", "events ?")


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
    """Draws lessons, each of a window of tokens: what is left of it short lessons and drills fill.

    first: how many there are before leaves learn to tell rows, facts and events.
    """

    def __init__(self, lexicon: Lexicon, seed: int, side: Side = "train", first: int = FIRST) -> None:
        self.lexicon, self.first = lexicon, first
        self.side: Side = side
        self.rng = random.Random(f"lessons {lexicon.seed} {seed} {side}")
        self._verbs: dict[str, list[tuple[str, bool]]] = {}
        for verb, (meaning, is_passive) in (lexicon.relation_of | lexicon.event_of).items():
            self._verbs.setdefault(meaning, []).append((verb, is_passive))
        self._drills = Drills(lexicon, self.rng)
        # How often each is drawn: of the first lessons, and after.
        self._shares: dict[Callable[[], Lesson], tuple[float, float]] = {
            self._along: (0.22, 0.05),
            self._phrases: (0.12, 0.03),
            self._kinds: (0.26, 0.14),
            self._copied: (0.00, 0.06),
            self._rows: (0.00, 0.26),
            self._facts: (0.00, 0.12),
            self._events: (0.00, 0.10),
            self._opposite: (0.02, 0.02),
            self._program: (0.28, 0.15),
            self._glance: (0.10, 0.07),
        }

    def __iter__(self) -> Iterator[Lesson]:
        lessons, (first, after) = list(self._shares), zip(*self._shares.values(), strict=True)
        self._short, self._fillers = [self._program, self._words], [self._drills.word]
        for index in itertools.count():
            if index == self.first:
                self._short += [self._facts, self._events]
                self._fillers += [self._drills.name, self._drills.verb]
            parts = self.rng.choices(lessons, first if index < self.first else after)[0]().parts
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
            part = self.rng.choice(self._fillers)() if room > 2 else self._drills.word()  # no more than two tokens
            room -= num_pieces("".join(part))
            yield part

    def _words(self) -> Lesson:
        """A dozen words with what they mean."""
        return Lesson([self.rng.choice(self._fillers)() for _ in range(12)])

    def _copied(self) -> Lesson:
        return Lesson(self._drills.copied())

    def _along(self) -> Lesson:
        """The class of each line, a bare phrase or a record, as soon as it ends."""
        line = self.rng.choice([self._phrase, lambda: self._records(1)])
        parts, before, room = [], f"{LEAF} kinds ?{TEXT}", WINDOW
        for mark in MARKS:
            text = line()
            prompt, target = f"{before} {text.rstrip()}{mark}", f" {leaf_answer(self.lexicon, 'kinds ?', text)}"
            room -= num_pieces(prompt + target)
            if room < 0:
                break
            parts.append((prompt, target))
            before = ""
        return Lesson(parts)

    def _phrases(self) -> Lesson:
        """Of lines that are a phrase."""
        return self._read("kinds ?", "".join(self._phrase() for _ in range(self.rng.randint(1, 13))))

    def _phrase(self) -> str:
        template, kind = self.rng.randrange(len(TEMPLATES)), self.rng.choice(CLASSES)
        phrase = Writer(self.lexicon, self.rng, self.side).phrase(template, kind)
        return document([f": {phrase}"])

    def _kinds(self) -> Lesson:
        """Of every line of a chunk."""
        num_lines = MOST_RECORDS if self.rng.random() < 0.5 else self.rng.randint(1, MOST_RECORDS)
        return self._read("kinds ?", self._records(num_lines))

    def _rows(self) -> Lesson:
        """User, digits and class of every line of a chunk."""
        return self._read("rows ?", self._records(self.rng.randint(1, MOST_ROWS)))

    def _opposite(self) -> Lesson:
        return self._read(f"opposite of {self.rng.choice(CLASSES)} ?", "")

    def _facts(self) -> Lesson:
        """Which lines are facts, and what each says."""
        names = self.rng.sample(self.lexicon.names, self.rng.randint(2, 12))
        return self._read("facts ?", self._mixed(lambda: self._says(self.rng.choice(RELATIONS), names, names)))

    def _events(self) -> Lesson:
        """Which lines are events, and what each says."""
        rng = self.rng
        holders, things = rng.sample(self.lexicon.names, 6), rng.sample(list(self.lexicon.class_of), 4)

        def line() -> str:
            event = rng.choice((*EVENTS, "take", "take"))  # no other answer has a thing in it
            return self._says(event, holders, things if event == "take" else holders)

        return self._read("events ?", self._mixed(line))

    def _program(self) -> Lesson:
        """A program for a question; that there may be many lines is told by their number alone."""
        rng, depth = self.rng, self.rng.choices((0, 1, 2), DEPTHS)[0]
        item = self._item()
        question = item.question
        if depth == 1 and rng.random() < PARTIAL:
            question = rng.choice(LEAF_QUESTIONS)
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
        return Lesson([(leaf_prompt(question, text), marked_answer(self.lexicon, question, text) + EOS)])

    def _records(self, count: int) -> str:
        """Lines by few users or many, of classes at random or often of one."""
        rng = self.rng
        users = rng.sample(self.lexicon.names, rng.choice([3, 8, 40]))
        boosted = rng.choice(CLASSES)
        writer = Writer(self.lexicon, rng, self.side, {boosted: rng.choice([1.0, 3.0])})
        share, num_digits = rng.choice([0.0, 0.0, 0.1, 0.3]), rng.choice([3, 4, 4, 5])
        lines = []
        for _ in range(count):
            kind = boosted if rng.random() < share else rng.choice(CLASSES)
            digits = date(rng) if num_digits == 4 else f"{rng.randrange(10**num_digits):0{num_digits}d}"
            lines.append(writer.record(rng.randrange(len(TEMPLATES)), kind, rng.choice(users), digits))
        return document(lines)

    def _mixed(self, line: Callable[[], str]) -> str:
        """Lines that say something, with records among them or none; or records alone."""
        rng = self.rng
        lines = [line() for _ in range(rng.randint(0, MOST_VERB_LINES))]
        writer, users = Writer(self.lexicon, rng, self.side), rng.sample(self.lexicon.names, 30)
        room = max(0, (WINDOW // 2 - VERB_LINE_TOKENS * len(lines)) // 12)
        for _ in range(rng.choice([0, rng.randint(0, room)]) if lines else 3):
            lines.insert(rng.randint(0, len(lines)), writer.filler(rng.randrange(len(TEMPLATES)), users))
        return document(lines)

    def _says(self, meaning: str, firsts: list[str], seconds: list[str]) -> str:
        """A fact or an event, in a verb that says it either way round."""
        verb, is_passive = self.rng.choice(self._verbs[meaning])
        first = self.rng.choice(firsts)
        second = self.rng.choice([other for other in seconds if other != first])
        return f"{second} {verb} {first}" if is_passive else f"{first} {verb} {second}"
