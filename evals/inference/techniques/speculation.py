"""Drafts that the target checks in one step: by a smaller member, from the text so far, by the target's own layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from evals.inference.checks import Check, pooled_chi_square, same_logits
from evals.inference.contest import NUM_DRAFT, Contest, Setting, Tokens, Unsupported, lossless, row_by_row, streamed
from evals.inference.foreseen import foreseen_ratio
from models.decoding.speculative import (
    Draft,
    Drafter,
    ModelDrafter,
    PromptLookup,
    Sampled,
    Speculated,
    SpeculativeDecoder,
    VerifySampled,
    early_exit,
)
from models.decoding.static import Emit, StaticDecoder, unheard

TEMPERATURE = 1.0
# Of the check: places, and draws at all of them together.
NUM_PREFIXES = 8
NUM_DRAWS = 51_200
# Of logits step by step against one pass, relative to the largest: sums in another order, of numbers of 24 and 8 bits.
STEPS_LIMIT = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


def _speculative(setting: Setting, drafter: Drafter) -> Contest:
    """Against the target's compiled steps, its fastest decoding without a drafter."""
    target = StaticDecoder(setting.model, setting.window)
    decoder = SpeculativeDecoder(target, drafter, NUM_DRAFT)
    told: list[Speculated] = []

    def technique(emit: Emit = unheard) -> Tokens:
        told.clear()
        for row_T in setting.prompts_BT:
            emit(0)
            told.append(decoder.greedy(row_T[None], setting.num_tokens, emit))
        return [one.tokens for one in told]

    def speeds() -> dict[str, Any]:
        if not isinstance(drafter, ModelDrafter):
            return {}
        return {"foreseen_ratio": foreseen_ratio(decoder, setting.prompts_BT, told)}

    drafting = [drafter.decoder] if isinstance(drafter, ModelDrafter) else []
    held = ([target], [target, *drafting])
    return streamed(
        "static cache",
        row_by_row(setting, target.greedy),
        technique,
        lossless(setting),
        held,
        lambda: fared(told),
        speeds,
    )


def fared(told: Sequence[Speculated]) -> dict[str, Any]:
    """Tokens a verification yields, and of every place of a draft how often what was proposed there stood."""
    proposed, accepted = (
        [sum(getattr(one, name)[place] for one in told) for place in range(NUM_DRAFT)]
        for name in ("proposed_G", "accepted_G")
    )
    num = sum(one.num_verifications for one in told)
    return {
        "acceptance_length": (sum(accepted) + num) / num if num else 1.0,
        "acceptance_by_position": [a / p if p else 0.0 for a, p in zip(accepted, proposed, strict=True)],
    }


def speculative(setting: Setting) -> Contest:
    """Speculative decoding with a smaller member of the family."""
    return _speculative(setting, ModelDrafter(StaticDecoder(required_drafter(setting), setting.window)))


def required_drafter(setting: Setting) -> PreTrainedModel:
    """The setting's drafter; raises Unsupported where it has none."""
    if setting.drafter is None:
        raise Unsupported("no drafter was given: name a smaller model with the same tokenizer")
    return setting.drafter


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


def speculative_sampling(setting: Setting) -> Contest:
    """Sampling at temperature 1, drafts by a smaller member, against sampling by the target's compiled steps.

    Both begin with the same seed in every turn. Samples differ; what is checked is that the draws of the very objects
    that decode follow the target's distribution, and that the cached steps of both sides give its logits.
    """
    small, generator = required_drafter(setting), torch.Generator(setting.model.device)
    target, drafting = StaticDecoder(setting.model, setting.window), StaticDecoder(small, setting.window)
    decoder = SpeculativeDecoder(target, ModelDrafter(drafting), NUM_DRAFT)
    sampled = Sampled(TEMPERATURE, generator)
    told: list[Speculated] = []

    def baseline(emit: Emit = unheard) -> Tokens:
        generator.manual_seed(0)
        found = []
        for row_T in setting.prompts_BT:
            emit(0)
            found.append(target.sample(row_T[None], setting.num_tokens, sampled, emit))
        return found

    def technique(emit: Emit = unheard) -> Tokens:
        generator.manual_seed(0)
        told.clear()
        for row_T in setting.prompts_BT:
            emit(0)
            told.append(decoder.sample(row_T[None], setting.num_tokens, sampled, emit))
        return [one.tokens for one in told]

    def check(reference: Tokens, found: Tokens) -> list[Check]:
        generator.manual_seed(1)
        return [
            stepped(setting, target, sampled),
            drafted(setting, decoder, sampled),
            follows(sampled, places(setting, small), NUM_DRAWS),
        ]

    held = ([target], [target, drafting])
    return streamed("sampling, static cache", baseline, technique, check, held, lambda: fared(told))


