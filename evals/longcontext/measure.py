"""A row of the long-context table: what an arm scores on the items of a task and a length, and what that costs."""

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from evals.longcontext.adversaries import BagOfWords, BestRegex
from evals.longcontext.arms.arm import Answered, Arm, Asked
from evals.longcontext.arms.arms import arm
from evals.longcontext.arms.recursive import Recursive
from evals.longcontext.gates import Constant, OracleLeaf, OracleProgram, Shuffled
from evals.longcontext.item import Item
from evals.longcontext.job import GateName, Job, Reading
from evals.longcontext.lexicon import Lexicon, Side
from evals.longcontext.programs import CHUNK_BYTES
from evals.longcontext.reading import reading_accuracy
from evals.longcontext.scorers import score
from evals.longcontext.task import Task, items
from evals.longcontext.tasks import TASKS
from rlm.hf import HuggingFace
from rlm.loop import result_of
from rlm.policy import LEAF_TOKENS, ROOT_TOKENS, TURNS, Trained
from rlm.sandbox.open import Open
from rlm.sandbox.sealed import Sealed
from rlm.text import Text

SIDE: Side = "held-out"  # of the compositions: those that no lesson has
TOGETHER = 1024  # windows of contexts that are worked on side by side, so that the model's batches fill
FITTED = 60  # items of the same kind that adversaries learn from
WITHOUT_MODEL = {"regex": BestRegex, "bag_of_words": BagOfWords}


def measured(job: Job | Reading) -> dict[str, Any]:
    """Does it, in this process."""
    if isinstance(job, Job):
        return row_of(job)
    lexicon = Lexicon(job.world_seed, job.words)
    return reading_accuracy(model(job.checkpoint, job.device), lexicon, job.items, job.seed)


def row_of(job: Job) -> dict[str, Any]:
    """The row."""
    lexicon, task = Lexicon(job.world_seed, job.words), TASKS[job.task]
    drawn = functools.partial(items, task, lexicon, job.windows, side=SIDE)
    asked = drawn(count=job.items, seed=job.seed)
    if job.gate in WITHOUT_MODEL:
        adversary = WITHOUT_MODEL[job.gate]()
        adversary.fit(drawn(count=FITTED, seed=job.seed + 1))
        began = time.perf_counter()
        answers = [Answered(adversary.answer(item), 0, 0, "done") for item in asked]
        row = _row(task, job.windows, asked, answers, time.perf_counter() - began)
        if isinstance(adversary, BestRegex):
            row["name"] = adversary.name
    else:
        lm = model(job.checkpoint, job.device)
        others = drawn(count=2, seed=job.seed + 1) if job.gate else []
        row = compared(task, job.windows, asked, lambda item: _arm(job, lm, lexicon, item, others))
    profile = job.profile if job.arm.startswith("rlm-") else None
    return {"arm": job.arm, "profile": profile, "gate": job.gate, **row}


def compared(task: Task, windows: int, asked: Sequence[Item], made: Callable[[Item], Arm]) -> dict[str, Any]:
    """What an arm, made for each item, scores and costs: the row but for the arm's name."""
    began = time.perf_counter()
    answers = result_of(_answers(asked, made, windows))
    return _row(task, windows, asked, answers, time.perf_counter() - began)


def _row(
    task: Task, windows: int, asked: Sequence[Item], answers: Sequence[Answered], seconds: float
) -> dict[str, Any]:
    return {
        "task": task.name,
        "reading": task.reading,
        "length_windows": windows,
        "length_tokens": mean(item.meta["tokens"] for item in asked),
        "num_items": len(asked),
        "scores": [score(item, answer.answer) for item, answer in zip(asked, answers, strict=True)],
        "chance": mean(item.chance for item in asked),
        "calls": mean(answer.calls for answer in answers),
        "tokens": mean(answer.tokens for answer in answers),
        "tokens_by_item": [answer.tokens for answer in answers],
        "seconds": seconds / len(asked),
        "failed": sum(answer.status == "failed" for answer in answers),
        "exhausted": sum(answer.status == "exhausted" for answer in answers),
        "reason": next((answer.reason for answer in answers if answer.reason), ""),
    }


@functools.lru_cache(1)
def model(checkpoint: Path, device: str) -> HuggingFace:
    """The model of a folder; a process keeps its last."""
    return HuggingFace(checkpoint, device)


async def _answers(drawn: Sequence[Item], made: Callable[[Item], Arm], windows: int) -> list[Answered]:
    """Of every item, several side by side where they are short."""
    places = asyncio.Semaphore(max(1, TOGETHER // windows))

    async def one(item: Item) -> Answered:
        async with places:
            return await made(item).answer(Asked.of(item))

    return await asyncio.gather(*map(one, drawn))


def _arm(job: Job, lm: HuggingFace, lexicon: Lexicon, item: Item, others: Sequence[Item]) -> Arm:
    sandbox = Sealed if job.profile == "sealed" else Open
    if job.gate is None:
        recursive = {"sandbox": sandbox, "reply_tokens": ROOT_TOKENS, "max_turns": TURNS}
        dials = recursive if job.arm.startswith("rlm-") else {}
        return arm(job.arm, lm, Trained(), LEAF_TOKENS, **dials)
    gated = _gated(job.gate, lm, lexicon, item, [str(part) for other in others for part in _parts(other)])
    return Recursive(gated, Trained(), LEAF_TOKENS, 1, sandbox, ROOT_TOKENS, max_turns=TURNS)


def _gated(gate: GateName, lm: HuggingFace, lexicon: Lexicon, item: Item, texts: list[str]) -> Any:
    match gate:
        case "shuffled_leaf":
            return Shuffled(lm, texts)
        case "constant_leaf":
            return Constant(lm, texts[0])
        case "oracle_leaf":
            return OracleLeaf(lm, lexicon)
        case "oracle_program":
            return OracleProgram(lm, item)
    raise AssertionError(gate)


def _parts(item: Item) -> list[Text]:
    return Text.of(item.context).split(CHUNK_BYTES)
