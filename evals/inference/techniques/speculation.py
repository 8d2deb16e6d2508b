"""Drafts that the target checks in one step: by a smaller member, from the text so far, by the target's own layers."""

from typing import Any

from evals.inference.contest import NUM_DRAFT, Contest, Setting, Tokens, Unsupported, exact, row_by_row
from evals.inference.foreseen import foreseen_ratio
from models.decoding.speculative import (
    Drafter,
    ModelDrafter,
    PromptLookup,
    Speculated,
    SpeculativeDecoder,
    early_exit,
)
from models.decoding.static import StaticDecoder


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
