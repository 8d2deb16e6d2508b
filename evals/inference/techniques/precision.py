"""Fewer bits: weights, and arithmetic or activations with them. What comes out differs, within stated limits."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel

from evals.inference.checks import Check, divergence, first_divergence
from evals.inference.contest import Contest, Setting, Tokens, Unsupported, generated
from models.decoding.quantised import Kind, count_bytes, quantise
from models.decoding.static import StaticDecoder

# Limits are stated before anything is measured. A logit of bfloat16 has 8 bits: two that lie closer than this may swap.
BFLOAT16_MARGIN = 0.25
BFLOAT16_KL = 1e-2
# The mean divergence is by how many nats a token the loss on the reference's own continuations rises: 1 %, 5 % and 10 %
# of perplexity. Int8 rounds to 255 steps a row, activations besides in the second; int4 to 15 a group of 32.
QUANTISED_KL: dict[Kind, float] = {"int8-weight-only": 1e-2, "int8-dynamic": 5e-2, "int4-weight-only": 1e-1}


@torch.inference_mode()
def _forced(setting: Setting, model: PreTrainedModel, tokens: Tokens) -> torch.Tensor:
    """A model's logits of the reference's tokens (B, T, V), teacher forced, in one pass."""
    continued = torch.tensor(tokens, device=setting.prompts_BT.device)
    inputs = torch.cat([setting.prompts_BT, continued], dim=1)[:, :-1]
    return model(input_ids=inputs, use_cache=False).logits[:, setting.prompts_BT.shape[1] - 1 :]


@torch.inference_mode()
def _forced_by_step(setting: Setting, decoder: StaticDecoder, tokens: Tokens) -> torch.Tensor:
    """The same by the very steps that are timed: what is compiled may be wrong where one eager pass is right."""
    logits = [decoder.prefill(setting.prompts_BT)[:, -1:]]
    for token_B in torch.tensor(tokens, device=setting.prompts_BT.device).T[:-1]:
        logits.append(decoder.step(token_B.clone()[:, None]))
    return torch.cat(logits, dim=1)


def _near(reference_BTV: torch.Tensor, found_BTV: torch.Tensor, limit: float) -> Check:
    """Over all tokens of all rows."""
    return divergence(reference_BTV.flatten(0, 1), found_BTV.float().flatten(0, 1), limit)


def bfloat16(setting: Setting) -> Contest:
    """Weights and arithmetic in bfloat16 against float32."""
    half = copy.deepcopy(setting.model)
    torch.nn.Module.to(half, torch.bfloat16)

    def check(reference: Tokens, found: Tokens) -> list[Check]:
        logits_BTV = _forced(setting, setting.model, reference)
        best_BT2 = logits_BTV.topk(2, dim=-1).values
        margin_BT = best_BT2[..., 0] - best_BT2[..., 1]
        return [
            first_divergence(reference, found, margin_BT.tolist(), BFLOAT16_MARGIN),
            _near(logits_BTV, _forced(setting, half, reference), BFLOAT16_KL),
        ]

    return Contest("float32", generated(setting), generated(setting, half), check)


def quantised(kind: Kind) -> Callable[[Setting], Contest]:
    """The contest of a kind of quantisation after training."""

    def contest(setting: Setting) -> Contest:
        """Weights of fewer bits, and activations too where the kind says so, both sides by compiled steps."""
        try:
            low = quantise(setting.model, kind)
        except ValueError as error:
            raise Unsupported(str(error)) from None
        whole, short = (StaticDecoder(model, setting.window) for model in (setting.model, low))

        def check(reference: Tokens, found: Tokens) -> list[Check]:
            logits_BTV = _forced(setting, setting.model, reference)
            return [_near(logits_BTV, _forced_by_step(setting, short, reference), QUANTISED_KL[kind])]

        def figures() -> dict[str, Any]:
            return {
                "log_perplexity_delta": _loss(low, setting.prompts_BT) - _loss(setting.model, setting.prompts_BT),
                "bytes": float(count_bytes(low)),
                "bytes_saved": 1 - count_bytes(low) / count_bytes(setting.model),
            }

        return Contest(
            "float32, static cache",
            lambda: whole.greedy(setting.prompts_BT, setting.num_tokens).tolist(),
            lambda: short.greedy(setting.prompts_BT, setting.num_tokens).tolist(),
            check,
            figures,
        )

    return contest


@torch.inference_mode()
def _loss(model: PreTrainedModel, tokens_BT: torch.Tensor) -> float:
    """Of every token but each row's first, in nats a token."""
    logits_BTV = model(input_ids=tokens_BT, use_cache=False).logits[:, :-1].float()
    return float(torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT[:, 1:].flatten()))
