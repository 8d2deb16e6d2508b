"""Aggregation over lines with users and dates whose label has to be read, after OOLONG-synth (arXiv 2511.02817).

    2024-03-14 | Greta | I meant to write about the oven, yet this is all about the referee.

A line's topic is that of the word that counts; topics are named in questions alone. Numbers score 0.75^|error|, the
rest exact match. The closed world's lexicon is not used. Topics have ten words each, which models know and a program
may list: these tasks compare with others' results, and do not force reading as the closed world does.
"""

import random
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.english import MONTHS, NAMES, TOPICS
from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.task import Draw, Task, constant_chance
from evals.longcontext.world import document, num_tokens

# B is what the line is about, A what it is not about.
TEMPLATES = (
    "Today it is the B that I think of.",
    "We talked about the B again.",
    "Forget the A, I have news of the B.",
    "I meant to write about the A, yet this is all about the B.",
    "It was the B and not the A that kept us busy.",
    "You expect the A, but this is about the B.",
    "A few words on the B, none on the A.",
    "Rather than the A I want to mention the B.",
    "More on the B than on the A this time.",
)
NUM_USERS, NUM_MONTHS = 5, 4


@dataclass(frozen=True)
class Line:
    """A line and what it says."""

    user: str
    month: int
    topic: str


class Oolong(Task):
    """A document whose topics differ in how common they are; the weights are drawn anew for each."""

    reading: ClassVar[Reading] = "n"

    def draw(self, draw: Draw) -> Item:
        """Lines until the next does not fit."""
        rng = draw.rng
        weights = {topic: rng.random() + 0.1 for topic in TOPICS}
        users, months = rng.sample(NAMES, NUM_USERS), rng.sample(range(12), NUM_MONTHS)
        left, lines, texts = draw.tokens, list[Line](), list[str]()
        while True:
            line = Line(rng.choice(users), rng.choice(months), rng.choices(list(weights), list(weights.values()))[0])
            text = f"2024-{line.month + 1:02d}-{rng.randint(1, 28):02d} | {line.user} | {_said(rng, line.topic)}"
            if (left := left - num_tokens(text + "\n")) < 0:
                break
            lines.append(line)
            texts.append(text)
        question, gold, most = self.ask(rng, lines)
        # Counts lie about evenly from 0 to twice their mean.
        chance = constant_chance(most) if self.answer == "number" else 1 / most
        return self.item(question, document(texts), gold, chance, most=most)

    @abstractmethod
    def ask(self, rng: random.Random, lines: list[Line]) -> tuple[str, str, int]:
        """A question about the lines, its answer, and how many answers a guesser has, or up to which number."""


@dataclass(frozen=True)
class OolongCount(Oolong):
    """How many lines are about a topic."""

    name: ClassVar[str] = "oolong_count"
    answer: ClassVar[Answer] = "number"

    def ask(self, rng: random.Random, lines: list[Line]) -> tuple[str, str, int]:
        """Of all lines."""
        return _counted(rng, lines, "")


@dataclass(frozen=True)
class OolongUser(Oolong):
    """How many lines of a user are about a topic."""

    name: ClassVar[str] = "oolong_user"
    answer: ClassVar[Answer] = "number"

    def ask(self, rng: random.Random, lines: list[Line]) -> tuple[str, str, int]:
        """Of one who has lines."""
        user = rng.choice(lines).user
        return _counted(rng, [line for line in lines if line.user == user], f" by {user}")


@dataclass(frozen=True)
class OolongDate(Oolong):
    """How many lines of a month are about a topic."""

    name: ClassVar[str] = "oolong_date"
    answer: ClassVar[Answer] = "number"

    def ask(self, rng: random.Random, lines: list[Line]) -> tuple[str, str, int]:
        """Of a month that has lines."""
        month = rng.choice(lines).month
        return _counted(rng, [line for line in lines if line.month == month], f" of {MONTHS[month]}")


@dataclass(frozen=True)
class OolongMost(Oolong):
    """Which topic has the most lines; where several have, the first of them in the question."""

    name: ClassVar[str] = "oolong_most"
    answer: ClassVar[Answer] = "exact"

    def ask(self, rng: random.Random, lines: list[Line]) -> tuple[str, str, int]:
        """Of all topics, in random order."""
        topics = [line.topic for line in lines]
        named = rng.sample(list(TOPICS), len(TOPICS))
        gold = max(named, key=topics.count)
        rule = "If several have, reply with the first of them in this list. Reply with the topic alone."
        question = f"Which topic has the most lines: {', '.join(named)}? {rule}"
        return question, gold, len(TOPICS)


@dataclass(frozen=True)
class OolongCompare(Oolong):
    """Whether a topic has more lines than another, fewer, or as many."""

    name: ClassVar[str] = "oolong_compare"
    answer: ClassVar[Answer] = "exact"

    def ask(self, rng: random.Random, lines: list[Line]) -> tuple[str, str, int]:
        """Of two topics at random."""
        first, second = rng.sample(list(TOPICS), 2)
        topics = [line.topic for line in lines]
        more = topics.count(first) - topics.count(second)
        question = f"Does {first} have more lines than {second}, fewer or the same? Reply with more, fewer or same."
        return question, "more" if more > 0 else "fewer" if more else "same", 2


def _counted(rng: random.Random, lines: list[Line], which: str) -> tuple[str, str, int]:
    topic = rng.choice(list(TOPICS))
    count = sum(line.topic == topic for line in lines)
    most = max(1, 2 * len(lines) // len(TOPICS))
    return f"How many lines{which} are about {topic}? Reply with a number alone.", str(count), most


def _said(rng: random.Random, topic: str) -> str:
    other = rng.choice([one for one in TOPICS if one != topic])
    about, not_about = rng.choice(TOPICS[topic]), rng.choice(TOPICS[other])
    template = rng.choice(TEMPLATES)
    return " ".join(
        token.replace("A", not_about, 1) if token.strip(",.") == "A" and index else token.replace("B", about, 1)
        for index, token in enumerate(template.split())
    )


TASKS: dict[str, Task] = {
    task.name: task for task in (OolongCount(), OolongUser(), OolongDate(), OolongMost(), OolongCompare())
}
