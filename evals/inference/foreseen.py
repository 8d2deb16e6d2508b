"""What speculation should gain by its acceptance and the cost of its rounds, to hold against what it does gain.

Leviathan et al. (2023), section 3.3, with rounds and steps as they were measured: a verification is not quite as cheap
as a token. A round is the decoder's own: drafts, verification and bookkeeping. Left out is what a call costs beside its
prompts and rounds, and that here the same tokens are decoded over again, which is kind to the processor's caches.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from evals.inference.protocol import timed
from models.decoding.speculative import ModelDrafter, Speculated, SpeculativeDecoder, most_probable, verify_greedy
from models.decoding.static import StaticDecoder

NUM_ROWS = 4
NUM_PLACES = 6
NUM_TURNS = 3
WARM = 3


@torch.inference_mode()
def foreseen_ratio(decoder: SpeculativeDecoder, prompts_BT: torch.Tensor, told: Sequence[Speculated]) -> float:
    """How many times faster than one token a step, by what was told of decoding these prompts.

    Costs are in tokens of the target, timed beside it in turns at places spread over at most `NUM_ROWS` of the rows.
    """
    num_tokens = sum(len(one.tokens) for one in told) - len(told)  # the prompt's own step yields the first of each
    num_rounds = sum(one.num_verifications for one in told)
    rows = np.unique(np.linspace(0, len(told) - 1, NUM_ROWS).astype(int))
    costs = np.concatenate([_costs(decoder, prompts_BT[row : row + 1], told[row].tokens) for row in rows], axis=1)
    round_, prompt, drafters_prompt = np.median(costs, axis=1)
    prompts = len(told) * prompt
    return float((prompts + num_tokens) / (prompts + len(told) * drafters_prompt + num_rounds * round_))


def _costs(decoder: SpeculativeDecoder, prompt_1T: torch.Tensor, tokens: list[int]) -> np.ndarray:
    """A round, the target's reading of the prompt and the drafter's, each over a token: (3, turns)."""
    target, drafter, device = decoder.target, decoder.drafter, prompt_1T.device
    assert isinstance(drafter, ModelDrafter)
    costs = []
    for place in np.unique(np.linspace(1, max(1, len(tokens) - 1), NUM_PLACES).astype(int)):
        sequence = prompt_1T[0].tolist() + tokens[:place]
        # Tensors of their own: a part of a longer one has other strides, for which a step were compiled anew.
        read_1T, last_11 = (torch.tensor([part], device=device) for part in (sequence[:-1], sequence[-1:]))
        works = [
            partial(target.greedy, prompt_1T, 1),
            partial(drafter.begin, prompt_1T),
            partial(_token, target, last_11),
            partial(decoder.round, sequence, most_probable, verify_greedy),
        ]
        for turn in range(NUM_TURNS):
            prompt, drafters_prompt = (timed(work, device) for work in works[:2])
            target.prefill(read_1T)
            drafter.begin(read_1T)
            seconds = {}
            for index in (2, 3)[:: -1 if turn % 2 else 1]:
                for _ in range(WARM):  # the last is as in the midst of decoding: what it needs is in the caches
                    seconds[index] = timed(works[index], device)
                    target.rewind(len(sequence) - 1)
            costs.append(np.array([seconds[3], prompt, drafters_prompt]) / seconds[2])
    return np.array(costs).T


def _token(target: StaticDecoder, last_11: torch.Tensor) -> None:
    """What a token costs without drafts."""
    target.step(last_11).argmax(-1)
