"""Every acceleration as a contest: the same work done without and with it, and the check that must hold.

A technique that this model or machine cannot run says why and is reported so; nothing is left out.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from evals.inference.checks import Check, divergence, first_divergence, token_exact
from evals.inference.foreseen import foreseen_ratio
from evals.inference.load import POLICIES, Policy, Request, poisson_arrivals, serve, summary
from models.decoding.prefix import PrefixDecoder, PrefixTree
from models.decoding.quantised import Kind, count_bytes, quantise
from models.decoding.speculative import (
    Drafter,
    ModelDrafter,
    PromptLookup,
    Speculated,
    SpeculativeDecoder,
    early_exit,
)
from models.decoding.static import StaticDecoder

# Limits are stated before anything is measured. A logit of bfloat16 has 8 bits: two that lie closer than this may swap.
BFLOAT16_MARGIN = 0.25
BFLOAT16_KL = 1e-2
# The mean divergence is by how many nats a token the loss on the reference's own continuations rises: 1 %, 5 % and 10 %
# of perplexity. Int8 rounds to 255 steps a row, activations besides in the second; int4 to 15 a group of 32.
QUANTISED_KL: dict[Kind, float] = {"int8-weight-only": 1e-2, "int8-dynamic": 5e-2, "int4-weight-only": 1e-1}
PREFIX_BYTES = 1 << 28
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


Tokens = list[list[int]]
Work = Callable[[], Tokens]


@dataclass(frozen=True)
class Contest:
    """Both sides do the same work; `check` judges what they returned; `figures` is what the technique tells besides."""

    against: str
    baseline: Work
    technique: Work
    check: Callable[[Tokens, Tokens], list[Check]]
    figures: Callable[[], dict[str, Any]] = field(default=dict)


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


def kv_cache(setting: Setting) -> Contest:
    """Keys and values kept against computed again at each token."""
    return Contest("no cache", generated(setting, use_cache=False), generated(setting), exact)


def static_cache(setting: Setting) -> Contest:
    """A cache of one size and a compiled step against generate with its growing cache."""
    decoder = StaticDecoder(setting.model, setting.window)
    return Contest(
        "dynamic cache",
        generated(setting),
        lambda: decoder.greedy(setting.prompts_BT, setting.num_tokens).tolist(),
        exact,
    )


def sdpa(setting: Setting) -> Contest:
    """torch's fused attention against attention written out."""
    plain = copy.deepcopy(setting.model)
    plain.set_attn_implementation("eager")
    return Contest("eager attention", generated(setting, plain), generated(setting), exact)


def flash(setting: Setting) -> Contest:
    """FlashAttention's kernels, which need an accelerator."""
    raise Unsupported(
        f"flash-attention has no kernels for {setting.model.device.type}; torch's own is measured as sdpa"
    )


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


def _quantised(kind: Kind) -> Callable[[Setting], Contest]:
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


def _speculative(setting: Setting, drafter: Drafter) -> Contest:
    """Against the target's compiled steps, its fastest decoding without a drafter."""
    target = StaticDecoder(setting.model, setting.window)
    decoder = SpeculativeDecoder(target, drafter, NUM_DRAFT)
    told: list[Speculated] = []

    def technique() -> Tokens:
        told[:] = [decoder.greedy(row_T[None], setting.num_tokens) for row_T in setting.prompts_BT]
        return [one.tokens for one in told]

    def figures() -> dict[str, Any]:
        proposed, accepted = (
            [sum(getattr(one, name)[place] for one in told) for place in range(NUM_DRAFT)]
            for name in ("proposed_G", "accepted_G")
        )
        num = sum(one.num_verifications for one in told)
        foreseen: dict[str, float] = {}
        if isinstance(drafter, ModelDrafter):
            foreseen["foreseen_ratio"] = foreseen_ratio(target, drafter, setting.prompts_BT[:1], told, NUM_DRAFT)
        return foreseen | {
            "acceptance_length": (sum(accepted) + num) / num,
            "acceptance_by_position": [a / p if p else 0.0 for a, p in zip(accepted, proposed, strict=True)],
        }

    return Contest("static cache", row_by_row(setting, target.greedy), technique, exact, figures)


def speculative(setting: Setting) -> Contest:
    """Speculative decoding with a smaller member of the family."""
    if setting.drafter is None:
        raise Unsupported("no drafter was given: name one with --drafter")
    return _speculative(setting, ModelDrafter(StaticDecoder(setting.drafter, setting.window)))


def prompt_lookup(setting: Setting) -> Contest:
    """Speculative decoding whose drafts are what followed the last tokens before."""
    return _speculative(setting, PromptLookup())


