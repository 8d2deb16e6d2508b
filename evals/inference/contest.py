"""The same work done without a technique and with it, and the check that must hold.

A technique that this model or machine cannot run says why and is reported so; nothing is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from evals.inference.checks import Check, token_exact

NUM_DRAFT = 4


class Unsupported(Exception):
    """Why this model or machine cannot run a technique; a row says so."""


@dataclass(frozen=True)
class Setting:
    """One cell of the grid: what every contest of it works on.

    prompts_BT: prompts of one length, to be continued by `num_tokens` tokens. drafter: a smaller model with the same
    vocabulary, None where there is none.
    """

    model: PreTrainedModel
    prompts_BT: torch.Tensor
    num_tokens: int
    drafter: PreTrainedModel | None = None

    @property
    def window(self) -> int:
        """Room for the longest sequence and for a draft that overshoots it."""
        return self.prompts_BT.shape[1] + self.num_tokens + NUM_DRAFT


@dataclass(frozen=True)
class Quality:
    """What a lossy technique changes: technique minus reference, with a 95% interval paired over what was asked."""

    metric: str
    delta: float
    ci95: tuple[float, float]


Tokens = list[list[int]]
Work = Callable[[], Tokens]


@dataclass(frozen=True)
class Contest:
    """Both sides do the same work; `check` judges what they returned.

    figures: what the technique tells besides. quality: what it loses, None where its answers are the reference's.
    """

    against: str
    baseline: Work
    technique: Work
    check: Callable[[Tokens, Tokens], list[Check]]
    figures: Callable[[], dict[str, Any]] = field(default=dict)
    quality: Callable[[], Quality] | None = None


def exact(reference: Tokens, found: Tokens) -> list[Check]:
    """Token by token the same."""
    return [token_exact(reference, found)]


def generated(setting: Setting, model: PreTrainedModel | None = None, **options: bool) -> Work:
    """Greedy decoding by transformers' own generate, all rows at once."""
    model, prompts_BT = model or setting.model, setting.prompts_BT

    def work() -> Tokens:
        out = cast(Any, model).generate(
            prompts_BT,
            attention_mask=torch.ones_like(prompts_BT),
            max_new_tokens=setting.num_tokens,
            min_new_tokens=setting.num_tokens,
            do_sample=False,
            **options,
        )
        return out[:, prompts_BT.shape[1] :].tolist()

    return work


def row_by_row(setting: Setting, decode: Callable[[torch.Tensor, int], torch.Tensor]) -> Work:
    """The rows one after another."""
    return lambda: [decode(row_T[None], setting.num_tokens)[0].tolist() for row_T in setting.prompts_BT]
