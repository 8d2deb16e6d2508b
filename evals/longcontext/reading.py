"""How well a leaf reads: of held-out questions about a chunk, the share whose whole answer is right."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterator
from statistics import mean

from evals.longcontext.leaves import leaf_answer
from evals.longcontext.lessons import Lessons
from evals.longcontext.lexicon import Lexicon, Side
from rlm.lm import LanguageModel, Message
from rlm.loop import result_of
from rlm.policy import LEAF_TOKENS, leaf_prompt, parse_leaf

SIDE: Side = "held-out"
BY_LINE = "kinds, line by line"


def reading_accuracy(lm: LanguageModel, lexicon: Lexicon, count: int, seed: int) -> dict[str, float]:
    """By question, on `count` of them as later lessons have them; of the classes of all lines also line by line."""
    drawn = itertools.islice(_questions(lexicon, seed), count)
    return result_of(_accuracy(lm, lexicon, list(drawn)))


def _questions(lexicon: Lexicon, seed: int) -> Iterator[tuple[str, str]]:
    """Question and text of every lesson that is a leaf's."""
    for lesson in Lessons(lexicon, seed, SIDE, first=0):
        asked = parse_leaf(lesson.parts[0][0])
        if asked is not None and _name(asked[0]):
            yield asked


async def _accuracy(lm: LanguageModel, lexicon: Lexicon, asked: list[tuple[str, str]]) -> dict[str, float]:
    replies = await asyncio.gather(*(lm.complete((Message("user", leaf_prompt(*one)),), LEAF_TOKENS) for one in asked))
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for (question, text), reply in zip(asked, replies, strict=True):
        gold, said = leaf_answer(lexicon, question, text), reply.text.strip()
        right[_name(question)].append(said == gold)
        if question == "kinds ?":
            right[BY_LINE] += [a == b for a, b in itertools.zip_longest(gold.split(), said.split())][
                : len(gold.split())
            ]
    return {name: mean(found) for name, found in sorted(right.items())}


def _name(question: str) -> str:
    """Of what kind a question is; empty where it is a task's own."""
    first, *others = question.split()
    return first if others == ["?"] or first == "opposite" else ""
