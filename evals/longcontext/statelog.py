"""A task in which order matters: things are taken, passed on and swapped, and where one is depends on all that came.

In the line of bAbI's tasks 2 and 3 (Weston et al. 2015, arXiv 1502.05698), with paraphrased verbs and without a last
mention that tells.
"""

from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.lexicon import EVENTS, NONE
from evals.longcontext.task import Draw, Task
from evals.longcontext.world import (
    VERB_LINE_TOKENS,
    Writer,
    document,
    holder_after,
    layout,
    read_events,
)

SHARES = (0.2, 0.25, 0.3, 0.25)  # of EVENTS


@dataclass(frozen=True)
class StateLog(Task):
    """Who has a thing at the end; `event_share` of the lines are events, the others records.

    The thing is taken once at the start and again somewhere in the first quarter of the events; from then on it is
    named no more, and moves with all that its holder has. Who took it last is not the answer. Each holder may take
    other things at any time, pass all to another, swap all with another, and greet another, which moves nothing.
    One or two windows have so few events that a rule which follows no holder does better than chance.
    """

    name: ClassVar[str] = "statelog"
    reading: ClassVar[Reading] = "n, sequential"
    answer: ClassVar[Answer] = "exact"

    num_holders: int = 6
    num_things: int = 4
    event_share: float = 0.4

    def __post_init__(self) -> None:
        if not 3 <= self.num_holders <= 20 or not 2 <= self.num_things <= 20 or not 0 < self.event_share <= 1:
            raise ValueError(
                f"{self.num_holders} holders, {self.num_things} things, event_share {self.event_share}: "
                "give 3 to 20, 2 to 20, above 0 and at most 1"
            )

    def draw(self, draw: Draw) -> Item:
        """Events until the last taker is not who has the thing."""
        rng = draw.rng
        names = rng.sample(draw.lexicon.names, self.num_holders + 30)
        holders, users = names[: self.num_holders], names[self.num_holders :]
        things = rng.sample(list(draw.lexicon.class_of), self.num_things)
        num_events = max(4, round(_num_lines(draw.tokens, self.event_share) * self.event_share))
        templates = layout(rng, draw.tokens - VERB_LINE_TOKENS * num_events, 4)
        while True:
            second_take = rng.randint(1, num_events // 4)
            events = [
                _take(draw, holders, things[0]) if number in (0, second_take) else _event(draw, holders, things[1:])
                for number in range(num_events)
            ]
            holder = NONE
            for event in read_events(draw.lexicon, document(events)):
                holder = holder_after(event, things[0], holder)
            taker = events[second_take].split()[0]
            if holder != taker:
                break
        places = set(rng.sample(range(num_events + len(templates)), num_events))
        writer = Writer(draw.lexicon, rng, draw.side)
        coming, filling = iter(events), iter(templates)
        lines = [
            next(coming) if place in places else writer.filler(next(filling), users)
            for place in range(num_events + len(templates))
        ]
        named = f"{' , '.join(holders[:-1])} or {holders[-1]}"
        question = rng.choice(
            [f"where is {things[0]} at the end : {named} ?", f"who has {things[0]} at last : {named} ?"]
        )
        return self.item(
            question, document(lines), holder, 1 / (self.num_holders - 1),
            thing=things[0], holders=holders, last_taker=taker, last_line=sorted(places)[second_take],
        )  # fmt: skip


def _num_lines(tokens: int, event_share: float) -> float:
    """About, where a record has eleven tokens."""
    return tokens / (VERB_LINE_TOKENS * event_share + 11 * (1 - event_share))


def _take(draw: Draw, holders: list[str], thing: str) -> str:
    return f"{draw.rng.choice(holders)} {_verb(draw, 'take')} {thing}"


def _event(draw: Draw, holders: list[str], things: list[str]) -> str:
    event = draw.rng.choices(EVENTS, SHARES)[0]
    if event == "take":
        return _take(draw, holders, draw.rng.choice(things))
    one, other = draw.rng.sample(holders, 2)
    return f"{one} {_verb(draw, event)} {other}"


def _verb(draw: Draw, event: str) -> str:
    return draw.rng.choice([verb for verb, (meaning, _) in draw.lexicon.event_of.items() if meaning == event])
