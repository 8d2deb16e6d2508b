"""A model of which one leaf errs."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from evals.longcontext.gates import Gate
from rlm.lm import Reply


@dataclass(frozen=True)
class Corrupted(Gate):
    """One leaf's answer is changed: of the leaf that is asked at `place`, from 0, the first word that is not `into`.

    Such a word there must be: ValueError.
    """

    place: int
    into: str
    _places: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)

    async def leaf(self, question: str, text: str, max_tokens: int) -> Reply:
        """The model's answer, or the changed one."""
        is_changed = next(self._places) == self.place
        reply = await super().leaf(question, text, max_tokens)
        return replace(reply, text=self.changed(reply.text)) if is_changed else reply

    def changed(self, answer: str) -> str:
        """The answer with a word changed."""
        said = answer.split()
        wrong = next((place for place, word in enumerate(said) if word != self.into), None)
        if wrong is None:
            raise ValueError(f"{answer!r} has no word to change into {self.into}: choose another place or word")
        return " ".join([*said[:wrong], self.into, *said[wrong + 1 :]])
