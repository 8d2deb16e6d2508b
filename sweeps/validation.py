"""Validation loss over held-out documents, in windows cut as lm-eval's loglikelihood_rolling cuts them.

Shapes: W windows, T tokens a window.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from models.tokenizer import PAD_ID

TOKENS_PER_BATCH = 8192


@dataclass(frozen=True)
class ValidationLoss:
    """Nats a token over all scored tokens, its standard error over documents, and bits a byte of their text."""

    loss: float
    loss_se: float
    bits_per_byte: float


@dataclass(frozen=True)
class Windows:
    """Rows that score every token of every document once: `scored_WT` is 1 where a target counts."""

    inputs_WT: np.ndarray
    targets_WT: np.ndarray
    scored_WT: np.ndarray
    document_W: np.ndarray


def rolling_windows(documents: list[np.ndarray], sequence_length: int) -> Windows:
    """Windows over documents that start with <|bos|>: disjoint targets, the last with as much context as fits."""
    inputs, targets, scored, owner = [], [], [], []
    for index, document in enumerate(documents):
        tokens = len(document) - 1
        for first in range(0, tokens, sequence_length):
            end = min(first + sequence_length, tokens)
            start = max(0, end - sequence_length)
            padding = (0, sequence_length - (end - start))
            inputs.append(np.pad(document[start:end].astype(np.int64), padding, constant_values=PAD_ID))
            targets.append(np.pad(document[start + 1 : end + 1].astype(np.int64), padding, constant_values=PAD_ID))
            positions = np.arange(sequence_length) + start
            scored.append(((positions >= first) & (positions < end)).astype(np.float32))
            owner.append(index)
    return Windows(np.stack(inputs), np.stack(targets), np.stack(scored), np.array(owner))


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
