"""Drafts that the target checks in one step: by a smaller member, from the text so far, by the target's own layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from evals.inference.checks import Check, pooled_chi_square
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

    return streamed(
        "static cache", row_by_row(setting, target.greedy), technique, lossless(setting), lambda: fared(told), speeds
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
        raise Unsupported("no drafter was given: name one with --drafter")
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

    Both begin with the same seed in every turn. Samples differ; what is checked is that those of the very objects that
    decode follow the target's distribution.
    """
    small, generator = required_drafter(setting), torch.Generator(setting.model.device)
    target = StaticDecoder(setting.model, setting.window)
    decoder = SpeculativeDecoder(target, ModelDrafter(StaticDecoder(small, setting.window)), NUM_DRAFT)
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
        return [follows(sampled, places(setting, small), NUM_DRAWS)]

    return streamed("sampling, static cache", baseline, technique, check, lambda: fared(told))


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
