"""Rows at different places of their sequences, decoded together; requests join and leave between steps.

Every row ends at the last column of the cache; what lies before its first token is masked. B stands for
rows, T for columns, V for the vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


@dataclass
class Row:
    """A request in the batch: its key, how many tokens it has come to, and how many it wants."""

    key: int
    wanted: int
    tokens: list[int]

    @property
    def done(self) -> bool:
        """Whether it has all its tokens."""
        return len(self.tokens) >= self.wanted


class Batch:
    """Greedy decoding of at most `max_rows` requests at a time with an untouched model.

    Raises ValueError for a model that does not keep the keys and values of all tokens.
    """

    def __init__(self, model: PreTrainedModel, max_rows: int) -> None:
        if max_rows < 1:
            raise ValueError(f"max_rows {max_rows}: give at least 1")
        self.model, self.max_rows = model, max_rows
        self.rows: list[Row] = []
        self.cache = DynamicCache(config=model.config)
        if any(type(layer) is not DynamicLayer for layer in self.cache.layers):
            raise ValueError(f"batching: {type(model).__name__} does not keep the states of all tokens")
        self.mask_BT = torch.zeros(0, 0, dtype=torch.long, device=model.device)

    @property
    def num_free(self) -> int:
        """How many requests may join now."""
        return self.max_rows - len(self.rows)

    @torch.inference_mode()
    def join(self, requests: list[tuple[int, list[int], int]]) -> list[Row]:
        """Computes the prompts of requests (key, prompt, tokens wanted) together; returns their rows, a token each.

        Those that wanted one token are done and do not stay.
        """
        assert 0 < len(requests) <= self.num_free
        longest = max(len(prompt) for _, prompt, _ in requests)
        padded = [[0] * (longest - len(prompt)) + prompt for _, prompt, _ in requests]
        mask_BT = torch.tensor(
            [[0] * (longest - len(p)) + [1] * len(p) for _, p, _ in requests], device=self.model.device
        )
        cache = DynamicCache(config=self.model.config)
        logits_BTV = self.model(
            input_ids=torch.tensor(padded, device=self.model.device),
            attention_mask=mask_BT,
            position_ids=(mask_BT.cumsum(1) - 1).clamp_min(0),
            past_key_values=cache,
            use_cache=True,
        ).logits
        first_B = logits_BTV[:, -1].argmax(-1).tolist()
        joined = [Row(key, wanted, [token]) for (key, _, wanted), token in zip(requests, first_B, strict=True)]
        self._append(cache, mask_BT)
        self.rows += joined
        self._release()
        return joined

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One token more for every row; returns the rows, of which those that are done have left."""
        stepped = self.rows
        device = self.model.device
        position_B1 = self.mask_BT.sum(1, keepdim=True)
        self.mask_BT = torch.cat([self.mask_BT, torch.ones_like(position_B1)], dim=1)
        logits_BTV = self.model(
            input_ids=torch.tensor([[row.tokens[-1]] for row in stepped], device=device),
            attention_mask=self.mask_BT,
            position_ids=position_B1,
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        for row, token in zip(stepped, logits_BTV[:, -1].argmax(-1).tolist(), strict=True):
            row.tokens.append(token)
        self._release()
        return stepped

    def _append(self, cache: DynamicCache, mask_BT: torch.Tensor) -> None:
        """Puts the new rows below the old, the shorter of the two caches filled up on the left."""
        if not self.rows:
            self.cache, self.mask_BT = cache, mask_BT
            return
        columns = max(self.mask_BT.shape[1], mask_BT.shape[1])
        for ours, theirs in zip(_layers(self.cache), _layers(cache), strict=True):
            ours.keys = torch.cat([_fill(ours.keys, columns), _fill(theirs.keys, columns)])
            ours.values = torch.cat([_fill(ours.values, columns), _fill(theirs.values, columns)])
        masks = [torch.nn.functional.pad(mask, (columns - mask.shape[1], 0)) for mask in (self.mask_BT, mask_BT)]
        self.mask_BT = torch.cat(masks)

    def _release(self) -> None:
        """Lets rows go that are done, and columns that no row needs any more."""
        kept = [index for index, row in enumerate(self.rows) if not row.done]
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in kept]
        if not kept:
            self.cache = DynamicCache(config=self.model.config)
            self.mask_BT = self.mask_BT[:0, :0]
            return
        index_B = torch.tensor(kept, device=self.model.device)
        self.cache.batch_select_indices(index_B)
        mask_BT = self.mask_BT[index_B]
        unused = int(mask_BT.any(0).long().argmax())
        for layer in _layers(self.cache):
            layer.keys, layer.values = layer.keys[:, :, unused:], layer.values[:, :, unused:]
        self.mask_BT = mask_BT[:, unused:]


def _layers(cache: DynamicCache) -> list[Any]:
    """Its layers, once they hold states: the constructor refuses other kinds than DynamicLayer."""
    return list(cache.layers)


def _fill(states_BHTD: torch.Tensor, columns: int) -> torch.Tensor:
    return torch.nn.functional.pad(states_BHTD, (0, 0, columns - states_BHTD.shape[2], 0))
