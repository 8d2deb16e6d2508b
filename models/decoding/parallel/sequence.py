"""Sequence parallelism (Liu et al. 2023, Ring Attention): each rank reads a block of the prompt.

Blocks of keys and values go round the ranks; what a query finds in each is merged by the log-sum-exp of its scores
(Milakov and Gimelshein 2018). Decoding leaves keys and values where they are: each rank attends to its own, and the
shares are gathered. B rows, H query heads, K key-value heads, Q queries, S keys, D head width, T tokens, V vocabulary.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
import torch.distributed as dist
from transformers import AttentionInterface, PreTrainedModel

from models.decoding.parallel.traffic import split

RING_ATTENTION = "ring"


@dataclass(frozen=True)
class Share:
    """Attention over some of the keys, and the log-sum-exp of their scores."""

    out_BHQD: torch.Tensor
    lse_BHQ: torch.Tensor

    def merge(self, other: "Share") -> "Share":
        """Attention over the keys of both."""
        lse_BHQ = torch.logaddexp(self.lse_BHQ, other.lse_BHQ)
        ours, theirs = ((one.lse_BHQ - lse_BHQ).exp()[..., None] * one.out_BHQD for one in (self, other))
        return Share(ours + theirs, lse_BHQ)


def attend(
    query_BHQD: torch.Tensor, key_BKSD: torch.Tensor, value_BKSD: torch.Tensor, scaling: float, *, causal: bool
) -> Share:
    """Attention to these keys alone; causal: queries and keys are of the same tokens, and none looks ahead."""
    groups = query_BHQD.shape[1] // key_BKSD.shape[1]
    key_BHSD, value_BHSD = (one.repeat_interleave(groups, dim=1) for one in (key_BKSD, value_BKSD))
    scores_BHQS = query_BHQD @ key_BHSD.transpose(2, 3) * scaling
    if causal:
        ahead_QS = torch.ones(scores_BHQS.shape[2:], dtype=torch.bool, device=scores_BHQS.device).triu(1)
        scores_BHQS = scores_BHQS.masked_fill(ahead_QS, float("-inf"))
    lse_BHQ = scores_BHQS.logsumexp(-1)
    return Share((scores_BHQS - lse_BHQ[..., None]).exp() @ value_BHSD, lse_BHQ)


class Ring:
    """This rank's keys and values, by layer, and how attention reaches those of the others."""

    def __init__(self, num_prompt: int) -> None:
        self.rank, self.num_ranks = dist.get_rank(), dist.get_world_size()
        self.lengths = split(num_prompt, self.num_ranks)
        self.states: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.num_decoded = 0

    def prompt(
        self, layer: int, query_BHQD: torch.Tensor, key_BKQD: torch.Tensor, value_BKQD: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Attention of this rank's block to itself and to all before it."""
        self.states[layer] = key_BKQD, value_BKQD
        share = attend(query_BHQD, key_BKQD, value_BKQD, scaling, causal=True)
        block = torch.stack([key_BKQD, value_BKQD])
        for step in range(1, self.num_ranks):
            owner = (self.rank - step) % self.num_ranks
            incoming = block.new_empty(*block.shape[:3], self.lengths[owner], block.shape[4])
            sent = dist.isend(block, (self.rank + 1) % self.num_ranks)
            received = dist.irecv(incoming, (self.rank - 1) % self.num_ranks)
            assert sent is not None
            assert received is not None
            received.wait()
            sent.wait()
            block = incoming
            if owner < self.rank:  # the others lie ahead of every query here
                share = share.merge(attend(query_BHQD, block[0], block[1], scaling, causal=False))
        return share.out_BHQD

    def step(
        self, layer: int, query_BH1D: torch.Tensor, key_BK1D: torch.Tensor, value_BK1D: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Attention of one token, the same on every rank, to all before it and itself; ranks keep tokens in turn."""
        if self.num_decoded % self.num_ranks == self.rank:
            keys, values = self.states[layer]
            self.states[layer] = torch.cat([keys, key_BK1D], dim=2), torch.cat([values, value_BK1D], dim=2)
        own = attend(query_BH1D, *self.states[layer], scaling, causal=False)
        packed = torch.cat([own.out_BHQD, own.lse_BHQ[..., None]], dim=-1)
        gathered = [torch.empty_like(packed) for _ in range(self.num_ranks)]
        dist.all_gather(gathered, packed)
        return reduce(Share.merge, [Share(one[..., :-1], one[..., -1]) for one in gathered]).out_BHQD


def ring_attention(
    module: torch.nn.Module,
    query_BHQD: torch.Tensor,
    key_BKQD: torch.Tensor,
    value_BKQD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    *,
    ring: Ring,
    decoding: bool,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over all ranks, as transformers calls it: out is (B, Q, H, D)."""
    assert attention_mask is None
    layer = module.layer_idx
    assert isinstance(layer, int)
    attention = ring.step if decoding else ring.prompt
    return attention(layer, query_BHQD, key_BKQD, value_BKQD, scaling).transpose(1, 2).contiguous(), None


AttentionInterface.register(RING_ATTENTION, ring_attention)


def check_prompt(model: PreTrainedModel, num_ranks: int, num_prompt: int) -> None:
    """Raises ValueError where a rank would have no token of a prompt, and for attention that cannot be exchanged."""
    if not model._supports_attention_backend:
        raise ValueError(f"sequence parallel: {type(model).__name__}'s attention cannot be exchanged: use pipeline")
    if num_prompt < num_ranks:
        raise ValueError(f"a prompt of {num_prompt} tokens over {num_ranks} ranks: use {num_prompt} ranks or fewer")


class SequenceDecoder:
    """A causal language model that is whole on every rank, and a sequence that is not. Every rank makes the same calls.

    The model's attention is exchanged for the ring's.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        model.set_attn_implementation(RING_ATTENTION)
        self.model = model

    def prefill(self, prompt_BT: torch.Tensor) -> torch.Tensor:
        """Begins anew with a prompt; the logits of this rank's block of it (B, Q, V), blocks in the order of ranks.

        Raises ValueError where `check_prompt` does.
        """
        check_prompt(self.model, dist.get_world_size(), prompt_BT.shape[1])
        self.ring = Ring(prompt_BT.shape[1])
        start = sum(self.ring.lengths[: self.ring.rank])
        stop = start + self.ring.lengths[self.ring.rank]
        return self._forward(prompt_BT[:, start:stop], start, decoding=False)

    def step(self, token_B1: torch.Tensor) -> torch.Tensor:
        """Appends a token to each row; returns its logits (B, 1, V), on every rank."""
        logits_B1V = self._forward(token_B1, sum(self.ring.lengths) + self.ring.num_decoded, decoding=True)
        self.ring.num_decoded += 1
        return logits_B1V

    @torch.inference_mode()
    def greedy(self, prompt_BT: torch.Tensor, num_tokens: int) -> torch.Tensor:
        """The most probable continuation (B, num_tokens), on every rank."""
        token_B1 = self.prefill(prompt_BT)[:, -1:].argmax(-1)
        dist.broadcast(token_B1, self.ring.num_ranks - 1)
        tokens = [token_B1]
        while len(tokens) < num_tokens:
            tokens.append(self.step(tokens[-1]).argmax(-1))
        return torch.cat(tokens, dim=1)

    def _forward(self, tokens_BQ: torch.Tensor, start: int, *, decoding: bool) -> torch.Tensor:
        positions_1Q = torch.arange(start, start + tokens_BQ.shape[1], device=tokens_BQ.device)[None]
        return self.model(
            input_ids=tokens_BQ, position_ids=positions_1Q, use_cache=False, ring=self.ring, decoding=decoding
        ).logits
