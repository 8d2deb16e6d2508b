"""Held-out documents in windows, cut as lm-eval's loglikelihood_rolling cuts them.

Shapes: W windows, T tokens a window.
"""

from dataclasses import dataclass

import numpy as np

from models.tokenizer import PAD_ID


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
