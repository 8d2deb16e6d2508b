"""Small models whose next token depends on what came before."""

from collections.abc import Callable

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM

VOCAB = 40


def model(num_layers: int = 3, vocab_size: int = VOCAB, seed: int = 0) -> GraniteForCausalLM:
    """Random weights, wide enough apart that two logits hardly ever tie."""
    config = GraniteConfig(
        vocab_size=vocab_size, hidden_size=32, intermediate_size=64, num_hidden_layers=num_layers,
        num_attention_heads=2, max_position_embeddings=256, attention_multiplier=0.25, initializer_range=0.2,
        bos_token_id=0, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GraniteForCausalLM(config).eval()


@pytest.fixture(scope="session")
def make_model() -> Callable[..., GraniteForCausalLM]:
    return model


@pytest.fixture(scope="session")
def target() -> GraniteForCausalLM:
    return model()


@pytest.fixture(scope="session")
def prompts_BT() -> torch.Tensor:
    return torch.randint(1, VOCAB, (3, 20), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def whole() -> Callable[[GraniteForCausalLM, torch.Tensor, int], list[list[int]]]:
    """Greedy decoding that computes the whole sequence again for every token: no cache, nothing to go wrong."""

    @torch.inference_mode()
    def decode(model: GraniteForCausalLM, prompt_BT: torch.Tensor, num_tokens: int) -> list[list[int]]:
        sequence_BT = prompt_BT
        for _ in range(num_tokens):
            next_B1 = model(input_ids=sequence_BT, use_cache=False).logits[:, -1:].argmax(-1)
            sequence_BT = torch.cat([sequence_BT, next_B1], dim=1)
        return sequence_BT[:, prompt_BT.shape[1] :].tolist()

    return decode
