"""What is wrong is published as incorrect, with the check that found it and without a speed; what is sound is not.

Every fault goes the way of a row, from a checkpoint through `measure`. The checkpoint has random weights and a head
that makes its predictions as uncertain as a trained model's (2.2 nats a token). Seeds are fixed: the probabilities that
docstrings state are over the draw of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from transformers import PreTrainedModel

from evals.inference.ceilings import Ceilings
from evals.inference.job import Job
from evals.inference.measure import measure
from evals.inference.techniques import CONTESTS, cache, precision, speculation
from evals.inference.techniques.parallel import parallel
from models.decoding.parallel import tensor
from models.decoding.parallel.decode import Decoded, decode
from models.decoding.prefix import PrefixTree, States
from models.decoding.quantised import Kind, quantise
from models.decoding.speculative import Draft, Sampled, Speculated, SpeculativeDecoder, Verify, verify_greedy
from models.decoding.static import Emit, StaticDecoder, unheard

pytestmark = pytest.mark.usefixtures("one_thread", "eager")
TIMED = {"ratio", "ci95", "seconds", "tokens_per_second", "roofline_share", "first_call_seconds", "foreseen_ratio"}
TIMED |= {"seconds_to_first_token", "seconds_per_token", "load"}

Rows = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory, save, ceilings: Ceilings) -> Rows:
    """The row of a technique; keywords change the job."""
    target, drafter = (save(width, width, tmp_path_factory.mktemp(f"w{width}"), head=0.3) for width in (32, 16))
    text = "the quick brown fox jumps over the lazy dog. " * 40
    job = Job("kv-cache", target, drafter, text, 32, 12, batch=2, num_pairs=1, device="cpu")
    return lambda technique, **changes: measure(replace(job, technique=technique, **changes), ceilings)


def assert_sound(row: dict[str, Any]) -> None:
    assert row["status"] == "ok", row["reason"]
    assert row["ratio"] > 0


def assert_caught(row: dict[str, Any], kind: str) -> None:
    assert row["status"] == "incorrect"
    assert row["check"]["kind"] == kind
    assert not row["check"]["passed"]
    assert row["reason"].startswith(kind)
    assert not row.keys() & TIMED


def test_a_verifier_that_accepts_a_wrong_token_in_a_hundred(row: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """480 tokens, nearly all after a refusal (this drafter knows nothing of its target): caught with probability
    1 - .99^450 = 98.9%; one wrong token is enough, token-exact has no alpha."""  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    seen = {"refused": 0, "let through": 0}

    def lenient(logits_QV: torch.Tensor, draft: Draft) -> tuple[int, int]:
        num_accepted, token = verify_greedy(logits_QV, draft)
        if num_accepted == len(draft.tokens):
            return num_accepted, token
        seen["refused"] += 1
        if float(torch.rand((), generator=generator)) >= 0.01:
            return num_accepted, token
        seen["let through"] += 1
        return num_accepted + 1, int(logits_QV[num_accepted + 1].argmax())

    class Lenient(SpeculativeDecoder):
        def greedy(
            self, prompt_1T: torch.Tensor, num_tokens: int, emit: Emit = unheard, verify: Verify = lenient
        ) -> Speculated:
            return super().greedy(prompt_1T, num_tokens, emit, verify)

    assert_sound(row("speculative"))
    monkeypatch.setattr(speculation, "SpeculativeDecoder", Lenient)
    assert_caught(row("speculative", prompt_tokens=8, new_tokens=80, batch=6), "token-exact")
    assert seen["refused"] >= 450
    assert seen["let through"] > 0


def test_what_goes_wrong_after_the_first_call(row: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows, in the call that is checked and in the one turn: the last token of the turn's is another."""
    calls = []

    class Tired(SpeculativeDecoder):
        def greedy(self, prompt_1T: torch.Tensor, num_tokens: int, emit: Emit = unheard) -> Speculated:
            told = super().greedy(prompt_1T, num_tokens, emit)
            calls.append(told)
            if len(calls) > 2:
                told.tokens[-1] = (told.tokens[-1] + 1) % 260
            return told

    monkeypatch.setattr(speculation, "SpeculativeDecoder", Tired)
    caught = row("speculative")
    assert_caught(caught, "repeated")
    assert [check["passed"] for check in caught["checks"]] == [True, False]


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("which", ["a row's", "a layer's"])
def test_a_quantiser_with_one_scale_doubled(
    row: Rows, monkeypatch: pytest.MonkeyPatch, which: str, random: bool
) -> None:
    """The largest scale of a projection (one of 32, of 0.2% of the weights), or all of it: divergence of 0.1 and of
    0.7 nats a token, the limit is 0.01. Of random weights over 96 tokens, of others over 552."""  # fmt: skip

    def faulty(model: PreTrainedModel, kind: Kind) -> PreTrainedModel:
        low: Any = quantise(model, kind)
        scale = low.model.layers[0].mlp.down_proj.weight.scale
        if which == "a row's":
            scale = scale[scale.flatten().argmax()]
        scale.mul_(2)
        return low

    assert_sound(row("int8-weight-only", random=random))
    monkeypatch.setattr(precision, "quantise", faulty)
    caught = row("int8-weight-only", random=random)
    assert_caught(caught, "kl")
    assert caught["check"]["value"] > 5 * caught["check"]["limit"]


