"""Needles in haystacks: lines that tell the secret number of a key, among lines that do not (RULER's niah tasks)."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from evals.longcontext.english import MOST_COMPOUNDS, compound, sentence
from evals.longcontext.item import Answer, Item, Reading
from evals.longcontext.task import Draw, Task
from evals.longcontext.world import document, num_tokens

LISTED = "Reply with the {what} alone, between commas."
NOISE = ("The road goes on.", "Leaves are falling.", "It is getting late.", "Nothing happens here.", "On we walk.")


@dataclass(frozen=True)
class Niah(Task):
    """Needles `The secret number of KEY is VALUE.` in a haystack; all values of the keys that are asked for."""

    answer: ClassVar[Answer] = "set"
    reading: ClassVar[Reading] = "1"
    haystack: ClassVar[Literal["noise", "sentences", "needles"]] = "sentences"
    is_uuid: ClassVar[tuple[bool, bool]] = (False, False)  # key, value
    num_keys: ClassVar[int] = 1
    num_values: ClassVar[int] = 1
    num_queries: ClassVar[int] = 1

    def draw(self, draw: Draw) -> Item:
        """Places are uniform."""
        rng = draw.rng
        key_is_uuid, value_is_uuid = self.is_uuid
        most_keys = MOST_COMPOUNDS if self.haystack == "needles" else 20_000
        fresh_key = fresh_draws(lambda: _uuid(rng) if key_is_uuid else compound(rng.randrange(most_keys)))
        fresh_value = fresh_draws(lambda: _uuid(rng) if value_is_uuid else str(rng.randrange(10**6, 10**7)))

        def needle(key: str) -> tuple[str, str]:
            value = fresh_value()
            return f"The secret number of {key} is {value}.", value

        keys = [fresh_key() for _ in range(self.num_keys)]
        needles = {key: [needle(key) for _ in range(self.num_values)] for key in keys}
        hay: dict[str, Callable[[], str]] = {
            "noise": lambda: rng.choice(NOISE),
            "sentences": lambda: sentence(rng),
            "needles": lambda: needle(fresh_key())[0],
        }
        lines = filled(draw, [line for both in needles.values() for line, _ in both], hay[self.haystack])
        asked = keys[: self.num_queries]
        gold = ", ".join(value for key in asked for _, value in needles[key])
        question = f"What are all secret numbers of {', '.join(asked)}? {LISTED.format(what='numbers')}"
        return self.item(question, document(lines), gold, 0.0, keys=asked)


class NiahSingle1(Niah):
    """One needle in sentences that repeat."""

    name = "niah_single_1"
    haystack = "noise"


class NiahSingle2(Niah):
    """One needle in sentences that differ."""

    name = "niah_single_2"


class NiahSingle3(Niah):
    """One needle with a long value."""

    name = "niah_single_3"
    is_uuid = (False, True)


class NiahMultikey1(Niah):
    """One needle besides three with other keys."""

    name = "niah_multikey_1"
    num_keys = 4


class NiahMultikey2(Niah):
    """One needle among needles."""

    name = "niah_multikey_2"
    haystack = "needles"


class NiahMultikey3(Niah):
    """One needle among needles, with long keys and values."""

    name = "niah_multikey_3"
    haystack = "needles"
    is_uuid = (True, True)


class NiahMultivalue(Niah):
    """Four needles with one key."""

    name = "niah_multivalue"
    reading = "k"
    num_values = 4


class NiahMultiquery(Niah):
    """Four needles, all asked for."""

    name = "niah_multiquery"
    reading = "k"
    num_keys = 4
    num_queries = 4


def fresh_draws(draw: Callable[[], str]) -> Callable[[], str]:
    """Draws what was not drawn before."""
    drawn: set[str] = set()

    def fresh() -> str:
        while (one := draw()) in drawn:
            pass
        drawn.add(one)
        return one

    return fresh


def _uuid(rng: random.Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def filled(draw: Draw, lines: list[str], hay: Callable[[], str]) -> list[str]:
    """The lines in random places among as much hay as fits."""
    left = draw.tokens - num_tokens(document(lines))
    filling = []
    while (left := left - num_tokens(document([line := hay()]))) >= 0:
        filling.append(line)
    mixed = [*lines, *filling]
    return draw.rng.sample(mixed, len(mixed))
