"""The decoder: reproducible weights, muP's promise in miniature, and attention that transformers agrees with."""

import random

import numpy as np
import pytest
import torch
from transformers import GraniteForCausalLM

from models import decoder
from models.ladder import Shape

VOCAB, LENGTH = 260, 64


def build(width: int, seed: int = 0) -> GraniteForCausalLM:
    return decoder.build(Shape(width), VOCAB, LENGTH, seed)


def tokens(rows: int = 4, seed: int = 0) -> torch.Tensor:
    """Rows of a walk through the vocabulary: something a model can learn."""
    steps = torch.randint(1, 4, (rows, LENGTH + 1), generator=torch.Generator().manual_seed(seed))
    return 4 + steps.cumsum(1) % (VOCAB - 4)


def loss_of(model: GraniteForCausalLM, rows_BT: torch.Tensor) -> torch.Tensor:
    logits_BTV = model(input_ids=rows_BT[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), rows_BT[:, 1:].flatten())


def trained(width: int, steps: int = 10, equal_rates: bool = False) -> GraniteForCausalLM:
    model = build(width)
    model.set_attn_implementation(decoder.TRAINING_ATTENTION)
    groups = decoder.parameter_groups(model, learning_rate=0.01, weight_decay=0.1)
    if equal_rates:
        groups = [{**group, "lr": 0.01} for group in groups]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    for step in range(steps):
        loss_of(model, tokens(seed=step)).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def coordinates(model: GraniteForCausalLM) -> list[float]:
    """Root mean squares of the first and the last layer's output before the final norm, and of the logits."""
    with torch.no_grad():
        out = model(input_ids=tokens(seed=99)[:, :-1], use_cache=False, output_hidden_states=True)
    measured = (out.hidden_states[1], out.hidden_states[-2], out.logits)
    return [activations.pow(2).mean().sqrt().item() for activations in measured]


def test_a_seed_is_a_model_and_leaves_every_generator_alone() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = build(32, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002
    torch.rand(7)  # Where the global generator stands does not matter.
    again, other = build(32, seed=3).state_dict(), build(32, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    matrices = [name for name in first if first[name].ndim == 2 and name != "lm_head.weight"]
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


def test_initial_sizes_are_those_of_mup() -> None:
    for width in (64, 256):
        for name, parameter in build(width).state_dict().items():
            if name == "lm_head.weight":
                assert not parameter.any()
            elif name == "model.embed_tokens.weight":
                assert parameter.std() == pytest.approx(1.0, rel=0.05)
            elif parameter.ndim == 2:
                assert parameter.std() == pytest.approx(parameter.shape[1] ** -0.5, rel=0.05), name
            else:
                assert (parameter == 1).all()


def test_rates_and_decay_of_the_parameter_groups() -> None:
    for width in (32, 64, 256):
        model = build(width)
        groups = decoder.parameter_groups(model, learning_rate=0.5, weight_decay=0.1)
        grouped = [id(parameter) for group in groups for parameter in group["params"]]
        assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())
        rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
        decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
        for name, parameter in model.named_parameters():
            hidden = ".layers." in name and parameter.ndim == 2
            assert rates[id(parameter)] == pytest.approx(0.5 * 64 / width if hidden else 0.5), name
            decay_a_step = rates[id(parameter)] * decays[id(parameter)]
            assert decay_a_step == pytest.approx(0.05 if parameter.ndim == 2 else 0.0), name


@pytest.mark.usefixtures("one_thread")
def test_coordinates_keep_their_size_as_the_width_grows() -> None:
    narrow = coordinates(trained(32))
    for width in (64, 128, 256):
        for before, now in zip(narrow, coordinates(trained(width)), strict=True):
            assert 1 / 1.5 < now / before < 1.5, width
    # One rate for all, as ordinary scaling has it, moves the hidden layers of a wide model several times as far.
    assert coordinates(trained(256, equal_rates=True))[1] > 4 * coordinates(trained(32, equal_rates=True))[1]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("reference", ["eager", "sdpa"])
def test_training_attention_is_that_of_transformers(reference: str) -> None:
    model = trained(64, steps=5)
    rows_BT = tokens(seed=7)
    logits, gradients = {}, {}
    for implementation in (decoder.TRAINING_ATTENTION, reference):
        model.set_attn_implementation(implementation)
        model.zero_grad()
        loss_of(model, rows_BT).backward()
        logits[implementation] = model(input_ids=rows_BT[:, :-1], use_cache=False).logits.detach()
        gradients[implementation] = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert logits[reference].abs().max() > 0.1
    torch.testing.assert_close(logits[decoder.TRAINING_ATTENTION], logits[reference], atol=1e-5, rtol=0)
    torch.testing.assert_close(gradients[decoder.TRAINING_ATTENTION], gradients[reference], atol=1e-5, rtol=0)


@pytest.mark.usefixtures("one_thread")
def test_no_token_sees_a_later_one() -> None:
    model = trained(32, steps=3)
    rows_BT = tokens(rows=1)[:, :-1]
    changed_BT = rows_BT.clone()
    changed_BT[:, LENGTH // 2 :] = 9
    with torch.no_grad():
        before, after = (model(input_ids=rows, use_cache=False).logits for rows in (rows_BT, changed_BT))
    torch.testing.assert_close(before[:, : LENGTH // 2], after[:, : LENGTH // 2], atol=1e-6, rtol=0)
    assert not torch.allclose(before[:, LENGTH // 2 :], after[:, LENGTH // 2 :], atol=1e-3)


def test_the_saved_config_rebuilds_the_same_function(tmp_path) -> None:
    model = trained(32, steps=3)
    model.save_pretrained(tmp_path)
    loaded = GraniteForCausalLM.from_pretrained(tmp_path)
    rows_BT = tokens(rows=2)[:, :-1]
    with torch.no_grad():
        ours, theirs = (m(input_ids=rows_BT, use_cache=False).logits for m in (model, loaded))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
