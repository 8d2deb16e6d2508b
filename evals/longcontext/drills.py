"""What a model has to be able to do before it can say what a line says, asked so often in a row that it is learnt.

That a name stands for itself, what a verb stands for, what follows a name elsewhere: by itself each takes few steps;
within a long answer none of it is right before all of it is.
"""

import random

from evals.longcontext.lexicon import Lexicon
from rlm.policy import ANSWER, LEAF, TEXT

Parts = list[tuple[str, str]]  # prompts, and what is to follow each
MOST_COPIED = 90  # names, of a row again and again


class Drills:
    """Draws them."""

    def __init__(self, lexicon: Lexicon, rng: random.Random) -> None:
        self.lexicon, self.rng = lexicon, rng
        self._vocabulary = list(lexicon.class_of)
        self._verbs = list((lexicon.relation_of | lexicon.event_of).items())

    def word(self) -> tuple[str, str]:
        """A word and its class."""
        word = self.rng.choice(self._vocabulary)
        return f" {word}", f" {self.lexicon.class_of[word]}"

    def name(self) -> tuple[str, str]:
        """A name and the same again: input and output have each their own table of words."""
        name = self.rng.choice(self.lexicon.names)
        return f" {name}", f" {name}"

    def verb(self) -> tuple[str, str]:
        """A verb and what it says; `of` where it is passive."""
        verb, (meaning, is_passive) = self.rng.choice(self._verbs)
        return f" {verb}", f" {meaning}{' of' * is_passive}"

    def copied(self) -> Parts:
        """Pieces of a row of names, again and again: after the first of each what follows it in the row."""
        rng = self.rng
        row = rng.sample(self.lexicon.names, rng.randint(4, 12))
        parts, room = [], MOST_COPIED - len(row)
        while room > 0:
            start = rng.randrange(len(row) - 1)
            first, *others = row[start : start + rng.randint(2, 6)]
            parts.append((f" {first}", "".join(f" {other}" for other in others)))
            room -= 1 + len(others)
        (prompt, target), *others = parts
        return [(f"{LEAF} rows ?{TEXT} {' '.join(row)}{ANSWER}{prompt}", target), *others]
