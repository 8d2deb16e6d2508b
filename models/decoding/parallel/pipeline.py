"""Pipeline parallelism (Huang et al. 2019, GPipe): each rank has consecutive layers and sends hidden states on.

Rows are split into microbatches, so that a rank works on one while the next rank works on the one before.
B rows of a microbatch, Q tokens of a step, W width, V vocabulary, T tokens of the prompt.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from models.decoding.parallel.traffic import split


def check_layers(model: PreTrainedModel, num_ranks: int) -> None:
    """Raises ValueError where a rank would have no layer, or were alone, or the layers are not in model.layers."""
    body, num_layers = getattr(model, "model", None), model.config.num_hidden_layers
    if not isinstance(getattr(body, "layers", None), nn.ModuleList):
        raise ValueError(f"pipeline: {type(model).__name__} keeps its layers elsewhere than in model.layers")
    if not 2 <= num_ranks <= num_layers:
        raise ValueError(f"pipeline over {num_ranks} ranks of {num_layers} layers: use 2 to {num_layers} ranks")


def keep_stage(model: PreTrainedModel, rank: int, num_ranks: int) -> None:
    """Leaves the model this rank's layers, the first the embedding and the last norm and head; in place.

    Raises ValueError where `check_layers` does.
    """
    check_layers(model, num_ranks)
    num_layers = model.config.num_hidden_layers
    body: Any = model.model
    shares = split(num_layers, num_ranks)
    start = sum(shares[:rank])
    body.layers = body.layers[start : start + shares[rank]]
    for index, layer in enumerate(body.layers):
        layer.self_attn.layer_idx = index  # its place in this rank's cache
    model.config.num_hidden_layers = shares[rank]
    if rank > 0:
        body.embed_tokens = nn.Identity()
        body.embedding_multiplier = 1.0  # hidden states come in where embeddings did
    if rank < num_ranks - 1:
        body.norm, model.lm_head = nn.Identity(), nn.Identity()


class PipelineDecoder:
    """A causal language model over all ranks, of which it keeps this rank's stage.

    Every rank makes the same calls. Raises ValueError where the layers do not suffice, and for fewer than one
    microbatch.
    """

    def __init__(self, model: PreTrainedModel, num_microbatches: int = 1) -> None:
        if num_microbatches < 1:
            raise ValueError(f"num_microbatches {num_microbatches}: give at least 1")
        self.rank, self.last = dist.get_rank(), dist.get_world_size() - 1
        keep_stage(model, self.rank, self.last + 1)
        self.model, self.num_microbatches = model, num_microbatches
        self._sent: list[tuple[dist.Work | None, torch.Tensor]] = []

    @torch.inference_mode()
    def logits(self, prompt_BT: torch.Tensor) -> torch.Tensor | None:
        """The prompt's logits (B, T, V) on the last rank, None on the others."""
        out = [self._step(rows_BT, None) for rows_BT in prompt_BT.chunk(self.num_microbatches)]
        self._wait()
        return torch.cat([one for one in out if one is not None]) if self.rank == self.last else None

    @torch.inference_mode()
    def greedy(self, prompt_BT: torch.Tensor, num_tokens: int) -> torch.Tensor:
        """The most probable continuation (B, num_tokens), on every rank."""
        batches = list(prompt_BT.chunk(self.num_microbatches))
        caches = [DynamicCache(config=self.model.config) for _ in batches]
        steps = []
        for step in range(num_tokens):
            for index, cache in enumerate(caches):
                if step > 0 and self.rank == 0:
                    dist.recv(batches[index], self.last)
                logits_BQV = self._step(batches[index], cache, logits_to_keep=1)
                token_B1 = batches[index].new_zeros(len(batches[index]), 1)
                batches[index] = token_B1 if logits_BQV is None else logits_BQV.argmax(-1)
                if self.rank == self.last and step < num_tokens - 1:
                    self._send(batches[index], 0)
            self._wait()
            steps.append(torch.cat(batches))
        tokens_BT = torch.cat(steps, dim=1)
        dist.broadcast(tokens_BT, self.last)
        return tokens_BT

    def _step(
        self, tokens_BQ: torch.Tensor, cache: DynamicCache | None, logits_to_keep: int = 0
    ) -> torch.Tensor | None:
        """This rank's part of a forward: takes hidden states from the rank before and sends them on, or returns logits.

        Only the shape of the tokens matters but on the first rank.
        """
        if self.rank == 0:
            inputs = {"input_ids": tokens_BQ}
        else:
            hidden_BQW = torch.empty(*tokens_BQ.shape, self.model.config.hidden_size, dtype=self.model.dtype)
            dist.recv(hidden_BQW, self.rank - 1)
            inputs = {"inputs_embeds": hidden_BQW}
        options = {"past_key_values": cache, "use_cache": cache is not None}
        if self.rank == self.last:
            return self.model(**inputs, **options, logits_to_keep=logits_to_keep).logits
        body: Any = self.model.model
        self._send(body(**inputs, **options).last_hidden_state, self.rank + 1)
        return None

    def _send(self, tensor: torch.Tensor, to: int) -> None:
        """Without waiting: the first rank sends on while the last sends to it, and neither receives meanwhile."""
        self._sent.append((dist.isend(tensor, to), tensor))

    def _wait(self) -> None:
        for work, _ in self._sent:
            assert work is not None
            work.wait()
        self._sent.clear()
