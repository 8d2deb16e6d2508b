"""Quantised models stay near the one they were made of, hold less, and a wrong scale is caught."""

import copy
from typing import get_args

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from evals.inference.checks import Check, divergence
from evals.inference.techniques.precision import QUANTISED_KL
from models.decoding.quantised import Kind, convert_qat, count_bytes, prepare_qat, quantise

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = get_args(Kind)


@torch.inference_mode()
def compared(reference, found, prompts_BT: torch.Tensor, kind: Kind) -> Check:
    logits = [model(input_ids=prompts_BT, use_cache=False).logits.flatten(0, 1) for model in (reference, found)]
    return divergence(*logits, QUANTISED_KL[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_the_copy_is_near_and_the_original_untouched(target, prompts_BT, kind: Kind) -> None:
    before = copy.deepcopy(target.state_dict())
    low = quantise(target, kind)
    after = target.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and type(after[name]) is torch.Tensor for name in before)
    check = compared(target, low, prompts_BT, kind)
    assert check.passed, check.detail
    assert check.value > 0


@pytest.mark.parametrize(
    ("kind", "bits", "overhead"),
    # Beside the weights, numbers of 4 bytes: a scale a row and int8's zeros; a scale and a zero a group of 32.
    [("int8-weight-only", 8, 5 / 32), ("int8-dynamic", 8, 5 / 32), ("int4-weight-only", 4, 8 / 32)],
)
def test_a_layer_holds_fewer_bytes(target, kind: Kind, bits: int, overhead: float) -> None:
    weight = "model.layers.1.mlp.up_proj"  # 32 inputs
    whole, low = (model.get_submodule(weight) for model in (target, quantise(target, kind)))
    assert count_bytes(whole) == 4 * 64 * 32
    assert count_bytes(low) == 64 * 32 * (bits / 8 + overhead)


@pytest.mark.parametrize("kind", KINDS)
def test_embedding_and_head_are_left_alone(target, kind: Kind) -> None:
    low = quantise(target, kind)
    for ours, theirs in [
        (low.get_input_embeddings(), target.get_input_embeddings()),
        (low.get_output_embeddings(), target.get_output_embeddings()),
    ]:
        assert torch.equal(ours.weight, theirs.weight)
        assert count_bytes(ours) == count_bytes(theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_one_scale_doubled_is_caught(target, prompts_BT, kind: Kind) -> None:
    """A planted fault: the scales of one layer of 21, 2,048 of the 30,720 weights that are quantised."""
    low = quantise(target, kind)
    weight = low.model.layers[0].mlp.up_proj.weight
    scale = weight.scale_and_zero[..., 0] if kind == "int4-weight-only" else weight.scale
    scale.mul_(2)
    check = compared(target, low, prompts_BT, kind)
    assert not check.passed
    assert check.value > 1.5 * check.limit


def assert_layers_alike(ours, theirs) -> None:
    """Layer by layer on the same inputs: over a whole model a last bit may tip the rounding of an activation."""
    generator = torch.Generator().manual_seed(1)
    for name, module in theirs.named_modules():
        if isinstance(module, torch.nn.Linear):
            x_BTD = torch.randn(2, 7, module.in_features, generator=generator)
            torch.testing.assert_close(ours.get_submodule(name)(x_BTD), module(x_BTD), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_training_computes_as_the_quantised_model_and_learns(target, prompts_BT, kind: Kind) -> None:
    trained, low = prepare_qat(target, kind), quantise(target, kind)
    assert_layers_alike(trained, low)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    losses = []
    for _ in range(4):
        loss = trained(input_ids=prompts_BT, labels=prompts_BT).loss
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in trained.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    converted = convert_qat(trained)
    assert type(converted.model.layers[0].mlp.up_proj.weight) is type(low.model.layers[0].mlp.up_proj.weight)
    assert_layers_alike(trained, converted)
    assert compared(target, converted, prompts_BT, kind).value > compared(target, low, prompts_BT, kind).value


def test_what_cannot_be_quantised_is_refused_in_one_line(target, make_model) -> None:
    def refused(match: str, call, *arguments) -> None:
        with pytest.raises(ValueError, match=match) as told:
            call(*arguments)
        assert "\n" not in str(told.value)

    refused(
        "quantisation 'int2': give one of int8-weight-only, int8-dynamic, int4-weight-only", quantise, target, "int2"
    )
    refused("was not prepared for quantisation: use prepare_qat before training", convert_qat, target)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=32, n_layer=1, n_head=2))
    refused("GPT2LMHeadModel has no Linear layer but its head", quantise, gpt2, "int8-dynamic")
    narrow = make_model()
    narrow.model.layers[2].mlp.down_proj = torch.nn.Linear(48, 32, bias=False)
    refused("model.layers.2.mlp.down_proj takes 48 and gives 32", quantise, narrow, "int4-weight-only")
    refused("model.layers.2.mlp.down_proj takes 48 and gives 32", prepare_qat, narrow, "int4-weight-only")
    elsewhere = make_model().to("meta")
    refused("runs on cpu and the model on meta: move it, or use int8", quantise, elsewhere, "int4-weight-only")
