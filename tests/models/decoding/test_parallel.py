"""Over two and four processes: what one process computes, and the bytes that the closed forms say."""

import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing import ProcessRaisedException  # pyright: ignore[reportPrivateImportUsage]
from transformers import GraniteConfig, GraniteForCausalLM

from evals.inference.checks import token_exact
from models.decoding.parallel import tensor
from models.decoding.parallel.decode import EXPECTED_BYTES, Decoded, Way, decode
from models.decoding.parallel.launch import launch
from models.decoding.parallel.pipeline import keep_stage
from models.decoding.parallel.sequence import attend
from models.decoding.parallel.traffic import split

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_TOKENS = 14
TOLERANCE = 1e-5
WAYS: list[Way] = ["tensor", "pipeline", "sequence"]


def granite(num_key_value_heads: int) -> GraniteForCausalLM:
    """Four layers of four heads; every multiplier is one that must not be forgotten."""
    config = GraniteConfig(
        vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=num_key_value_heads, max_position_embeddings=64, initializer_range=0.2,
        embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.7, logits_scaling=0.5,
        attention_bias=True, bos_token_id=0, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GraniteForCausalLM(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By the number of key-value heads: as many as ranks."""
    paths = {heads: tmp_path_factory.mktemp("granite") / f"heads{heads}" for heads in (2, 4)}
    for heads, path in paths.items():
        granite(heads).save_pretrained(path)
    return paths


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("num_ranks", [2, 4])
def test_logits_tokens_and_bytes(checkpoint, prompts_BT, whole, num_ranks: int, way: Way) -> None:
    """19 tokens and 3 rows: blocks and microbatches are of unlike size."""
    prompts_BT = prompts_BT[:, :19]
    model = granite(num_ranks)
    with torch.inference_mode():
        reference_BTV = model(input_ids=prompts_BT, use_cache=False).logits
    reference = whole(model, prompts_BT, NUM_TOKENS)
    assert len({tuple(row) for row in reference}) == 3
    work = (way, checkpoint[num_ranks], prompts_BT, NUM_TOKENS, 2, 0)
    found = launch(num_ranks, decode, work, timeout_seconds=120)
    shares = [one.logits_BTV for one in found if one.logits_BTV is not None]
    for logits_BTV in shares if way == "tensor" else [torch.cat(shares, dim=1)]:
        torch.testing.assert_close(logits_BTV, reference_BTV, rtol=0, atol=TOLERANCE)
    for rank, one in enumerate(found):
        assert token_exact(reference, one.tokens).passed, rank
        sizes = (*prompts_BT.shape, NUM_TOKENS)
        assert one.bytes == EXPECTED_BYTES[way](model.config, rank, num_ranks, *sizes), rank


def discarding(path: Path, prompts_BT: torch.Tensor) -> Decoded:
    """The last rank takes part in every sum, and goes on with what it had."""

    def discard(linear: torch.nn.Module, inputs: tuple[torch.Tensor, ...], partial: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(partial.clone())
        return partial

    if dist.get_rank() == 1:
        tensor.complete = discard
    return decode("tensor", path, prompts_BT, NUM_TOKENS)


def test_a_rank_that_ignores_the_sum_is_caught(checkpoint, prompts_BT, whole) -> None:
    """By tokens and by logits, on every rank; the bytes are right."""
    model = granite(2)
    with torch.inference_mode():
        reference_BTV = model(input_ids=prompts_BT, use_cache=False).logits
    reference = whole(model, prompts_BT, NUM_TOKENS)
    for one in launch(2, discarding, (checkpoint[2], prompts_BT), timeout_seconds=60):
        assert not token_exact(reference, one.tokens).passed
        assert one.logits_BTV is not None
        assert (one.logits_BTV - reference_BTV).abs().max() > 1000 * TOLERANCE


def skipping(path: Path, prompts_BT: torch.Tensor) -> Decoded:
    """The last rank takes part in no sum."""
    if dist.get_rank() == 1:
        tensor.complete = lambda linear, inputs, partial: partial
    return decode("tensor", path, prompts_BT, NUM_TOKENS)


def test_a_rank_that_skips_the_sum_does_not_hang_the_others(checkpoint, prompts_BT) -> None:
    with pytest.raises((ProcessRaisedException, TimeoutError)):
        launch(2, skipping, (checkpoint[2], prompts_BT), timeout_seconds=8)


def test_a_failing_rank_raises_in_the_parent_while_others_wait() -> None:
    began = time.monotonic()
    with pytest.raises(ProcessRaisedException, match="Invalid destination rank"):
        launch(2, dist.send, (torch.ones(1), 0), timeout_seconds=60)  # rank 0 cannot send to itself; rank 1 waits
    assert time.monotonic() - began < 50


def test_a_rank_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError, match="2 ranks were not done within 2 s: raise the limit"):
        launch(2, time.sleep, (60,), timeout_seconds=2)
    with pytest.raises(ValueError, match="num_ranks 0: give at least 1"):
        launch(0, time.sleep, (0,))


def test_what_cannot_be_split_is_refused() -> None:
    model = granite(2)
    with pytest.raises(ValueError, match="num_attention_heads 4 does not divide by 3 ranks: use 2, or pipeline"):
        tensor.check_divisible(model, 3)
    with pytest.raises(ValueError, match="num_key_value_heads 2 does not divide by 4 ranks: use 2, or pipeline"):
        tensor.check_divisible(model, 4)
    with pytest.raises(ValueError, match="pipeline over 5 ranks of 4 layers: use 2 to 4 ranks"):
        keep_stage(model, 0, 5)
    assert len(tensor.planned(model)) == 7 * 4
    assert (split(19, 4), split(4, 4)) == ([5, 5, 5, 4], [1, 1, 1, 1])


def test_shares_of_the_keys_merge_to_attention_over_all() -> None:
    """Scores far apart: what is merged must not overflow."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        30 * torch.randn(2, heads, 7, 8, generator=generator, dtype=torch.float64) for heads in (4, 2, 2)
    )
    whole = attend(query, key, value, 1.0, causal=False)
    parts = [attend(query, key[:, :, cut], value[:, :, cut], 1.0, causal=False) for cut in (slice(0, 3), slice(3, 7))]
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0, enable_gqa=True)
    torch.testing.assert_close(parts[1].merge(parts[0]).out_BHQD, expected)
    torch.testing.assert_close(whole.out_BHQD, expected)
