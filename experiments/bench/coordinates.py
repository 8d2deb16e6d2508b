"""The coordinate check of Yang et al. 2022: after a few steps, do activations keep their size as the width grows?

Under muP they should; under the standard parametrisation, the contrast, they grow or shrink with the width.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import GraniteConfig, GraniteForCausalLM

from models import decoder
from models.ladder import MIN_LAYERS, Shape
from sweeps import store
from sweeps.tokens import load_tokens

Parametrisation = Literal["mup", "standard"]
PARAMETRISATIONS: tuple[Parametrisation, ...] = ("mup", "standard")
STANDARD_INIT_STD = 0.02


def model_and_groups(
    parametrisation: Parametrisation, width: int, recipe: store.Recipe
) -> tuple[GraniteForCausalLM, list[dict[str, Any]]]:
    """A fresh model and its AdamW groups.

    standard: the same shapes with every multiplier 1, attention scaled by 1/sqrt(head width), transformers' own initial
    weights (std .02 everywhere) and one rate.
    """
    training, shape = recipe.training, Shape(width)
    model = decoder.build(shape, recipe.vocab_size, training.sequence_length, 0)
    if parametrisation == "mup":
        return model, decoder.parameter_groups(model, training.learning_rate, training.weight_decay)
    ours = model.config.to_dict() | {
        "logits_scaling": 1.0,
        "residual_multiplier": 1.0,
        "attention_multiplier": shape.head_width**-0.5,
        "initializer_range": STANDARD_INIT_STD,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GraniteForCausalLM(GraniteConfig(**ours))
    group = {"params": list(model.parameters()), "lr": training.learning_rate, "weight_decay": training.weight_decay}
    return model, [group]


def activations(
    parametrisation: Parametrisation, width: int, recipe: store.Recipe, data: Path, steps: int
) -> dict[str, list[float]]:
    """Mean absolute activation of each site before step 0 and after each of `steps` steps at the full rate.

    Sites: embedding, attention.i, mlp.i and layer.i of the layers that every width has, and logits.
    """
    torch.set_num_threads(1)
    training = recipe.training
    model, groups = model_and_groups(parametrisation, width, recipe)
    optimizer = torch.optim.AdamW(groups, betas=(training.beta1, training.beta2), fused=True)
    batches = load_tokens(data).windows(training.sequence_length, training.batch_rows, 0)
    found: dict[str, list[float]] = {}

    def watch(site: str, module: torch.nn.Module) -> None:
        def note(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            found.setdefault(site, []).append(tensor.detach().abs().mean().item())

        module.register_forward_hook(note)

    watch("embedding", model.model.embed_tokens)
    for index, layer in enumerate(model.model.layers[:MIN_LAYERS]):
        watch(f"attention.{index}", layer.get_submodule("self_attn"))
        watch(f"mlp.{index}", layer.get_submodule("mlp"))
        watch(f"layer.{index}", layer)
    for step in range(steps + 1):
        inputs_BT, targets_BT = map(torch.from_numpy, batches.batch(step))
        logits_BTV = model(input_ids=inputs_BT, use_cache=False).logits
        found.setdefault("logits", []).append(logits_BTV.detach().abs().mean().item())
        torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
    return found


def slopes(widths: list[int], by_width: list[dict[str, list[float]]]) -> dict[str, float]:
    """Per site the slope of log(activation) against log(width) at the last step; 0 is no drift."""
    return {
        site: float(np.polyfit(np.log(widths), np.log([found[site][-1] for found in by_width]), 1)[0])
        for site in by_width[0]
    }
