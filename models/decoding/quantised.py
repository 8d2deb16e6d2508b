"""Quantisation of a trained model's weights, and of its activations, by torchao; and training that foresees it.

Every Linear layer but the output head: the head's errors go straight into the logits, and the embedding is a table that
is looked up, not multiplied by.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal, cast, get_args

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torchao.core.config import AOBaseConfig
from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
from torchao.quantization import (
    Int8DynamicActivationInt8WeightConfig,
    Int8Tensor,
    Int8WeightOnlyConfig,
    PerRow,
    quantize_,
)
from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig
from torchao.quantization.qat.api import QATStep
from torchao.quantization.qat.linear import FakeQuantizedLinear
from torchao.quantization.quant_primitives import ZeroPointDomain
from transformers import PreTrainedModel

Kind = Literal["int8-weight-only", "int8-dynamic", "int4-weight-only"]

INT4_GROUP = 32  # weights that share a scale and a zero: the fewest the kernel takes, so the least error
INT4_ROWS = 16  # the kernel's block of outputs
UINT4 = cast(Any, torch).uint4  # torch's stubs leave it out


def quantise(model: PreTrainedModel, kind: Kind) -> PreTrainedModel:
    """A quantised copy; the model stays as it is.

    Raises ValueError for a kind that is not known, a model without Linear layers but its head, and for int4 a device or
    a width that its kernel cannot take.
    """
    _require(model, kind)
    low = copy.deepcopy(model)
    quantize_(low, _config(kind), _hidden_linear(low))
    return low


def prepare_qat(model: PreTrainedModel, kind: Kind) -> PreTrainedModel:
    """A copy to train: it computes as the quantised model would, and gradients pass the rounding as if there were none.

    Raises ValueError where `quantise` does.
    """
    _require(model, kind)
    trained = copy.deepcopy(model)
    weight = (
        IntxFakeQuantizeConfig(
            UINT4, group_size=INT4_GROUP, is_symmetric=False,
            zero_point_domain=ZeroPointDomain.FLOAT, zero_point_precision=torch.float32,
        )
        if kind == "int4-weight-only"
        else IntxFakeQuantizeConfig(torch.int8, "per_channel", eps=torch.finfo(torch.float32).eps)
    )  # fmt: skip
    quantize_(trained, QATConfig(weight_config=weight), _hidden_linear(trained))
    if kind == "int8-dynamic":
        for layer in _fake_layers(trained):
            layer.activation_fake_quantizer = _RoundedActivation()
    return trained


def convert_qat(model: PreTrainedModel) -> PreTrainedModel:
    """What `prepare_qat` made, quantised with the weights it has now; a copy.

    Raises ValueError for a model that was not prepared.
    """
    layers = list(_fake_layers(model))
    if not layers:
        raise ValueError(f"{type(model).__name__} was not prepared for quantisation: use prepare_qat before training")
    for layer in layers:  # they keep the last step's scales with its graph, which cannot be copied
        layer.weight_fake_quantizer.scale = layer.weight_fake_quantizer.zero_point = None
    low = copy.deepcopy(model)
    quantize_(low, QATConfig(_config(_prepared_kind(layers[0])), step=QATStep.CONVERT), _hidden_linear(low))
    return low


def count_bytes(module: torch.nn.Module) -> int:
    """Bytes of what a module stores, parameters and buffers, each once; scales and zeros of quantised ones included."""
    held = {id(one): one for one in [*module.parameters(), *module.buffers()]}
    return sum(part.numel() * part.element_size() for one in held.values() for part in _parts(one))


def _parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in _parts(getattr(tensor, name))]


class _RoundedActivation(torch.nn.Module):
    """Each token's activations as int8 holds them. torchao's own has no symmetric rounding by token."""

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        rounded_BTD = Int8Tensor.from_hp(x_BTD.detach(), PerRow()).dequantize()
        return x_BTD + (rounded_BTD - x_BTD).detach()


def _config(kind: Kind) -> AOBaseConfig:
    """torchao's recommended settings of the compiler are left out: they would hold for the whole process."""
    if kind == "int8-weight-only":
        return Int8WeightOnlyConfig(set_inductor_config=False)
    if kind == "int8-dynamic":
        return Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    return PrototypeInt4WeightOnlyConfig(INT4_GROUP, set_inductor_config=False)


def _prepared_kind(layer: Any) -> Kind:
    if layer.activation_fake_quantizer is not None:
        return "int8-dynamic"
    return "int4-weight-only" if layer.weight_fake_quantizer.config.dtype == UINT4 else "int8-weight-only"


def _hidden_linear(model: PreTrainedModel) -> Callable[[torch.nn.Module, str], bool]:
    head = model.get_output_embeddings()
    return lambda module, _: isinstance(module, torch.nn.Linear) and module is not head


def _fake_layers(model: PreTrainedModel) -> Iterator[Any]:
    return (module for module in model.modules() if isinstance(module, FakeQuantizedLinear))


def _require(model: PreTrainedModel, kind: Kind) -> None:
    if kind not in get_args(Kind):
        raise ValueError(f"quantisation {kind!r}: give one of {', '.join(get_args(Kind))}")
    chosen = _hidden_linear(model)
    layers = {name: module for name, module in model.named_modules() if chosen(module, name)}
    if not layers:
        raise ValueError(f"{kind}: {type(model).__name__} has no Linear layer but its head, nothing would be quantised")
    if kind != "int4-weight-only":
        return
    if model.device.type != "cpu":
        raise ValueError(f"{kind}: its kernel runs on cpu and the model on {model.device.type}: move it, or use int8")
    for name, layer in layers.items():  # torchao would leave such a layer as it is, or fail at its first step
        assert isinstance(layer, torch.nn.Linear)
        if layer.in_features % INT4_GROUP or layer.out_features % INT4_ROWS:
            raise ValueError(
                f"{kind}: {name} takes {layer.in_features} and gives {layer.out_features}, the kernel wants multiples "
                f"of {INT4_GROUP} and {INT4_ROWS}: use int8 or another width"
            )