def test_a_prefix_cache_that_returns_a_neighbours_entry(row: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four prompts get the states of the one before, which differ in the last tokens; token-exact."""

    class Neighbours(PrefixTree):
        last: tuple[int, ...] = ()

        def match(self, tokens: Sequence[int]) -> tuple[int, States]:
            return super().match(self.last[: len(tokens)] or tokens)

        def insert(self, tokens: Sequence[int], states: States) -> None:
            self.last = tuple(tokens)
            super().insert(tokens, states)

    shape = {"prompt_tokens": 90, "batch": 4}  # of which ten are a prompt's own
    assert_sound(row("prefix-cache", **shape))
    monkeypatch.setattr(cache, "PrefixTree", Neighbours)
    assert_caught(row("prefix-cache", **shape), "token-exact")


def test_a_sampler_whose_temperature_is_off_by_a_twentieth(row: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """51,200 draws at eight places, alpha .001; that more than 99 of 100 seeds are caught is shown apart."""
    assert_sound(row("speculative-sampling"))
    monkeypatch.setattr(speculation, "Sampled", lambda heat, generator: Sampled(1.05 * heat, generator))
    assert_caught(row("speculative-sampling"), "chi-square")


def test_a_sampler_that_takes_back_a_token_too_few(row: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a refusal the refused token's state stays where the next is to lie; the draws are sound, no alpha."""
    rewind = StaticDecoder.rewind

    def short(decoder: StaticDecoder, length: int) -> None:
        rewind(decoder, min(decoder.length, length + (length > 0)))

    monkeypatch.setattr(StaticDecoder, "rewind", short)
    assert_caught(row("speculative-sampling"), "logits")


def discarding(*arguments: Any) -> Decoded:
    """The last rank takes part in every sum, so that nobody waits, and goes on with its own part of it."""

    def discard(linear: torch.nn.Module, inputs: tuple[torch.Tensor, ...], partial: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(partial.clone())
        return partial

    if dist.get_rank() == 1:
        tensor.complete = discard
    return decode(*arguments)


def absent(*arguments: Any) -> Decoded:
    """The last rank takes part in no sum."""
    if dist.get_rank() == 1:
        tensor.complete = lambda linear, inputs, partial: partial
    return decode(*arguments)


def tired(*arguments: Any) -> Decoded:
    """The last rank decodes right until it is timed."""
    greedy, calls = StaticDecoder.greedy, []

    def another(decoder: StaticDecoder, *asked: Any) -> torch.Tensor:
        calls.append(asked)
        tokens_BM = greedy(decoder, *asked)
        return tokens_BM if len(calls) == 1 else (tokens_BM + 1) % 260

    if dist.get_rank() == 1:
        StaticDecoder.greedy = another
    return decode(*arguments)


def test_a_rank_that_goes_wrong_after_the_first_call(row: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTESTS, "tensor-parallel-2", parallel("tensor", 2, tired))
    caught = row("tensor-parallel-2")
    assert_caught(caught, "repeated")
    assert [check["kind"] for check in caught["checks"] if not check["passed"]] == ["repeated"]


def test_a_tensor_parallel_rank_that_skips_its_reduction(row: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the logits where it does not use the sum, by the time limit where it does not give to it."""
    assert_sound(row("tensor-parallel-2"))
    monkeypatch.setitem(CONTESTS, "tensor-parallel-2", parallel("tensor", 2, discarding))
    caught = row("tensor-parallel-2")
    assert_caught(caught, "logits")
    assert [check["kind"] for check in caught["checks"] if not check["passed"]] == ["logits", "token-exact"]
    monkeypatch.setitem(CONTESTS, "tensor-parallel-2", parallel("tensor", 2, absent, limit_seconds=6))
    assert_caught(row("tensor-parallel-2"), "ranks")
