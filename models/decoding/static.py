"""Decoding over a static cache: buffers of one size, so that a step of so many tokens is compiled once.

Letters: B batch, T tokens of the prompt, Q tokens of a step, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, StaticCache
from transformers.cache_utils import StaticLayer

Emit = Callable[[int], None]  # hears of tokens as they are there: how many more of each row
Choice = Callable[[torch.Tensor], tuple[int, Any]]  # logits (V) to a token, and what else the choice tells


def unheard(num_tokens: int) -> None:
    """Nobody listens."""


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
        """Begins anew with a prompt; the logits of its last token (B, 1, V).

        Raises ValueError where it fills the window.
        """
        self.rewind(0)
        return self._read(prompt_BT)

    @torch.inference_mode()
    def resume(self, states: Sequence[tuple[torch.Tensor, torch.Tensor]], prompt_1T: torch.Tensor) -> torch.Tensor:
        """`prefill`, where keys and values of the prompt's first tokens are known: a pair a layer, (1, H, T, D)."""
        self.rewind(0)
        found = states[0][0].shape[2]
        assert found < prompt_1T.shape[1], "the last token's logits are to be computed"
        for layer, (keys, values) in zip(self._layers(), states, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(keys, values)
            assert layer.keys is not None
            assert layer.values is not None
            layer.keys[:, :, :found], layer.values[:, :, :found] = keys, values
            layer.cumulative_length.fill_(found)
        self.length = found
        return self._read(prompt_1T[:, found:])

    def _read(self, tokens_BQ: torch.Tensor) -> torch.Tensor:
        """A prompt, or what is left of it; not compiled, for every length were another step to compile."""
        self.length += tokens_BQ.shape[1]
        if self.length >= self.window:
            raise ValueError(
                f"a prompt of {self.length} tokens leaves no room in a window of {self.window}: shorten it"
            )
        return self.model(input_ids=tokens_BQ, past_key_values=self.cache, use_cache=True, logits_to_keep=1).logits

    def states(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of the tokens so far, a pair a layer (B, H, T, D): views, which the next step overwrites."""
        found = []
        for layer in self._layers():
            assert layer.keys is not None
            assert layer.values is not None
            found.append((layer.keys[:, :, : self.length], layer.values[:, :, : self.length]))
        return found

    def step(self, tokens_BQ: torch.Tensor) -> torch.Tensor:
        """Appends Q tokens to each row; returns their logits (B, Q, V)."""
        self.length += tokens_BQ.shape[1]
        assert self.length <= self.window, f"{self.length} tokens in a window of {self.window}"
        return self._step(self.model, self.cache, tokens_BQ)

    def rewind(self, length: int) -> None:
        """Takes back all tokens after the first `length`."""
        assert length <= self.length, f"cannot rewind {self.length} tokens to {length}"
        self.length = length
        for layer in self._layers():
            layer.cumulative_length.fill_(length)

    @property
    def cached_bytes(self) -> int:
        """Bytes of the cache, none before the first prompt."""
        return sum(part.nbytes for layer in self._layers() for part in (layer.keys, layer.values) if part is not None)

    def _layers(self) -> list[StaticLayer]:
        layers = [layer for layer in self.cache.layers if isinstance(layer, StaticLayer)]
        assert len(layers) == len(self.cache.layers)
        return layers

    @torch.inference_mode()
    def greedy(self, prompt_BT: torch.Tensor, num_tokens: int, emit: Emit = unheard) -> torch.Tensor:
        """The most probable continuation, token by token (B, num_tokens)."""
        return self.follow(self.prefill(prompt_BT), num_tokens, emit)

    @torch.inference_mode()
    def follow(self, logits_B1V: torch.Tensor, num_tokens: int, emit: Emit = unheard) -> torch.Tensor:
        """`greedy` after a prompt that has been read, from its last logits on."""
        tokens = [logits_B1V.argmax(-1)]
        emit(1)
        while len(tokens) < num_tokens:
            tokens.append(self.step(tokens[-1]).argmax(-1))
            emit(1)
        return torch.cat(tokens, dim=1)

    @torch.inference_mode()
    def sample(self, prompt_1T: torch.Tensor, num_tokens: int, choose: Choice, emit: Emit = unheard) -> list[int]:
        """A continuation of one prompt, each token as `choose` has it."""
        tokens = [choose(self.prefill(prompt_1T)[0, -1])[0]]
        emit(1)
        while len(tokens) < num_tokens:
            tokens.append(choose(self.step(torch.tensor([tokens[-1:]], device=prompt_1T.device))[0, -1])[0])
            emit(1)
        return tokens
