"""What both ways share: where they begin, their optimiser, and how a checkpoint is left."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoTokenizer, GraniteForCausalLM

from models.decoder import parameter_groups
from sweeps.posttrain.params import PosttrainParams
from sweeps.posttrain.reward import Run

CLIP_NORM = 1.0


@dataclass(frozen=True)
class Start:
    """A trained model, the root's prompts for the questions, and what runs a program for one of them.

    reply_tokens: of a program at most, its end included.
    """

    checkpoint: Path
    prompts: Sequence[str]
    run: Run
    params: PosttrainParams
    reply_tokens: int
    device: str = "cpu"

    def model(self) -> GraniteForCausalLM:
        """As it was trained until now, with an attention that takes masks."""
        model: Any = GraniteForCausalLM.from_pretrained(self.checkpoint, attn_implementation="sdpa")
        return model.to(self.device)

    def tokenizer(self) -> Any:
        """Of the checkpoint; prompts are padded on the left."""
        return AutoTokenizer.from_pretrained(self.checkpoint, padding_side="left")


def optimiser(model: GraniteForCausalLM, learning_rate: float, num_steps: int) -> tuple[torch.optim.AdamW, LambdaLR]:
    """AdamW without decay at muP's rates, which fall in a line to nothing."""
    adamw = torch.optim.AdamW(parameter_groups(model, learning_rate, 0.0), betas=(0.9, 0.95))
    return adamw, LambdaLR(adamw, lambda step: max(0.0, 1 - step / num_steps))


def save(model: GraniteForCausalLM, start: Start, out: Path) -> None:
    """Writes the weights, with the tokenizer's files of the checkpoint beside them, into `out`, which is new."""
    shutil.copytree(start.checkpoint, out)
    model.save_pretrained(out)
