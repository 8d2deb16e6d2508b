"""Precision over N and D: what fewer bits cost every checkpoint of a family, on the same held-out text.

Without compiling and without timing, so that whole families are told in seconds; made to run in a worker process. The
rounding is the quantised models', done in float32: their own kernels take ten times as long over a batch of text on
machines that have no instructions for them, and differ in the last bits of sums alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from evals.inference.quality import compare, read_passages
from evals.inference.techniques.precision import halved
from models.decoding.quantised import Kind, prepare_qat

NUM_PASSAGES = 32


def _rounded(kind: Kind) -> Callable[[PreTrainedModel], PreTrainedModel]:
    return lambda model: prepare_qat(model, kind)


LOWERED: dict[str, Callable[[PreTrainedModel], PreTrainedModel]] = {
    "bfloat16": halved,
    **{kind: _rounded(kind) for kind in get_args(Kind)},
}


@dataclass(frozen=True)
class Member:
    """A checkpoint of a family, its parameters and the tokens that it was trained on."""

    checkpoint: Path
    params: int
    tokens: int


def precision_rows(
    members: Sequence[Member], text: str, techniques: Sequence[str] = tuple(LOWERED), device: str = "cpu"
) -> list[dict[str, Any]]:
    """A row a checkpoint and technique: divergence from float32 and rise of the log-perplexity, nats a token.

    Intervals are over the text's passages, the same for all techniques. A technique that a checkpoint's widths do not
    fit has its reason in place of figures.

    Raises ValueError for a technique that is not known and for a text that is too short.
    """
    for technique in techniques:
        if technique not in LOWERED:
            raise ValueError(f"technique {technique!r}: give one of {', '.join(LOWERED)}")
    return [row for member in members for row in _rows(member, text, techniques, device)]


def _rows(member: Member, text: str, techniques: Sequence[str], device: str) -> list[dict[str, Any]]:
    model = AutoModelForCausalLM.from_pretrained(member.checkpoint, dtype=torch.float32).eval()
    torch.nn.Module.to(model, device)
    low, reasons = {}, {}
    for technique in techniques:
        try:
            low[technique] = LOWERED[technique](model)
        except ValueError as error:
            reasons[technique] = str(error)
    passages_RT = read_passages(member.checkpoint, text, model, NUM_PASSAGES)
    compared = dict(zip(low, compare(model, list(low.values()), passages_RT), strict=True))
    rows = []
    for technique in techniques:
        row = {
            "technique": technique, "model": str(member.checkpoint), "params": member.params, "tokens": member.tokens,
        }  # fmt: skip
        if technique in reasons:
            rows.append(row | {"status": "unsupported", "reason": reasons[technique]})
            continue
        quality = compared[technique].quality()
        rise = {"log_perplexity_delta": quality.delta, "ci95": quality.ci95}
        rows.append(row | {"status": "ok", "reason": ""} | compared[technique].figures() | rise)
    return rows