@torch.inference_mode()
def stepped(setting: Setting, target: StaticDecoder, sampled: Sampled) -> Check:
    """The logits that a sample was drawn from, a step a token, are those of one pass."""
    whole, heard = [], []

    def choose(logits_V: torch.Tensor) -> tuple[int, torch.Tensor]:
        heard.append(logits_V.clone())
        return sampled(logits_V)

    for row_T in setting.prompts_BT:
        tokens = target.sample(row_T[None], setting.num_tokens, choose)
        sequence_1T = torch.tensor([[*row_T.tolist(), *tokens[:-1]]], device=row_T.device)
        whole.append(setting.model(input_ids=sequence_1T, use_cache=False).logits[0, len(row_T) - 1 :])
    return same_logits(torch.cat(whole), [torch.stack(heard)], STEPS_LIMIT[setting.model.dtype])


@torch.inference_mode()
def drafted(setting: Setting, decoder: SpeculativeDecoder, sampled: Sampled) -> Check:
    """The logits that drafts were verified by, after whatever was taken back, are those of one pass."""
    whole, heard = [], []
    verify_sampled = VerifySampled(sampled)
    for row_T in setting.prompts_BT:
        rounds: list[tuple[list[int], list[int]]] = []  # what was drafted, and what came of it

        def verify(logits_QV: torch.Tensor, draft: Draft, rounds: list = rounds) -> tuple[int, int]:
            heard.append(logits_QV.clone())
            num_accepted, token = verify_sampled(logits_QV, draft)
            rounds.append((draft.tokens, [*draft.tokens[:num_accepted], token]))
            return num_accepted, token

        told = decoder.sample(row_T[None], setting.num_tokens, sampled, verify=verify)
        sequence = [*row_T.tolist(), told.tokens[0]]
        for draft, found in rounds:
            tokens_1T = torch.tensor([[*sequence, *draft]], device=row_T.device)
            whole.append(setting.model(input_ids=tokens_1T, use_cache=False).logits[0, -len(draft) - 1 :])
            sequence += found
    return same_logits(torch.cat(whole), [torch.cat(heard)], STEPS_LIMIT[setting.model.dtype])


@dataclass(frozen=True)
class Place:
    """A place of a held-out text: logits there (V) of the drafter, and of the target there and after `likely` (2, V).

    likely: the target's most probable token there.
    """

    drafter_V: torch.Tensor
    likely: int
    target_2V: torch.Tensor


@torch.inference_mode()
def places(setting: Setting, small: PreTrainedModel) -> list[Place]:
    """Places evenly spread over the prompts' tokens."""
    num_rows, length = setting.prompts_BT.shape
    found = []
    for index in range(NUM_PREFIXES):
        row, end = index % num_rows, max(1, (index + 1) * length // NUM_PREFIXES)
        prefix_1T = setting.prompts_BT[row : row + 1, :end]
        drafter_V = small(input_ids=prefix_1T, use_cache=False).logits[0, -1]
        likely_11 = setting.model(input_ids=prefix_1T, use_cache=False).logits[:, -1:].argmax(-1)
        longer_1T = torch.cat([prefix_1T, likely_11], dim=1)
        target_2V = setting.model(input_ids=longer_1T, use_cache=False).logits[0, -2:]
        found.append(Place(drafter_V, int(likely_11), target_2V))
    return found


def follows(sampled: Sampled, places: Sequence[Place], num_draws: int) -> Check:
    """Verified drafts of one token follow the target's distribution, in one chi-square over all places.

    Every other draft is the drafter's own draw, the others are certain of the likely token. Of each draft the token at
    its place counts; where the likely token stood as a certain draft, so does the next, whose distribution is the
    target's after it.
    """
    verify = VerifySampled(sampled)
    samples, distributions = [], []
    for place in places:
        here: list[int] = []
        after: list[int] = []
        for turn in range(num_draws // len(places)):
            if turn % 2:
                draft = Draft([place.likely], None)
            else:
                token, probabilities_V = sampled(place.drafter_V)
                draft = Draft([token], probabilities_V[None])
            num_accepted, next_token = verify(place.target_2V, draft)
            here.append(draft.tokens[0] if num_accepted else next_token)
            if turn % 2 and num_accepted:
                after.append(next_token)
        samples += [here, after]
        distributions += list(torch.softmax(place.target_2V.double() / TEMPERATURE, -1))
    return pooled_chi_square(samples, distributions)
