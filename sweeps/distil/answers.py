"""Documents whose answers, the scored part at their end, a model writes itself.

Shapes: N documents, T tokens a window, P tokens a prompt.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel

from models.tokenizer import PAD_ID
from sweeps.documents import NO_TARGET, Documents

ROWS_PER_BATCH = 1024


@dataclass(frozen=True)
class AnswerFormat:
    """What documents have in common: the token with which all end, and the longest prompt and answer, in tokens."""

    end_token: int
    longest_prompt: int
    longest_answer: int


def answer_format(documents: Documents) -> AnswerFormat:
    """Raises ValueError where the scored part is not the end of every document, or they end in several tokens."""
    starts, ends = documents.offsets[:-1], documents.offsets[1:]
    scored = np.add.reduceat(np.asarray(documents.scored, np.int64), starts)
    prompts = ends - starts - scored
    within = np.arange(ends[-1]) - np.repeat(starts, ends - starts)
    if ((np.asarray(documents.scored) > 0) != (within >= np.repeat(prompts, ends - starts))).any() or not scored.all():
        raise ValueError("data: a document's scored part is not its end: distil on documents that end in their answer")
    if not prompts.all():
        raise ValueError("data: a document is scored from its first token on: leave it a prompt to sample after")
    last = np.unique(np.asarray(documents.tokens)[ends - 1])
    if len(last) > 1:
        raise ValueError(
            f"data: documents end in {len(last)} different tokens, so that a sampled answer has no end: "
            "distil on documents that share their last token"
        )
    return AnswerFormat(int(last[0]), int(prompts.max()), int(scored.max()))


@dataclass(frozen=True)
class Answered:
    """Documents as a model answered them: tokens and whether they are scored, [N, T + 1]; and what that cost.

    positions: how many tokens of prompts and answers went through the model, padding included.
    """

    tokens: np.ndarray
    scored: np.ndarray
    positions: int
    seconds: float

    def batch(self, first: int, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of documents first to first + num_rows, int64 [num_rows, T] each."""
        rows = slice(first, first + num_rows)
        targets = np.where(self.scored[rows], self.tokens[rows], NO_TARGET)
        return np.ascontiguousarray(self.tokens[rows, :-1]), np.ascontiguousarray(targets[:, 1:])


def answer(
    model: PreTrainedModel, documents: Documents, indices: np.ndarray, sequence_length: int, seed: int
) -> Answered:
    """Those documents with answers that the model samples at temperature 1, up to the common end token or the window.

    Prompts of one length are decoded together, without padding. The same seed gives the same answers on one device.
    Raises ValueError as answer_format does.
    """
    began, end_token = time.perf_counter(), answer_format(documents).end_token
    rows = documents.rows(indices, sequence_length)
    lengths = rows[1].argmax(1)
    tokens = np.full_like(rows[0], PAD_ID)
    scored = np.zeros_like(rows[1])
    positions = 0
    with torch.random.fork_rng(devices=[] if model.device.type == "cpu" else [model.device]):
        torch.manual_seed(seed)
        for length in np.unique(lengths):
            places = np.flatnonzero(lengths == length)
            for first in range(0, len(places), ROWS_PER_BATCH):
                part = places[first : first + ROWS_PER_BATCH]
                written = _continue(model, rows[0][part, :length], sequence_length + 1 - int(length), end_token)
                width, ends = written.shape[1], written[:, length:] == end_token
                tokens[part, :width] = written
                scored[part, length:width] = ends.cumsum(1) - ends == 0
                positions += len(part) * (width - 1)  # the last token is not read
    return Answered(tokens, scored, positions, time.perf_counter() - began)


def _continue(model: PreTrainedModel, prompts_NP: np.ndarray, max_new: int, end_token: int) -> np.ndarray:
    """Prompts and sampled continuations, padded after the end token, int64 [N, at most P + max_new]."""
    config = GenerationConfig(
        do_sample=True, top_k=0, top_p=1.0, temperature=1.0, max_new_tokens=max_new,
        eos_token_id=end_token, pad_token_id=PAD_ID,
    )  # fmt: skip
    generator: Any = model
    inputs_NP = torch.from_numpy(np.ascontiguousarray(prompts_NP)).to(model.device)
    attended_NP = torch.ones_like(inputs_NP)
    return generator.generate(inputs_NP, attention_mask=attended_NP, generation_config=config).cpu().numpy()
