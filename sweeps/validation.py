"""Validation loss over held-out documents, in fp32."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from sweeps.windows import Windows

TOKENS_PER_BATCH = 8192


@dataclass(frozen=True)
class ValidationLoss:
    """Nats a token over all scored tokens, its standard error over documents, and bits a byte of their text."""

    loss: float
    loss_se: float
    bits_per_byte: float


@torch.no_grad()
def validation_loss(model: PreTrainedModel, windows: Windows, text_bytes: int, device: torch.device) -> ValidationLoss:
    """Evaluates in fp32, uncompiled. The standard error is that of a ratio of document sums (linearised)."""
    num_documents = int(windows.document_W[-1]) + 1
    nats, tokens = np.zeros(num_documents), np.zeros(num_documents)
    per_batch = max(1, TOKENS_PER_BATCH // windows.inputs_WT.shape[1])
    for first in range(0, len(windows.inputs_WT), per_batch):
        rows = slice(first, first + per_batch)
        inputs, targets, scored = (
            torch.from_numpy(array[rows]).to(device)
            for array in (windows.inputs_WT, windows.targets_WT, windows.scored_WT)
        )
        logits = model(input_ids=inputs, use_cache=False).logits.float()
        losses_of_tokens = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses = losses_of_tokens.view_as(targets) * scored
        np.add.at(nats, windows.document_W[rows], losses.sum(1, dtype=torch.float64).cpu().numpy())
        np.add.at(tokens, windows.document_W[rows], scored.sum(1).cpu().numpy())
    loss = nats.sum() / tokens.sum()
    residuals = nats - loss * tokens
    spread = math.sqrt(np.sum(residuals**2) * num_documents / max(1, num_documents - 1))
    return ValidationLoss(float(loss), spread / tokens.sum(), nats.sum() / text_bytes / math.log(2))