def early_exit_draft(setting: Setting) -> Contest:
    """Speculative decoding whose drafter is the target's own first layers, a quarter of them."""
    num_layers = max(1, setting.model.config.num_hidden_layers // 4)
    try:
        shallow = early_exit(setting.model, num_layers)
    except ValueError as error:
        raise Unsupported(str(error)) from None
    return _speculative(setting, ModelDrafter(StaticDecoder(shallow, setting.window)))


def prefix_cache(setting: Setting) -> Contest:
    """Prompts that share a beginning, with a prefix tree against each computed whole.

    The rows are made to share all but their last eighth.
    """
    length = setting.prompts_BT.shape[1]
    own = max(1, length // 8)
    prompts_BT = setting.prompts_BT.clone()
    prompts_BT[:, : length - own] = prompts_BT[0, : length - own]
    shared = Setting(setting.model, prompts_BT, setting.num_tokens)
    told: list[PrefixDecoder] = []

    def technique() -> Tokens:
        try:
            decoder = PrefixDecoder(setting.model, PrefixTree(PREFIX_BYTES))
        except ValueError as error:
            raise Unsupported(str(error)) from None
        told[:] = [decoder]
        return row_by_row(shared, decoder.greedy)()

    def baseline() -> Tokens:
        return row_by_row(shared, lambda row, num: PrefixDecoder(setting.model, PrefixTree(1)).greedy(row, num))()

    return Contest(
        "no prefix cache",
        baseline,
        technique,
        exact,
        lambda: {"hit_rate": told[0].tokens_found / told[0].tokens_seen, "bytes": float(told[0].tree.bytes)},
    )


def batching(setting: Setting) -> Contest:
    """All rows in one batch against one after another."""
    if len(setting.prompts_BT) < 2:
        raise Unsupported("a batch of one row: give --batch 2 or more")
    alone = [Setting(setting.model, row_T[None], setting.num_tokens) for row_T in setting.prompts_BT]
    works = [generated(one) for one in alone]
    return Contest("one by one", lambda: [work()[0] for work in works], generated(setting), exact)


def continuous_batching(setting: Setting) -> Contest:
    """Requests of different lengths that join a batch as rows fall free, against one after another.

    Four requests a row of the batch, all there at once; `load` tells how each way of serving them does when they arrive
    at random, at a half, one and two times the rate that serving one by one can bear.
    """
    if len(setting.prompts_BT) < 2:
        raise Unsupported("a batch of one row: give --batch 2 or more")
    generator = np.random.default_rng(0)
    rows, (shortest, longest) = setting.prompts_BT.tolist() * 4, (setting.prompts_BT.shape[1] // 2, setting.num_tokens)
    asked = [
        Request(row[: generator.integers(shortest, len(row) + 1)], int(generator.integers(1, longest + 1)), 0.0)
        for row in rows
    ]
    max_rows = len(setting.prompts_BT)

    def served(policy: Policy) -> Work:
        return lambda: [one.tokens for one in serve(setting.model, asked, policy, max_rows)]

    def check(reference: Tokens, found: Tokens) -> list[Check]:
        return [token_exact(reference, found), token_exact(reference, served("static")())]

    def figures() -> dict[str, Any]:
        alone = serve(setting.model, asked, "sequential", max_rows)
        capacity = len(asked) / max(one.last for one in alone)
        table = []
        for share in (0.5, 1.0, 2.0):
            arrivals = poisson_arrivals(len(asked), share * capacity, seed=0)
            arriving = [replace(request, arrival=at) for request, at in zip(asked, arrivals, strict=True)]
            for policy in POLICIES:
                told = summary(arriving, serve(setting.model, arriving, policy, max_rows))
                table.append({"policy": policy, "requests_per_second": share * capacity, "load": share, **told})
        return {"load": table}

    return Contest("one by one", served("sequential"), served("continuous"), check, figures)


CONTESTS: dict[str, Callable[[Setting], Contest]] = {
    "kv-cache": kv_cache,
    "static-cache": static_cache,
    "sdpa": sdpa,
    "flash": flash,
    "bfloat16": bfloat16,
    "int8-weight-only": _quantised("int8-weight-only"),
    "int8-dynamic": _quantised("int8-dynamic"),
    "int4-weight-only": _quantised("int4-weight-only"),
    "speculative": speculative,
    "prompt-lookup": prompt_lookup,
    "early-exit": early_exit_draft,
    "prefix-cache": prefix_cache,
    "batching": batching,
    "continuous-batching": continuous_batching,
}
