"""Acceptance: exact on distributions known by hand, blind to batching and padding, and what speculation really does."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from evals.inference import acceptance as module
from evals.inference.acceptance import Acceptance, acceptance, acceptance_length, continue_greedily
from models import decoder
from models.decoding.speculative import Draft, ModelDrafter, Sampled, SpeculativeDecoder, VerifySampled
from models.decoding.static import StaticDecoder
from models.ladder import Shape

V, WINDOW = 260, 24


def model_of(seed: int, width: int = 16, sharpness: float = 1.0) -> PreTrainedModel:
    """Random weights with a head that is not zero: some tokens are much likelier than others."""
    model = decoder.build(Shape(width), V, WINDOW, seed)
    generator = torch.Generator().manual_seed(100 + seed)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, sharpness, generator=generator)
    return model.eval()


@torch.no_grad()
def constant(probabilities: dict[int, float]) -> PreTrainedModel:
    """A model that gives these tokens these probabilities whatever it reads, and all others none."""
    model = decoder.build(Shape(4), V, WINDOW, 0).eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.zero_()
    model.model.embed_tokens.weight.fill_(1.0)
    state = model.model(input_ids=torch.tensor([[7]])).last_hidden_state[0, 0]
    logits = torch.full((V,), -60.0)
    for token, probability in probabilities.items():
        logits[token] = math.log(probability)
    model.lm_head.weight.copy_(logits[:, None] * state * model.config.logits_scaling / state.dot(state))
    return model


@pytest.fixture(scope="module")
def target() -> PreTrainedModel:
    return model_of(0)


@pytest.fixture(scope="module")
def drafter(target: PreTrainedModel) -> PreTrainedModel:
    """The target with its head disturbed: it often agrees."""
    near = model_of(0)
    with torch.no_grad():
        near.lm_head.weight += 0.4 * torch.randn(V, 16, generator=torch.Generator().manual_seed(1))
    return near


def prompts(lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(4, V, length).tolist() for length in lengths]


# Known by hand


@pytest.mark.parametrize(
    ("p", "q", "greedy", "sampling"),
    [
        ({5: 0.7, 9: 0.3}, {5: 0.9, 9: 0.1}, 1.0, 0.8),
        ({5: 0.7, 9: 0.3}, {5: 0.4, 9: 0.6}, 0.0, 0.7),
        ({5: 0.6, 9: 0.4}, {5: 0.5, 8: 0.5}, 1.0, 0.5),
        ({5: 0.6, 9: 0.4}, {7: 0.5, 8: 0.5}, 0.0, 0.0),
    ],
)
def test_two_distributions_overlap_by_the_sum_of_minima(
    p: dict[int, float], q: dict[int, float], greedy: float, sampling: float
) -> None:
    told = continue_greedily(constant(p), prompts([3, 5]), 6)
    assert [one.tokens for one in told] == [[5] * 6] * 2
    found = acceptance(constant(p), constant(q), told)
    assert found.tokens.tolist() == [6, 6]
    assert found.rate("greedy") == greedy
    assert found.rate("sampling") == pytest.approx(sampling, abs=1e-6)
    assert found.interval("sampling") == pytest.approx((sampling, sampling), abs=1e-6)


def test_the_target_accepts_all_of_itself(target: PreTrainedModel) -> None:
    found = acceptance(target, target, continue_greedily(target, prompts([2, 7, 7, 12]), 9))
    for kind in ("greedy", "sampling"):
        assert found.rate(kind) == pytest.approx(1, abs=1e-12)
        assert found.interval(kind) == pytest.approx((1, 1), abs=1e-12)
        assert found.length(kind, 4) == pytest.approx(5)


@pytest.mark.parametrize(("rate", "num_draft"), [(0.0, 3), (0.5, 1), (0.8, 4), (0.999, 7)])
def test_the_length_is_leviathans(rate: float, num_draft: int) -> None:
    assert acceptance_length(rate, num_draft) == pytest.approx((1 - rate ** (num_draft + 1)) / (1 - rate))
    assert acceptance_length(1.0, num_draft) == num_draft + 1


# Against other code


def test_continuations_are_the_targets_one_by_one(target: PreTrainedModel) -> None:
    asked = prompts([3, 9, 3, 5, 9])
    told = continue_greedily(target, asked, 8)
    single = StaticDecoder(target, WINDOW, compile=False)
    for prompt, one in zip(asked, told, strict=True):
        assert one.prompt == prompt
        assert one.tokens == single.greedy(torch.tensor([prompt]), 8)[0].tolist()


def test_continuations_end_with_the_end_token(target: PreTrainedModel) -> None:
    asked = prompts([3, 9, 3, 5, 9])
    whole = continue_greedily(target, asked, 8)
    end = whole[1].tokens[3]
    for one, free in zip(continue_greedily(target, asked, 8, end_token=end), whole, strict=True):
        stop = free.tokens.index(end) + 1 if end in free.tokens else 8
        assert one.tokens == free.tokens[:stop]


@torch.no_grad()
@pytest.mark.parametrize("logits_per_batch", [1, 1 << 24])
def test_batches_and_padding_change_nothing(
    target: PreTrainedModel, drafter: PreTrainedModel, logits_per_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOGITS_PER_BATCH", logits_per_batch)
    whole = continue_greedily(target, prompts([2, 11, 5, 5, 8]), 7)
    told = continue_greedily(target, prompts([2, 11, 5, 5, 8]), 7, end_token=whole[0].tokens[2])
    found = acceptance(target, drafter, told)
    assert len(set(found.tokens.tolist())) > 1
    for place, one in enumerate(told):
        same, overlap = 0, 0.0
        for number, token in enumerate(one.tokens):  # no batch, no padding, a token at a time
            context = torch.tensor([[*one.prompt, *one.tokens[:number]]])
            p, q = (torch.softmax(model(input_ids=context).logits[0, -1].double(), -1) for model in (target, drafter))
            same += int(q.argmax()) == token
            overlap += sum(min(a, b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
        assert found.accepted["greedy"][place] == same
        assert found.accepted["sampling"][place] == pytest.approx(overlap, rel=1e-4)
    assert 0.1 < found.rate("greedy") < 0.95


@torch.no_grad()
def test_the_overlap_is_how_often_a_sampled_draft_stands(target: PreTrainedModel, drafter: PreTrainedModel) -> None:
    (one,) = told = continue_greedily(target, prompts([6]), 1)
    expected = acceptance(target, drafter, told).rate("sampling")
    p, q = (model(input_ids=torch.tensor([one.prompt])).logits[0] for model in (target, drafter))
    sampled = Sampled(1.0, torch.Generator().manual_seed(0))
    verify, num_draws, stood = VerifySampled(sampled), 3000, 0
    for _ in range(num_draws):
        token, q_V = sampled(q[-1])
        stood += verify(p[-1:].expand(2, -1), Draft([token], q_V[None]))[0]
    assert stood / num_draws == pytest.approx(expected, abs=4 * math.sqrt(0.25 / num_draws))


def test_a_better_drafter_by_this_measure_speculates_better(target: PreTrainedModel, drafter: PreTrainedModel) -> None:
    asked = prompts([4] * 6)
    told = continue_greedily(target, asked, 12)
    rates, lengths = [], []
    for candidate in (model_of(5), drafter, target):
        rates.append(acceptance(target, candidate, told).rate("greedy"))
        whole, small = (StaticDecoder(model, WINDOW + 4, compile=False) for model in (target, candidate))
        speculative = SpeculativeDecoder(whole, ModelDrafter(small), 2)
        done = [speculative.greedy(torch.tensor([prompt]), 12) for prompt in asked]
        verified = sum(one.num_verifications for one in done)
        lengths.append(1 + sum(sum(one.accepted_G) for one in done) / verified)
    assert rates == sorted(rates)
    assert lengths == sorted(lengths)
    assert rates[-1] - rates[0] > 0.5


# Intervals


@pytest.fixture
def drawn() -> Callable[[np.random.Generator, int], Acceptance]:
    """Prompts that differ in their length and in how easy they are; the rate over all is .6."""

    def draw(rng: np.random.Generator, num_prompts: int) -> Acceptance:
        tokens = rng.integers(2, 15, num_prompts)
        ease = rng.beta(3, 2, num_prompts)
        accepted = rng.binomial(tokens, ease).astype(float)
        return Acceptance(tokens, {"greedy": accepted, "sampling": accepted})

    return draw


def test_intervals_over_prompts_hold_the_truth_as_often_as_they_say(drawn: Callable[..., Acceptance]) -> None:
    rng, num_trials = np.random.default_rng(0), 200
    intervals = [drawn(rng, 100).interval("greedy", seed) for seed in range(num_trials)]
    covered = sum(low <= 0.6 <= high for low, high in intervals) / num_trials
    assert 0.9 <= covered <= 0.99  # 95% give or take 3 standard errors


# What is refused


def test_bad_input_is_refused_in_one_line(target: PreTrainedModel) -> None:
    with pytest.raises(ValueError, match="have 25 tokens, the target's window 24: ask for fewer"):
        continue_greedily(target, prompts([3, 10]), 15)
    for nothing in ([], [[]]):
        with pytest.raises(ValueError, match="give at least one of each, none empty"):
            continue_greedily(target, nothing, 4)
    with pytest.raises(ValueError, match="num_tokens 0"):
        continue_greedily(target, prompts([3]), 0)
    told = continue_greedily(target, prompts([10]), 14)
    with pytest.raises(ValueError, match="drafter's vocabulary has 300 tokens, the target's 260: use one tokenizer"):
        acceptance(target, decoder.build(Shape(8), 300, WINDOW, 0), told)
    with pytest.raises(ValueError, match="have 24 tokens, the drafter's window 16: ask for fewer"):
        acceptance(target, decoder.build(Shape(8), V, 16, 0), told)
    with pytest.raises(ValueError, match=r"rate 1\.5, num_draft 4"):
        acceptance_length(1.5, 4)
