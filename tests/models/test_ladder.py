"""The ladder's closed forms against the models that they describe."""

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GraniteForCausalLM

from models import decoder
from models.ladder import Shape

VOCAB, LENGTH = 300, 32
WIDTHS = (4, 8, 12, 16, 32, 48, 96, 128, 160, 256, 320, 512)
SHAPES = [*map(Shape, WIDTHS), Shape(32, 1), Shape(32, 24)]


def build(shape: Shape) -> GraniteForCausalLM:
    return decoder.build(shape, VOCAB, LENGTH, 0)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_parameter_counts_are_those_of_the_model(shape: Shape) -> None:
    sizes = {name: parameter.numel() for name, parameter in build(shape).named_parameters()}
    embedding, head = sizes["model.embed_tokens.weight"], sizes["lm_head.weight"]
    assert shape.params_total(VOCAB) == sum(sizes.values())
    assert shape.params_with_head(VOCAB) == sum(sizes.values()) - embedding
    assert shape.params_non_embedding == sum(sizes.values()) - embedding - head


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_flops_are_those_that_torch_counts(shape: Shape) -> None:
    # Eager attention is two matrix products over the whole sequence, which the counter sees like any other. The fused
    # CPU kernel is missing from the counter's table: under sdpa it counts no attention at all.
    model = build(shape)
    model.set_attn_implementation("eager")
    tokens_BT = torch.zeros(3, LENGTH, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=tokens_BT, use_cache=False).logits.sum().backward()
    assert counter.get_total_flops() == 3 * LENGTH * shape.flops_per_token(VOCAB, LENGTH)


def test_the_dial_turns_everything() -> None:
    shapes = [Shape(width) for width in WIDTHS]
    for narrow, wide in itertools.pairwise(shapes):
        assert narrow.params_non_embedding < wide.params_non_embedding
        assert narrow.num_layers <= wide.num_layers
        assert narrow.head_width <= wide.head_width
    for shape in shapes:
        assert shape.num_heads * shape.head_width == shape.width
        assert 8 / 3 * shape.width <= shape.mlp_width < 8 / 3 * shape.width + 8
    assert [Shape(width).num_layers for width in (16, 192, 256, 512)] == [3, 3, 4, 8]


def test_a_width_outside_the_family_is_refused_with_one_that_is_in_it() -> None:
    members = []
    for width in range(-3, 700):
        try:
            members.append(Shape(width).width)
        except ValueError as error:
            message = str(error)
            assert message.startswith(f"width {width} ")
            lower, upper = (int(word) for word in message.rpartition("use ")[2].split(" or "))
            assert Shape(lower).width >= 4
            assert Shape(upper).width > max(width, lower)
    assert {4, 8, 12, 16, 32, 48, 64, 80, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512} <= set(members)
    assert not {0, 2, 10, 24, 40, 144, 288} & set(members)
