"""Does a technique with another give the product of what each gives? Four ways of the same work, in turns.

Neither, the first, the second, both. Synergy is the ratio of both over the product of the ratios of each: 1 where they
do not know of each other, below it where they save the same thing.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.utils import logging

from evals.inference.checks import Check, repeated
from evals.inference.contest import (
    NUM_DRAFT,
    Setting,
    Tokens,
    Unsupported,
    Work,
    all_rows,
    generated,
    keeping,
    lossless,
    near_greedy,
    row_by_row,
)
from evals.inference.job import COMPOSITIONS, Job
from evals.inference.measure import describe, explain, prepare
from evals.inference.protocol import interleaved, median_interval
from evals.inference.techniques.precision import (
    BFLOAT16_KL,
    QUANTISED_KL,
    Forced,
    halved,
    in_one_pass,
    near,
    step_by_step,
)
from evals.inference.techniques.serving import one_by_one
from evals.inference.techniques.speculation import required_drafter
from models.decoding.quantised import quantise
from models.decoding.speculative import ModelDrafter, SpeculativeDecoder
from models.decoding.static import StaticDecoder


@dataclass(frozen=True)
class Composition:
    """Four works; `check` judges what the first, the second and both returned, given what neither did."""

    neither: Work
    first: Work
    second: Work
    both: Work
    check: Callable[[Tokens, Tokens, Tokens, Tokens], list[Check]]


def compose(job: Job) -> dict[str, Any]:
    """A row of compositions; a speed only where every check held. Raises ValueError for bad input."""
    if job.technique not in COMPOSITIONS:
        raise ValueError(f"composition {job.technique!r}: give one of {', '.join(COMPOSITIONS)}")
    logging.set_verbosity_error()
    setting = prepare(job)
    first, second = job.technique.split(" x ")
    head = {"technique": job.technique, "first": first, "second": second, **describe(job, setting)}
    try:
        composition = MADE[job.technique](setting)
    except Unsupported as why:
        return head | {"status": "unsupported", "reason": str(why)}
    works = {name: getattr(composition, name) for name in ("neither", "first", "second", "both")}
    found = [list(work()) for work in works.values()]  # which also warms them up
    checks = composition.check(*found)
    turns, last = [], [[] for _ in works]
    if all(check.passed for check in checks):
        kept = [keeping(work, own) for work, own in zip(works.values(), last, strict=True)]
        turns = interleaved(kept, job.num_pairs, setting.model.device, job.least_seconds)
        checks += map(repeated, found, last)
    failed = [check for check in checks if not check.passed]
    head |= {"check": asdict((failed or checks)[0]), "checks": [asdict(check) for check in checks]}
    if failed:
        return head | {"status": "incorrect", "reason": "; ".join(map(explain, failed))}
    return head | {"status": "ok", "reason": "", **ratios(*map(np.array, turns))} | {
        "seconds": dict(zip(works, turns, strict=True))
    }  # fmt: skip


def ratios(neither: np.ndarray, first: np.ndarray, second: np.ndarray, both: np.ndarray) -> dict[str, Any]:
    """Figures of a row, from the seconds of each turn: medians, and intervals of them."""
    told: dict[str, Any] = {}
    for name, seconds in {"first": first, "second": second, "both": both}.items():
        told[f"ratio_{name}"], told[f"ci95_{name}"] = median_interval(neither / seconds)
    told["product"] = told["ratio_first"] * told["ratio_second"]
    told["synergy"], told["synergy_ci95"] = median_interval(first * second / (both * neither))
    return told


def static_cache_batching(setting: Setting) -> Composition:
    """Compiled steps over a static cache, for a row at a time or for all."""
    if len(setting.prompts_BT) < 2:
        raise Unsupported("a batch of one row: ask for 2 or more")
    a_row, rows = (StaticDecoder(setting.model, setting.window) for _ in range(2))
    return Composition(
        one_by_one(setting),
        row_by_row(setting, a_row.greedy),
        generated(setting),
        all_rows(setting, rows.greedy),
        lambda neither, *others: [check for found in others for check in lossless(setting)(neither, found)],
    )


def bfloat16_static_cache(setting: Setting) -> Composition:
    """Weights and arithmetic of 16 bits, in generate and in compiled steps."""
    half = _or_unsupported(halved, setting.model)
    decoder, short = (StaticDecoder(model, setting.window) for model in (setting.model, half))
    return Composition(
        generated(setting),
        generated(setting, half),
        all_rows(setting, decoder.greedy),
        all_rows(setting, short.greedy),
        lambda neither, first, second, both: [
            *_bfloat16_near(setting, neither, first, in_one_pass(half)),
            *lossless(setting)(neither, second),
            *_bfloat16_near(setting, neither, both, step_by_step(short)),
        ],
    )


def bfloat16_speculative(setting: Setting) -> Composition:
    """Weights and arithmetic of 16 bits, of target and drafter, in compiled steps."""
    half = _or_unsupported(halved, setting.model)
    short = StaticDecoder(half, setting.window)
    return Composition(
        row_by_row(setting, StaticDecoder(setting.model, setting.window).greedy),
        row_by_row(setting, short.greedy),
        _speculative(setting, setting.model, required_drafter(setting)),
        _speculative(setting, half, halved(required_drafter(setting))),
        lambda neither, first, second, both: [
            *_bfloat16_near(setting, neither, first, _by_row(short)),
            *lossless(setting)(neither, second),
            near_greedy(setting.model, setting.prompts_BT.tolist(), neither, both),
        ],
    )


def int8_speculative(setting: Setting) -> Composition:
    """Weights of 8 bits, of target and drafter, in compiled steps.

    Speculation is to give what the quantised target gives without drafts, and that is to be near the target.
    """
    low = _or_unsupported(_int8, setting.model)
    small = _or_unsupported(_int8, required_drafter(setting))
    short, limit = StaticDecoder(low, setting.window), QUANTISED_KL["int8-weight-only"]
    return Composition(
        row_by_row(setting, StaticDecoder(setting.model, setting.window).greedy),
        row_by_row(setting, short.greedy),
        _speculative(setting, setting.model, required_drafter(setting)),
        _speculative(setting, low, small),
        lambda neither, first, second, both: [
            near(setting, neither, in_one_pass(setting.model), _by_row(short), limit),
            *lossless(setting)(neither, second),
            *lossless(setting)(first, both),
        ],
    )


MADE: dict[str, Callable[[Setting], Composition]] = dict(
    zip(
        COMPOSITIONS,
        (static_cache_batching, bfloat16_static_cache, bfloat16_speculative, int8_speculative),
        strict=True,
    )
)


def _int8(model: PreTrainedModel) -> PreTrainedModel:
    return quantise(model, "int8-weight-only")


def _or_unsupported(lower: Callable[[PreTrainedModel], PreTrainedModel], model: PreTrainedModel) -> PreTrainedModel:
    try:
        return lower(model)
    except ValueError as error:
        raise Unsupported(str(error)) from None


def _speculative(setting: Setting, model: PreTrainedModel, small: PreTrainedModel) -> Work:
    target, drafter = (StaticDecoder(one, setting.window) for one in (model, small))
    decoder = SpeculativeDecoder(target, ModelDrafter(drafter), NUM_DRAFT)
    return lambda: [decoder.greedy(row_T[None], setting.num_tokens).tokens for row_T in setting.prompts_BT]


def _bfloat16_near(setting: Setting, reference: Tokens, found: Tokens, half: Forced) -> list[Check]:
    """16 bits leave 32 only where two logits of 32 nearly tie, and predict nearly the same."""
    return [
        near_greedy(setting.model, setting.prompts_BT.tolist(), reference, found),
        near(setting, reference, in_one_pass(setting.model), half, BFLOAT16_KL),
    ]


def _by_row(decoder: StaticDecoder) -> Forced:
    """Teacher forced by the steps that are timed, which take a row."""
    forced = step_by_step(decoder)

    def rows(prompts_BT: torch.Tensor, continued_BQ: torch.Tensor) -> torch.Tensor:
        pairs = zip(prompts_BT.split(1), continued_BQ.split(1), strict=True)
        return torch.cat([forced(prompt_1T, continued_1Q) for prompt_1T, continued_1Q in pairs])

    return rows
