"""Documents with a loss mask as training reads them: a window is one document, of which the scored tokens are targets.

Shapes: B windows a batch, T tokens a window.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.tokenizer import PAD_ID
from sweeps.tokens import WindowBatches, read_manifest, stored_dtype
from sweeps.windows import Windows

# What cross_entropy leaves out of the mean.
NO_TARGET = -100


@dataclass(frozen=True)
class Documents:
    """A split: document j is tokens[offsets[j]:offsets[j + 1]], no special token among them; `scored` marks targets."""

    tokens: np.ndarray
    scored: np.ndarray
    offsets: np.ndarray

    def rows(self, indices: np.ndarray, sequence_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Those documents padded to T + 1 tokens, and which of these are scored: int64 and bool [B, T + 1]."""
        starts, lengths = self.offsets[indices], self.offsets[indices + 1] - self.offsets[indices]
        span = np.arange(sequence_length + 1)
        inside = span < lengths[:, None]
        places = np.where(inside, starts[:, None] + span, 0)
        return np.where(inside, self.tokens[places].astype(np.int64), PAD_ID), inside & (self.scored[places] > 0)

    def require(self, sequence_length: int) -> None:
        """Raises ValueError where a document does not fit a window and the token after it."""
        longest = int(np.diff(self.offsets).max())
        if longest > sequence_length + 1:
            raise ValueError(f"sequence_length {sequence_length} cuts documents of {longest} tokens: use {longest - 1}")


@dataclass(frozen=True)
class DocumentData:
    """A store that `build_documents` wrote: the same face as TokenData, with windows that are documents."""

    path: Path
    manifest: dict[str, Any]
    train: Documents
    validation: Documents

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's Hugging Face directory."""
        return self.path / "tokenizer"

    def windows(
        self, sequence_length: int, windows_per_batch: int, seed: int, unique_tokens: int | None = None
    ) -> "DocumentBatches":
        """Batches of the training documents."""
        return DocumentBatches(self.train, sequence_length, windows_per_batch, seed, unique_tokens)

    def validation_windows(self, sequence_length: int) -> Windows:
        """A row a held-out document; raises ValueError where one does not fit."""
        self.validation.require(sequence_length)
        indices = np.arange(len(self.validation.offsets) - 1)
        tokens, scored = self.validation.rows(indices, sequence_length)
        return Windows(tokens[:, :-1], tokens[:, 1:], scored[:, 1:].astype(np.float32), indices)


def load_documents(path: Path) -> DocumentData:
    """The store in that directory; raises ValueError as load_tokens does."""
    manifest = read_manifest(path)
    dtype = stored_dtype(manifest["vocab_size"])
    train, validation = (
        Documents(
            np.memmap(path / f"{split}.bin", dtype, mode="r"),
            np.memmap(path / f"{split}.scored.bin", np.uint8, mode="r"),
            np.load(path / f"{split}.offsets.npy").astype(np.int64),
        )
        for split in ("train", "validation")
    )
    return DocumentData(path, manifest, train, validation)


class DocumentBatches(WindowBatches):
    """Batches of documents in WindowBatches' order; padding counts as trained tokens, since it costs what they cost."""

    def __init__(
        self,
        documents: Documents,
        sequence_length: int,
        windows_per_batch: int,
        seed: int,
        unique_tokens: int | None = None,
    ) -> None:
        documents.require(sequence_length)
        self._documents = documents
        super().__init__(documents.tokens, sequence_length, windows_per_batch, seed, unique_tokens)

    def _windows_there(self) -> int:
        return len(self._documents.offsets) - 1

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a step, int64 [B, T] each; NO_TARGET where nothing is scored."""
        tokens, scored = self._documents.rows(self.windows(step), self.sequence_length)
        targets = np.where(scored, tokens, NO_TARGET)
        return np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(targets[:, 1:])
