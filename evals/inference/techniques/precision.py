"""Fewer bits: weights, and arithmetic or activations with them. What comes out differs, within stated limits.

B rows of the batch, T tokens of a prompt, Q tokens that follow it, V the vocabulary.
"""

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from transformers import PreTrainedModel

from evals.inference.checks import Check, divergence
from evals.inference.contest import (
    Contest,
    Held,
    Judge,
    Setting,
    Stream,
    Tokens,
    Unsupported,
    all_rows,
    generated,
    near_greedy,
)
from evals.inference.quality import Compared, ability_delta, compare, cut, held_out, tokenise
from models.decoding.quantised import Kind, count_bytes, quantise
from models.decoding.static import StaticDecoder

# Limits are stated before anything is measured.
BFLOAT16_KL = 1e-2
# The mean divergence is by how many nats a token the loss on the reference's own continuations rises: 1 %, 5 % and 10 %
# of perplexity. Int8 rounds to 255 steps a row, activations besides in the second; int4 to 15 a group of 32.
QUANTISED_KL: dict[Kind, float] = {"int8-weight-only": 1e-2, "int8-dynamic": 5e-2, "int4-weight-only": 1e-1}
# Tokens of held-out text that a check forces through the steps that are timed, beside the reference's continuations;
# of random weights, whose size makes each dear, fewer. A scale that is doubled shows in these as well.
CHECKED = 512
CHECKED_OF_RANDOM = 64

Forced = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def halved(model: PreTrainedModel) -> PreTrainedModel:
    """A copy in bfloat16. Raises ValueError for a model that is."""
    if model.dtype == torch.bfloat16:
        raise ValueError("the model is in bfloat16 as it is: ask for it in float32")
    half = copy.deepcopy(model)
    torch.nn.Module.to(half, torch.bfloat16)
    return half


def bfloat16(setting: Setting) -> Contest:
    """Weights and arithmetic in bfloat16 against float32."""
    try:
        half = halved(setting.model)
    except ValueError as error:
        raise Unsupported(str(error)) from None
    compared = cache(lambda: compare(setting.model, [half], held_out(setting))[0])

    def check(reference: Tokens, found: Tokens) -> list[Check]:
        return [
            near_greedy(setting.model, setting.prompts_BT.tolist(), reference, found),
            near(setting, reference, in_one_pass(setting.model), in_one_pass(half), BFLOAT16_KL),
        ]

    streams, held = (generated(setting), generated(setting, half)), ([setting.model], [half])
    return lossy("float32", streams, check, setting, held, compared)


def quantised(kind: Kind) -> Callable[[Setting], Contest]:
    """The contest of a kind of quantisation after training."""

    def contest(setting: Setting) -> Contest:
        """Weights of fewer bits, and activations too where the kind says so, both sides by compiled steps."""
        try:
            low = quantise(setting.model, kind)
        except ValueError as error:
            raise Unsupported(str(error)) from None
        whole, short = (StaticDecoder(model, setting.window) for model in (setting.model, low))
        compared = cache(lambda: compare(setting.model, [low], held_out(setting))[0])

        def check(reference: Tokens, found: Tokens) -> list[Check]:
            return [near(setting, reference, in_one_pass(setting.model), step_by_step(short), QUANTISED_KL[kind])]

        streams = (all_rows(setting, whole.greedy), all_rows(setting, short.greedy))
        return lossy(steps_of(setting), streams, check, setting, ([whole], [short]), compared)

    return contest


def lossy(
    against: str,
    streams: tuple[Stream, Stream],
    check: Judge,
    setting: Setting,
    held: tuple[Held, Held],
    compared: Callable[[], Compared],
) -> Contest:
    """A contest whose technique is another model, which says how it compares with the setting's."""
    contest = Contest(
        against,
        *streams,
        check,
        held,
        lambda: told(setting, setting.model, contest.model, None if setting.random else compared()),
        None if setting.random else lambda: compared().quality(),
        streams=streams,
    )
    return contest


def steps_of(setting: Setting) -> str:
    """What quantised steps are held against: compiled steps of the same shapes, without quantisation."""
    return f"{str(setting.model.dtype).removeprefix('torch.')}, static cache"


def told(
    setting: Setting, reference: PreTrainedModel, low: PreTrainedModel, compared: Compared | None
) -> dict[str, Any]:
    """Bytes, divergence on held-out text where it was read, and accuracy where the setting has tasks to ask."""
    figures: dict[str, Any] = {
        **(compared.figures() if compared else {}),
        "bytes": float(count_bytes(low)),
        "bytes_saved": 1 - count_bytes(low) / count_bytes(reference),
    }
    if setting.tasks:
        assert setting.checkpoint
        figures["ability_delta"] = ability_delta(setting.checkpoint, reference, low, setting.tasks, setting.items)
    return figures


# The gate's logits, teacher forced: of the last prompt's token and all that follow but the last (B, Q, V)


def in_one_pass(model: PreTrainedModel) -> Forced:
    """In one pass."""

    @torch.inference_mode()
    def forced(prompts_BT: torch.Tensor, continued_BQ: torch.Tensor) -> torch.Tensor:
        inputs = torch.cat([prompts_BT, continued_BQ], dim=1)[:, :-1]
        return model(input_ids=inputs, use_cache=False).logits[:, prompts_BT.shape[1] - 1 :]

    return forced


def step_by_step(decoder: StaticDecoder) -> Forced:
    """By the very steps that are timed: what is compiled may be wrong where one eager pass is right."""

    @torch.inference_mode()
    def forced(prompts_BT: torch.Tensor, continued_BQ: torch.Tensor) -> torch.Tensor:
        logits = [decoder.prefill(prompts_BT)[:, -1:]]
        for token_B in continued_BQ.T[:-1]:
            logits.append(decoder.step(token_B.clone()[:, None]))
        return torch.cat(logits, dim=1)

    return forced


def near(setting: Setting, reference: Tokens, whole: Forced, low: Forced, limit: float) -> Check:
    """Divergence over the reference's continuations and over held-out text of the same shape, rows of a batch each."""
    continued_BQ = torch.tensor(reference, device=setting.prompts_BT.device)
    batches = [(setting.prompts_BT, continued_BQ), *_held_out_batches(setting)]
    reference_TV, found_TV = (
        torch.cat([side(prompts_BT, following_BQ).float().flatten(0, 1) for prompts_BT, following_BQ in batches])
        for side in (whole, low)
    )
    return divergence(reference_TV, found_TV, limit)


def _held_out_batches(setting: Setting) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Prompts (B, T) and what follows them (B, Q), as many batches as are to be checked or the text has.

    Raises ValueError where it has none.
    """
    assert setting.checkpoint, "a lossy technique needs the checkpoint, whose tokenizer reads its text"
    num_rows, num_prompt = setting.prompts_BT.shape
    num_batches = -(-(CHECKED_OF_RANDOM if setting.random else CHECKED) // (num_rows * setting.num_tokens))
    length = num_prompt + setting.num_tokens
    tokens = tokenise(setting.checkpoint, setting.text)
    passages_RT = cut(tokens, length, num_batches * num_rows)
    if len(passages_RT) < num_rows:
        raise ValueError(
            f"the text has {len(tokens)} tokens, {num_rows} passages need {num_rows * length}: give a longer one"
        )
    for first in range(0, len(passages_RT) - num_rows + 1, num_rows):
        rows_BT = passages_RT[first : first + num_rows].to(setting.prompts_BT.device)
        yield rows_BT[:, :num_prompt], rows_BT[:, num_prompt:]
