"""The autoregressive family: transformers' Granite architecture, whose multipliers carry the muP parametrisation.

Activations and updates keep their size as the width grows (Yang et al. 2022, Tensor Programs V, table 8), so that the
best learning rate of a narrow model is that of a wide one. Everything is stated relative to `BASE_WIDTH` and
`BASE_LAYERS`, where the rules coincide with ordinary scaling:

    embedding      std 1 (times embedding_multiplier)      rate lr
    hidden matrix  std 1/sqrt(fan_in)                      rate lr * BASE_WIDTH / width
    output head    std 0, logits divided by width/BASE     rate lr
    attention      scores times sqrt(16) / head width      (1/d, not 1/sqrt(d))
    residual       branches times sqrt(BASE_LAYERS / layers)
"""

import math
from typing import Any

import torch
from transformers import AttentionInterface, GraniteConfig, GraniteForCausalLM

from models.ladder import MIN_HEAD_WIDTH, MIN_LAYERS, Shape
from models.tokenizer import BOS_ID, EOS_ID, PAD_ID

BASE_WIDTH = 64
BASE_LAYERS = MIN_LAYERS
EMBEDDING_STD = 1.0
TRAINING_ATTENTION = "causal_training"


def build(shape: Shape, vocab_size: int, sequence_length: int, seed: int) -> GraniteForCausalLM:
    """A freshly initialised model in fp32 on the CPU; the same arguments give the same weights, bit for bit."""
    config = GraniteConfig(
        vocab_size=vocab_size,
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        max_position_embeddings=sequence_length,
        logits_scaling=shape.width / BASE_WIDTH,
        attention_multiplier=math.sqrt(MIN_HEAD_WIDTH) / shape.head_width,
        residual_multiplier=math.sqrt(BASE_LAYERS / shape.num_layers),
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GraniteForCausalLM(config)
        initialise(model)
    return model


@torch.no_grad()
def initialise(model: GraniteForCausalLM) -> None:
    """muP initial weights, drawn from torch's global generator in the order of named_parameters."""
    for name, parameter in model.named_parameters():
        if name.endswith("lm_head.weight"):
            parameter.zero_()
        elif "embed_tokens" in name:
            parameter.normal_(0.0, EMBEDDING_STD)
        elif parameter.ndim == 2:
            parameter.normal_(0.0, parameter.shape[1] ** -0.5)


def parameter_groups(model: GraniteForCausalLM, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW groups with muP rates; `weight_decay` times `learning_rate` is the decay a step at every width.

    AdamW multiplies the decay by the group's rate: the hidden group's is raised by what its rate is lowered by. Norm
    gains do not decay.
    """
    ratio = model.config.hidden_size / BASE_WIDTH
    hidden, ends, gains = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            gains.append(parameter)
        elif "embed_tokens" in name or name.endswith("lm_head.weight"):
            ends.append(parameter)
        else:
            hidden.append(parameter)
    return [
        {"params": hidden, "lr": learning_rate / ratio, "weight_decay": weight_decay * ratio},
        {"params": ends, "lr": learning_rate, "weight_decay": weight_decay},
        {"params": gains, "lr": learning_rate, "weight_decay": 0.0},
    ]


def causal_attention(
    module: torch.nn.Module,
    query_BHTD: torch.Tensor,
    key_BHTD: torch.Tensor,
    value_BHTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of whole, unpadded rows, without a mask (B batch, H heads, T tokens, D head width)."""
    assert attention_mask is None
    out_BHTD = torch.nn.functional.scaled_dot_product_attention(
        query_BHTD, key_BHTD, value_BHTD, is_causal=True, scale=scaling
    )
    return out_BHTD.transpose(1, 2).contiguous(), None


AttentionInterface.register(TRAINING_ATTENTION, causal_attention)
