"""Decoding over a static cache: buffers of one size, so that a step of so many tokens is compiled once.

Letters: B batch, T tokens of the prompt, Q tokens of a step, V vocabulary.
"""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel, StaticCache
from transformers.cache_utils import StaticLayer


def _logits(model: PreTrainedModel, cache: StaticCache, tokens_BQ: torch.Tensor) -> torch.Tensor:
    return model(input_ids=tokens_BQ, past_key_values=cache, use_cache=True).logits


def _compiled() -> Callable[..., torch.Tensor]:
    """A function of its own for each decoder: one that several models share is compiled anew for each, to a limit."""

    def logits(model: PreTrainedModel, cache: StaticCache, tokens_BQ: torch.Tensor) -> torch.Tensor:
        return _logits(model, cache, tokens_BQ)

    return torch.compile(logits, dynamic=False, fullgraph=True)


class StaticDecoder:
    """An untouched causal language model with a key-value cache of `window` positions.

    A step may be taken back: what lies past the cache's length is masked, and the next step overwrites it. `compile`
    runs every step but the prompt's through torch.compile.
    """

    def __init__(self, model: PreTrainedModel, window: int, *, compile: bool = True) -> None:
        self.model, self.window = model, window
        self.cache = StaticCache(config=model.config, max_cache_len=window)
        self.length = 0
        self._step = _compiled() if compile else _logits

    def prefill(self, prompt_BT: torch.Tensor) -> torch.Tensor:
        """Begins anew with a prompt; returns its logits (B, T, V). Raises ValueError where it fills the window."""
        if prompt_BT.shape[1] >= self.window:
            raise ValueError(
                f"a prompt of {prompt_BT.shape[1]} tokens leaves no room in a window of {self.window}: shorten it"
            )
        self.rewind(0)
        self.length = prompt_BT.shape[1]
        return _logits(self.model, self.cache, prompt_BT)

    def step(self, tokens_BQ: torch.Tensor) -> torch.Tensor:
        """Appends Q tokens to each row; returns their logits (B, Q, V)."""
        self.length += tokens_BQ.shape[1]
        assert self.length <= self.window, f"{self.length} tokens in a window of {self.window}"
        return self._step(self.model, self.cache, tokens_BQ)

    def rewind(self, length: int) -> None:
        """Takes back all tokens after the first `length`."""
        assert length <= self.length, f"cannot rewind {self.length} tokens to {length}"
        self.length = length
        for layer in self.cache.layers:
            assert isinstance(layer, StaticLayer)
            layer.cumulative_length.fill_(length)

    @torch.inference_mode()
    def greedy(self, prompt_BT: torch.Tensor, num_tokens: int) -> torch.Tensor:
        """The most probable continuation, token by token (B, num_tokens)."""
        token_B1 = self.prefill(prompt_BT)[:, -1:].argmax(-1)
        tokens = [token_B1]
        while len(tokens) < num_tokens:
            token_B1 = self.step(token_B1).argmax(-1)
            tokens.append(token_B1)
        return torch.cat(tokens, dim=1)
