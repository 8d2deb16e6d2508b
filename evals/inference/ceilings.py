"""What the machine could do: bandwidth of memory and speed of matrix products, measured in the run they judge."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import linear
from transformers import PreTrainedConfig, PreTrainedModel

from evals.inference.protocol import timed
from models.decoding.quantised import count_bytes

BYTES = 1 << 28
SIZE = 1024
REPEATS = 7


@dataclass(frozen=True)
class Ceilings:
    """Bytes a second read by one thread, and FLOPs a second of its square matrix products by precision.

    Products as layers make them, by the transposed weight: bfloat16 on Zen 3, which emulates it, gives 10 GFLOP/s at
    these and 1 at plain ones.
    """

    bytes_per_second: float
    flops_per_second: dict[str, float]


def measure_ceilings(device: torch.device) -> Ceilings:
    """The best of several tries each: other work on the machine only ever slows one down."""
    words = torch.ones(BYTES // 4, device=device)
    bandwidth = BYTES / _best(lambda: words.sum(), device)
    flops = {}
    for name, dtype in {"float32": torch.float32, "bfloat16": torch.bfloat16}.items():
        left, right = (torch.randn(SIZE, SIZE, device=device).to(dtype) for _ in range(2))
        flops[name] = 2 * SIZE**3 / _best(lambda left=left, right=right: linear(left, right), device)
    return Ceilings(bandwidth, flops)


def _best(work: Callable[[], object], device: torch.device) -> float:
    return min(timed(work, device) for _ in range(REPEATS))


def count_params(model: PreTrainedModel) -> int:
    """Parameters without the embedding and the output head."""
    ends = {id(module.weight) for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module}
    return sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in ends)


def roofline_seconds(
    model: PreTrainedModel, num_rows: int, num_prompt: int, num_tokens: int, ceilings: Ceilings
) -> float:
    """The roofline (Williams et al. 2009) of reading prompts and decoding greedily after them, all rows together.

    A step reads the weights as they are stored, quantised ones in their bits, and the keys and values so far; a token
    costs 2 FLOPs a parameter that multiplies and, a head, 4 a number of its width for every token it attends to. What
    takes longer counts. A model that stays in the processor's caches may beat the bandwidth of memory, and a technique
    that takes fewer steps beats both.
    """
    config, head = model.config, model.get_output_embeddings()
    body, head_params = count_params(model), head.weight.numel() if head else 0
    attended = 4 * config.num_hidden_layers * config.num_attention_heads * _head_width(config)
    flops_per_second = ceilings.flops_per_second[str(model.dtype).removeprefix("torch.")]
    weights, cached = read_bytes(model), state_bytes(model)

    def flops(tokens: int, heads: int, attending: int) -> float:
        """A row's, of which so many tokens get logits, and so many pairs of tokens attend."""
        return 2 * (body * tokens + head_params * heads) + attended * attending

    seconds = max(
        (weights + num_rows * num_prompt * cached) / ceilings.bytes_per_second,
        num_rows * flops(num_prompt, 1, num_prompt * (num_prompt + 1) // 2) / flops_per_second,
    )
    for length in range(num_prompt + 1, num_prompt + num_tokens):
        seconds += max(
            (weights + num_rows * length * cached) / ceilings.bytes_per_second,
            num_rows * flops(1, 1, length) / flops_per_second,
        )
    return seconds


def read_bytes(model: PreTrainedModel) -> int:
    """Bytes of weights that a step reads: all but the embedding, where the head does not share it."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    shared = head is not None and head.weight is embedding.weight
    return count_bytes(model) - (0 if shared else count_bytes(embedding))


def state_bytes(model: PreTrainedModel) -> int:
    """Bytes of the keys and values of a token."""
    config: Any = model.config
    num_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return 2 * config.num_hidden_layers * num_heads * _head_width(config) * model.dtype.itemsize


def _head_width(config: PreTrainedConfig) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
