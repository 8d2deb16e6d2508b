"""Tasks that read a line or a few: a key that stands nowhere in the text, and a chain of paraphrased relations."""

import random
from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.lexicon import CLASSES, RELATIONS
from evals.longcontext.task import Draw, Task
from evals.longcontext.world import BOOST, VERB_LINE_TOKENS, WINDOW, Writer, document, layout

CODE_DIGITS = 3


@dataclass(frozen=True)
class SemNIAH(Task):
    """The code of the one line that is about a class; its words stand elsewhere too, where they do not count."""

    name: ClassVar[str] = "semniah"
    reading: ClassVar[Reading] = "1"
    answer: ClassVar[Answer] = "exact"

    def draw(self, draw: Draw) -> Item:
        """Class and place are uniform; so are the classes of the other lines."""
        rng = draw.rng
        kind = rng.choice(CLASSES)
        others = [other for other in CLASSES if other != kind]
        templates = layout(rng, draw.tokens, CODE_DIGITS)
        place = rng.randrange(len(templates))
        writer = Writer(draw.lexicon, rng, draw.side, {kind: BOOST})
        codes = [f"{rng.randrange(1000):03d}" for _ in templates]
        lines = [
            writer.record(template, kind if number == place else rng.choice(others), user, codes[number])
            for number, (template, user) in enumerate(
                zip(templates, rng.choices(draw.lexicon.names, k=len(templates)), strict=True)
            )
        ]
        question = rng.choice(
            [
                f"what number has the line about {kind} ?",
                f"which number goes with {kind} ?",
                f"give the number of {kind}",
                f"{kind} : which number ?",
            ]
        )
        gold, chance = " ".join(codes[place]), max(1 / len(lines), 1e-3)
        return self.item(question, document(lines), gold, chance, kind=kind, line=place)


@dataclass(frozen=True)
class Chain(Task):
    """From a name by two to four relations to another; verbs paraphrase relations, and some swap the roles.

    Every name of the facts has each relation to one other name, and one other name has it to this one: none comes more
    often than another, and a fact read the wrong way round gives an answer too. Other lines are records by other users.
    The names that the chain passes all differ. `meta` has `hops`: the names after each relation, the last the answer.
    """

    name: ClassVar[str] = "chain"
    reading: ClassVar[Reading] = "k"
    answer: ClassVar[Answer] = "exact"

    least_hops: int = 2
    most_hops: int = 4
    names_a_window: int = 8
    most_names: int = 60

    def __post_init__(self) -> None:
        if not 1 <= self.least_hops <= self.most_hops < self.names_a_window - 1:
            most = self.names_a_window - 2
            raise ValueError(f"hops {self.least_hops} to {self.most_hops}: give 1 to {most}, in order")

    def draw(self, draw: Draw) -> Item:
        """Targets and the number of hops are uniform."""
        rng = draw.rng
        num_hops = rng.randint(self.least_hops, self.most_hops)
        num_names = min(self.most_names, max(num_hops + 2, self.names_a_window * draw.tokens // WINDOW))
        names = rng.sample(draw.lexicon.names, num_names + 40)
        names, users = names[:num_names], names[num_names:]
        while True:
            target = {
                (name, relation): other
                for relation in RELATIONS
                for name, other in zip(names, _deranged(rng, names), strict=True)
            }
            relations = rng.choices(RELATIONS, k=num_hops)
            passed = [rng.choice(names)]
            for relation in relations:
                passed.append(target[passed[-1], relation])
            if len(set(passed)) == len(passed):
                break
        lines = [_fact(draw, name, relation, other) for (name, relation), other in target.items()]
        templates = layout(rng, draw.tokens - VERB_LINE_TOKENS * len(lines), 4)
        writer = Writer(draw.lexicon, rng, draw.side)
        lines += [writer.filler(template, users) for template in templates]
        rng.shuffle(lines)
        forward = f"start at {passed[0]} , then {' , '.join(relations)} : who ?"
        backward = f"who is {' of '.join([*relations[::-1], passed[0]])} ?"
        return self.item(
            rng.choice([forward, backward]), document(lines), passed[-1], 1 / (num_names - 1),
            start=passed[0], relations=relations, hops=passed[1:],
        )  # fmt: skip


def _deranged(rng: random.Random, names: list[str]) -> list[str]:
    """The names in an order in which none keeps its place."""
    while True:
        others = rng.sample(names, len(names))
        if all(name != other for name, other in zip(names, others, strict=True)):
            return others


def _fact(draw: Draw, name: str, relation: str, other: str) -> str:
    verb = draw.rng.choice([verb for verb, (meaning, _) in draw.lexicon.relation_of.items() if meaning == relation])
    is_passive = draw.lexicon.relation_of[verb][1]
    return f"{other} {verb} {name}" if is_passive else f"{name} {verb} {other}"
