"""Quantisation-aware training: some hundred steps in which the model computes as its quantised self will.

The model learns while it trains, so that what the quantisation costs shows only against a control: as many steps on
the same windows without rounding. The gate asks that the steps that are timed compute what was trained, and that
held-out text surprises them by no more than quantisation after training may cost: more than the control in float32,
and than the model before all training, which both would ruin. Answers to tasks are held against the control's. What
training with the rounding was worth is told against the control quantised.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from evals.inference.checks import Check
from evals.inference.checks import Kind as CheckKind
from evals.inference.contest import Contest, Quality, Setting, Tokens, Unsupported, all_rows
from evals.inference.quality import (
    LOG_PERPLEXITY,
    Compared,
    compare,
    cut,
    held_out,
    mean_interval,
    passage_length,
    tokenise,
)
from evals.inference.techniques.precision import QUANTISED_KL, in_one_pass, near, step_by_step, steps_of, told
from models.decoding.quantised import Kind, convert_qat, prepare_qat, quantise
from models.decoding.static import StaticDecoder

STEPS = 200
ROWS = 8
LEARNING_RATE = 1e-4
# What was trained and what was made of it differ in the order of sums alone. A last bit tips the rounding of an
# activation, which tips others: the embedding changed by a millionth gives int8-dynamic 1.6e-4 at width 96.
SAME_KL = 1e-3


def finetune(model: PreTrainedModel, windows_RT: torch.Tensor) -> float:
    """Trains in place by AdamW, the rate falling to 0; returns the mean loss of the last tenth of the steps.

    Windows are taken in an order drawn with a fixed seed, again from the first where they are too few.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    order_R = torch.randperm(len(windows_RT), generator=torch.Generator().manual_seed(0))
    model.train()
    losses = []
    for step in range(STEPS):
        rows_BT = windows_RT[order_R[torch.arange(step * ROWS, (step + 1) * ROWS) % len(order_R)]].to(model.device)
        loss = cast(Any, model)(input_ids=rows_BT, labels=rows_BT, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    model.eval()
    last = losses[-max(1, STEPS // 10) :]
    return sum(last) / len(last)


def quantised_aware(kind: Kind) -> Callable[[Setting], Contest]:
    """The contest of a kind of quantisation that training foresaw."""

    def contest(setting: Setting) -> Contest:
        """Weights of fewer bits, trained with their rounding; both sides by compiled steps."""
        windows_RT = training_windows(setting)
        try:
            trained, afterwards = prepare_qat(setting.model, kind), quantise(setting.model, kind)
        except ValueError as error:
            raise Unsupported(str(error)) from None
        began = time.perf_counter()
        loss = finetune(trained, windows_RT)
        seconds = time.perf_counter() - began
        low = convert_qat(trained)
        whole, short = (StaticDecoder(model, setting.window) for model in (setting.model, low))

        @cache
        def control() -> PreTrainedModel:
            """Trained as long on the same, without rounding."""
            model = copy.deepcopy(setting.model)
            finetune(model, windows_RT)
            return model

        @cache
        def compared() -> list[Compared]:
            """Trained with rounding; only quantised; the control; and that quantised."""
            others = [low, afterwards, control(), quantise(control(), kind)]
            return compare(setting.model, others, held_out(setting))

        def quality() -> Quality:
            """What the rounding costs: against the control in float32."""
            aware, _, unrounded, _ = compared()
            return Quality(LOG_PERPLEXITY, *mean_interval(aware.rise_R - unrounded.rise_R))

        def check(reference: Tokens, found: Tokens) -> list[Check]:
            return [
                near(setting, reference, in_one_pass(trained), step_by_step(short), SAME_KL),
                no_worse("log-perplexity-control", quality(), QUANTISED_KL[kind]),
                no_worse("log-perplexity", compared()[0].quality(), QUANTISED_KL[kind]),
            ]

        def figures() -> dict[str, Any]:
            aware, after, _, rounded = compared()
            gain = Quality(LOG_PERPLEXITY, *mean_interval(aware.rise_R - rounded.rise_R))
            return told(setting, control(), low, None) | {
                "qat_steps": STEPS,
                "qat_seconds": seconds,
                "qat_loss": loss,
                "against_original": asdict(aware.quality()),
                "ptq_log_perplexity_delta": asdict(after.quality()),
                "control_log_perplexity_delta": asdict(rounded.quality()),
                "against_control": asdict(gain),
            }

        streams = (all_rows(setting, whole.greedy), all_rows(setting, short.greedy))
        return Contest(steps_of(setting), *streams, check, ([whole], [short]), figures, quality, streams=streams)

    return contest


def training_windows(setting: Setting) -> torch.Tensor:
    """Windows (R, T) of the training text, as many as the training takes where the text has them."""
    if setting.random:
        raise Unsupported("random weights have nothing to learn: its steps are those of weights rounded after training")
    if setting.training_text is None:
        raise Unsupported("no training text was given, and quantisation-aware training trains on some")
    if setting.model.dtype != torch.float32:
        raise Unsupported(f"training in {setting.model.dtype} would round the small steps away: ask for float32")
    assert setting.checkpoint
    tokens, length = tokenise(setting.checkpoint, setting.training_text), passage_length(setting.model)
    windows_RT = cut(tokens, length, STEPS * ROWS)
    if len(windows_RT) < ROWS:
        raise ValueError(f"training_text has {len(tokens)} tokens, a step needs {ROWS * length}: give a longer one")
    return windows_RT


def no_worse(kind: CheckKind, quality: Quality, limit: float) -> Check:
    """Held-out text is at most by the limit more surprising, in nats a token."""
    low, high = quality.ci95
    return Check(kind, quality.delta, limit, quality.delta <= limit, f"95% interval {low:.3g} to {high:.3g}")
