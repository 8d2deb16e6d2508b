"""Scripted readers of the built-in model's format, and what they were asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rlm.lm import Messages, Scripted
from rlm.policy import parse_leaf


def reader(answer: Callable[[str, str], str], window: int = 1_000_000) -> Scripted:
    """Answers leaves as a function of question and text has it."""

    def said(messages: Messages) -> str:
        asked = parse_leaf(messages[-1].content)
        assert asked is not None
        return answer(*asked)

    return Scripted(said, window=window)


def texts(lm: Scripted) -> list[str]:
    """What leaves were asked about, in order."""
    asked = [parse_leaf(messages[-1].content) for messages in lm.heard]
    return [one[1] for one in asked if one is not None]


def prompt_tokens(lm: Scripted) -> int:
    """Of all that was asked."""
    return sum(map(lm.num_tokens, lm.heard))


@dataclass
class Knowing(Scripted):
    """A reader with vectors: a text's counts of meanings, where `meanings` tells which words mean the same."""

    meanings: dict[str, int] = field(default_factory=dict)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors; one more axis for texts that mean nothing."""
        found = np.zeros((len(texts), max(self.meanings.values()) + 2), np.float32)
        for vector, text in zip(found, texts, strict=True):
            for word in text.split():
                vector[self.meanings.get(word, -1)] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)
