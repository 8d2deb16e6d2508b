"""What speculation should gain by its acceptance and the cost of its steps, to hold against what it does gain.

Leviathan et al. (2023), section 3.3, with steps as they were measured: a verification is not quite as cheap as a token.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from models.decoding.speculative import ModelDrafter, Speculated
from models.decoding.static import StaticDecoder

REPEATS = 40


@torch.inference_mode()
def step_seconds(decoder: StaticDecoder, prompt_1T: torch.Tensor, num_tokens: int) -> float:
    """Median seconds of a step of so many tokens after the prompt, its choice of tokens included."""
    tokens_1Q = prompt_1T[:, :num_tokens]
    decoder.prefill(prompt_1T)

    def step() -> None:
        decoder.step(tokens_1Q)[0].argmax(-1).tolist()
        decoder.rewind(prompt_1T.shape[1])

    step()
    return _median(step)


@torch.inference_mode()
def prefill_seconds(decoder: StaticDecoder, prompt_1T: torch.Tensor) -> float:
    """Median seconds to read the prompt."""
    return _median(lambda: decoder.prefill(prompt_1T)[0, -1].argmax().item())


def _median(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def foreseen_ratio(
    target: StaticDecoder, drafter: ModelDrafter, prompt_1T: torch.Tensor, told: list[Speculated], num_draft: int
) -> float:
    """How many times faster than one token a step: both sides' steps counted, each at what it costs alone."""
    num_tokens = sum(len(one.tokens) for one in told) - len(told)  # the prompt's own step yields the first of each
    num_verifications = sum(one.num_verifications for one in told)
    draft = step_seconds(drafter.decoder, prompt_1T, 2)
    if num_draft > 1:
        draft += (num_draft - 1) * step_seconds(drafter.decoder, prompt_1T, 1)
    verification = step_seconds(target, prompt_1T, num_draft + 1)
    read = prefill_seconds(target, prompt_1T) * len(told)
    plain = read + num_tokens * step_seconds(target, prompt_1T, 1)
    read += prefill_seconds(drafter.decoder, prompt_1T) * len(told)
    return plain / (read + num_verifications * (verification + draft))
