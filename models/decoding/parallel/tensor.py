"""Tensor parallelism (Shoeybi et al. 2019, Megatron-LM): each rank has a share of the heads and of the MLP.

Queries, keys, values, gate and up are split by columns, the output and down projections by rows, whose partial sums an
all-reduce completes. Which is which the model's own plan says; embedding, norms and head are whole on every rank.

The weights are split here and not by torch's parallelize_module: on small models the dispatch of its DTensors costs
several times what the sums cost.
"""

from fnmatch import fnmatchcase
from typing import Literal

import torch
import torch.distributed as dist
from torch import nn
from transformers import PreTrainedModel

Style = Literal["colwise", "rowwise"]


def shard(model: PreTrainedModel) -> None:
    """Leaves this rank its share of the weights, in place; the model is then called as before, on every rank alike.

    All ranks come with the same weights, so nothing is sent. Raises ValueError where the heads or the MLP do not divide
    by the number of ranks, and where the model has no plan that we know.
    """
    rank, num_ranks = dist.get_rank(), dist.get_world_size()
    check_divisible(model, num_ranks)
    for linear, style in planned(model):
        axis = 0 if style == "colwise" else 1
        linear.weight = _share(linear.weight, axis, rank, num_ranks)
        if linear.bias is not None and style == "colwise":
            linear.bias = _share(linear.bias, 0, rank, num_ranks)
        elif rank > 0:
            linear.register_parameter("bias", None)  # it is to be added once
        if style == "rowwise":
            linear.register_forward_hook(complete)


def complete(linear: nn.Module, inputs: tuple[torch.Tensor, ...], partial: torch.Tensor) -> torch.Tensor:
    """The sum over all ranks of what each has of a projection; a forward hook."""
    dist.all_reduce(partial)
    return partial


def check_divisible(model: PreTrainedModel, num_ranks: int) -> None:
    """Raises ValueError where a rank would get part of a head, or another share of the MLP than its neighbour."""
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        number = getattr(model.config, name)
        if number % num_ranks:
            fewer = max(ranks for ranks in range(1, num_ranks) if number % ranks == 0)
            raise ValueError(
                f"tensor parallel: {name} {number} does not divide by {num_ranks} ranks: use {fewer}, or pipeline or "
                "sequence"
            )


def planned(model: PreTrainedModel) -> list[tuple[nn.Linear, Style]]:
    """The layers' projections, and how transformers' own plan for the model splits each."""
    plan: dict[str, Style] = model.config.base_model_tp_plan or {}
    unknown = sorted(set(plan.values()) - {"colwise", "rowwise"})
    if not plan or unknown:
        raise ValueError(
            f"tensor parallel: {type(model).__name__} has {f'a plan with {unknown}' if unknown else 'no plan'}, where "
            "colwise and rowwise are known: use pipeline or sequence"
        )
    found = []
    for name, module in model.base_model.named_modules():
        styles = [style for pattern, style in plan.items() if fnmatchcase(name, pattern)]
        if styles:
            assert isinstance(module, nn.Linear), f"{name} is planned and no linear map"
            found.append((module, styles[0]))
    return found


def _share(weight: torch.Tensor, axis: int, rank: int, num_ranks: int) -> nn.Parameter:
    """A copy, so that the whole can be freed."""
    return nn.Parameter(weight.detach().chunk(num_ranks, axis)[rank].clone(), requires_grad=False)
