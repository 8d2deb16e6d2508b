"""Speculative decoding gives what the target alone gives."""

import pytest
import torch

from evals.inference.checks import pooled_chi_square
from models.decoding.speculative import (
    Draft,
    ModelDrafter,
    PromptLookup,
    Sampled,
    SpeculativeDecoder,
    VerifySampled,
    early_exit,
)
from models.decoding.static import StaticDecoder

pytestmark = pytest.mark.usefixtures("one_thread")
WINDOW = 96


def static(model) -> StaticDecoder:
    return StaticDecoder(model, WINDOW, compile=False)


@pytest.fixture(params=["small", "early exit", "itself", "lookup"])
def drafter(request, target, make_model):
    if request.param == "lookup":
        return PromptLookup()
    models = {"small": make_model(1, seed=1), "early exit": early_exit(target, 2), "itself": target}
    return ModelDrafter(static(models[request.param]))


@pytest.mark.parametrize("num_draft", [1, 4])
def test_greedy_tokens_are_the_targets(target, prompts_BT, whole, drafter, num_draft: int) -> None:
    decoder = SpeculativeDecoder(static(target), drafter, num_draft)
    for row_T, expected in zip(prompts_BT, whole(target, prompts_BT, 40), strict=True):
        found = decoder.greedy(row_T[None], 40)
        assert found.tokens == expected
        assert all(a <= p for a, p in zip(found.accepted_G, found.proposed_G, strict=True))
        # All but the first token, which the prompt yields, came out of a verification; the last may overshoot.
        assert 39 <= sum(found.accepted_G) + found.num_verifications <= 39 + num_draft


def test_a_drafter_that_is_the_target_is_never_refused(target, prompts_BT) -> None:
    found = SpeculativeDecoder(static(target), ModelDrafter(static(target)), 4).greedy(prompts_BT[:1], 41)
    assert found.accepted_G == found.proposed_G == [8, 8, 8, 8]
    assert sum(found.accepted_G) + found.num_verifications == 5 * found.num_verifications


def test_lookup_proposes_what_followed_the_longest_suffix() -> None:
    def draft(sequence: list[int]) -> list[int]:
        return PromptLookup().draft(sequence, 3, lambda _: (0, None)).tokens

    assert draft([1, 2, 3, 4, 9, 2, 3]) == [4, 9, 2]
    assert draft([5, 7, 6, 7, 8, 7]) == [8, 7]  # the latest of the places
    assert draft([1, 2, 3]) == []


def test_steps_are_of_one_token_or_of_a_whole_draft(target, prompts_BT, monkeypatch) -> None:
    """Each other length were one more step to compile, though lookup proposes one to four tokens."""
    decoder = SpeculativeDecoder(static(target), PromptLookup(), 4)
    lengths, step = set(), StaticDecoder.step
    monkeypatch.setattr(StaticDecoder, "step", lambda self, tokens: lengths.add(tokens.shape[1]) or step(self, tokens))
    proposed_G = sum(torch.tensor(decoder.greedy(row_T[None], 40).proposed_G) for row_T in prompts_BT)
    assert lengths == {1, 5}
    assert proposed_G[0] > proposed_G[3]


def test_early_exit_shares_its_weights_and_leaves_the_model_alone(target, prompts_BT) -> None:
    with torch.inference_mode():
        before = target(input_ids=prompts_BT).logits
        shallow = early_exit(target, 1)
        assert not torch.equal(shallow(input_ids=prompts_BT).logits, before)
        assert torch.equal(target(input_ids=prompts_BT).logits, before)
        assert len(target.model.layers) == target.config.num_hidden_layers == 3
    assert shallow.model.layers[0] is target.model.layers[0]


@pytest.mark.parametrize("off_by", [0.0, 0.05], ids=["sound", "temperature off by a twentieth"])
@pytest.mark.parametrize("drafts", ["model", "lookup"])
def test_a_verified_token_follows_the_targets_distribution(drafts: str, off_by: float) -> None:
    """40,000 verifications of one draft, alpha .001; what a drafter proposes must leave no mark."""
    generator = torch.Generator().manual_seed(0)
    logits_QV = 2 * torch.randn(2, 6, generator=generator)
    q_V = torch.softmax(torch.randn(6, generator=generator), 0).double()
    verify = VerifySampled(Sampled(1.0 + off_by, generator))
    tokens = []
    for proposed in torch.multinomial(q_V, 40_000, replacement=True, generator=generator).tolist():
        draft = Draft([proposed], q_V[None]) if drafts == "model" else Draft([2], None)
        num_accepted, token = verify(logits_QV, draft)
        tokens.append(draft.tokens[0] if num_accepted else token)
    assert pooled_chi_square([tokens], [torch.softmax(logits_QV[0], 0)]).passed == (not off_by)


def test_sampled_sequences_follow_the_targets_distribution(make_model) -> None:
    """400 samples of three tokens out of five against all 125 enumerated, and against the drafter's."""
    model, small = make_model(2, vocab_size=5), make_model(1, vocab_size=5, seed=1)
    prompt_1T, generator = torch.tensor([[1, 2, 3, 4]]), torch.Generator().manual_seed(0)
    decoder = SpeculativeDecoder(static(model), ModelDrafter(static(small)), 2)
    triples = torch.cartesian_prod(*[torch.arange(5)] * 3)

    def probabilities(of) -> torch.Tensor:
        with torch.inference_mode():
            rows = torch.cat([prompt_1T.expand(125, -1), triples], dim=1)
            log_p = torch.log_softmax(of(input_ids=rows, use_cache=False).logits[:, 3:6].double() / 1.5, -1)
        return log_p.gather(2, triples[..., None]).sum((1, 2)).exp()

    samples = [decoder.sample(prompt_1T, 3, Sampled(1.5, generator)).tokens for _ in range(400)]
    outcomes = [(a * 5 + b) * 5 + c for a, b, c in samples]
    assert pooled_chi_square([outcomes], [probabilities(model)]).passed
    assert not pooled_chi_square([outcomes], [probabilities(small)]).passed


def test_other_vocabularies_and_no_draft_are_refused(target, make_model) -> None:
    with pytest.raises(ValueError, match="the drafter's vocabulary has 39 tokens, the target's 40"):
        SpeculativeDecoder(static(target), ModelDrafter(static(make_model(vocab_size=39))), 2)
    with pytest.raises(ValueError, match="num_draft 0: give at least 1"):
        SpeculativeDecoder(static(target), PromptLookup(), 0)
    with pytest.raises(ValueError, match="early exit after 3 of 3 layers: give 1 to 2"):
        early_exit(target, 3)
