"""Programs for the closed world's questions, run as `rlm-1` runs them: in the sealed sandbox, with a model's leaves."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.recursive import Recursive
from evals.longcontext.gates import Gate
from evals.longcontext.item import Item
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.measure import SIDE, compared
from evals.longcontext.scorers import score
from evals.longcontext.task import items
from evals.longcontext.tasks import TASKS
from rlm.lm import LanguageModel, Messages, Reply
from rlm.loop import result_of
from rlm.policy import LEAF_TOKENS, ROOT_TOKENS, TURNS, Trained, root_prompt
from rlm.text import Text
from sweeps.posttrain.params import PosttrainParams
from sweeps.posttrain.reward import Rollout

DEPTH = 1
TOGETHER = 64  # programs at work side by side
KEPT = ("task", "length_windows", "num_items", "scores", "tokens", "tokens_by_item")  # of a row of the long contexts


def questions(params: PosttrainParams, lexicon: Lexicon) -> list[Item]:
    """To train on: of every task and length in turn, in an order at random, of compositions that lessons have."""
    kinds = [(task, windows) for task in params.tasks for windows in params.windows]
    random.Random(f"posttrain {params.seed}").shuffle(kinds)
    each = -(-params.questions // len(kinds))
    drawn = [items(TASKS[task], lexicon, windows, each, params.seed, "train") for task, windows in kinds]
    return [item for turn in zip(*drawn, strict=True) for item in turn][: params.questions]


def prompt(item: Item) -> str:
    """A root's first, for a question."""
    return root_prompt(item.question, Text.of(item.context).num_lines, DEPTH)


@dataclass(frozen=True)
class Given(Gate):
    """Roots write a given program."""

    program: str

    async def root(self, messages: Messages, max_tokens: int) -> Reply:
        """The program."""
        return self.said(self.program, max_tokens)


def watched(models: Sequence[LanguageModel], max_turns: int, errors: list[str | None]) -> Recursive:
    """`rlm-1` with the last of the models as its reader; adds to `errors` that of every program that ran, or None."""

    def hear(event: dict[str, Any]) -> None:
        if event["event"] == "program":
            errors.append(event["error"])

    return Recursive(models, Trained(), LEAF_TOKENS, DEPTH, reply_tokens=ROOT_TOKENS, max_turns=max_turns, listen=hear)


class Rollouts:
    """Runs a program for a question, alone: no other follows. As of held-out items, its best answer so far is scored.

    What was run is remembered.
    """

    def __init__(self, leaves: LanguageModel, drawn: Sequence[Item]) -> None:
        self.leaves, self.drawn = leaves, drawn
        self._kept: dict[tuple[int, str], Rollout] = {}

    def __call__(self, asked: Sequence[tuple[int, str]]) -> list[Rollout]:
        """What became of each program, for the question at its place."""
        fresh = list(dict.fromkeys(one for one in asked if one not in self._kept))
        self._kept.update(zip(fresh, result_of(self._all(fresh)), strict=True))
        return [self._kept[one] for one in asked]

    async def _all(self, asked: Sequence[tuple[int, str]]) -> list[Rollout]:
        places = asyncio.Semaphore(TOGETHER)

        async def one(place: int, program: str) -> Rollout:
            async with places:
                return await self._ran(self.drawn[place], program)

        return await asyncio.gather(*(one(*each) for each in asked))

    async def _ran(self, item: Item, program: str) -> Rollout:
        errors: list[str | None] = []
        found = await watched([Given(self.leaves, program)], 1, errors).answer(Asked.of(item))
        return Rollout(score(item, found.answer), found.tokens, errors == [None])


def held_out_rows(
    root: LanguageModel, leaves: LanguageModel, lexicon: Lexicon, params: PosttrainParams, seed: int
) -> list[dict[str, Any]]:
    """A row for each task and length: what `rlm-1` scores and spends on held-out items, and how many programs ran."""
    found = []
    for task in params.tasks:
        for windows in params.windows:
            errors: list[str | None] = []
            solver = watched([root, leaves], TURNS, errors)
            asked = items(TASKS[task], lexicon, windows, params.items, seed, SIDE)
            row = compared(TASKS[task], windows, asked, lambda _, solver=solver: solver)
            found.append(
                {name: row[name] for name in KEPT}
                | {
                    "accuracy": sum(row["scores"]) / len(row["scores"]),
                    "valid_programs": errors.count(None) / max(1, len(errors)),
                }
            )
    return found
