"""The token store as training reads it: windows of tokens in an order that any step can compute.

Shapes: B windows a batch, T tokens a window.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.windows import Windows, rolling_windows

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class TokenData:
    """A token store: `train` is memory-mapped, `validation` has one array a document, each starting with <|bos|>."""

    path: Path
    manifest: dict[str, Any]
    train: np.ndarray
    validation: list[np.ndarray]

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's Hugging Face directory."""
        return self.path / "tokenizer"

    def windows(
        self, sequence_length: int, windows_per_batch: int, seed: int, unique_tokens: int | None = None
    ) -> "WindowBatches":
        """Batches of the training tokens; see WindowBatches."""
        return WindowBatches(self.train, sequence_length, windows_per_batch, seed, unique_tokens)

    def validation_windows(self, sequence_length: int) -> Windows:
        """The held-out documents cut into rows; see rolling_windows."""
        return rolling_windows(self.validation, sequence_length)


def load_tokens(path: Path) -> TokenData:
    """The store in that directory; raises ValueError if there is none or if it has another schema version."""
    path, manifest = Path(path), read_manifest(path)
    dtype = stored_dtype(manifest["vocab_size"])
    tokens = np.fromfile(path / "validation.bin", dtype)
    offsets = np.load(path / "validation.offsets.npy").astype(np.int64)
    return TokenData(path, manifest, np.memmap(path / "train.bin", dtype, mode="r"), np.split(tokens, offsets[1:-1]))


def read_manifest(path: Path) -> dict[str, Any]:
    """What the store in that directory says of itself; raises ValueError as load_tokens does."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
    except FileNotFoundError:
        raise ValueError(f"data {str(path)!r} holds no manifest.json: build the corpus first") from None
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise ValueError(
            f"data {str(path)!r} has schema_version {manifest['schema_version']}, not {SCHEMA_VERSION}: build it again"
        )
    return manifest


def stored_dtype(vocab_size: int) -> np.dtype:
    """The little-endian type of a token id on disk: two bytes where they are enough, else four."""
    return np.dtype("<u2" if vocab_size <= 65536 else "<u4")


class WindowBatches:
    """Batches of training windows, in an order that depends on the seed alone and is known for every step.

    Window j holds tokens j*T to (j+1)*T and has as targets the same one further, so that no token is a target twice.
    An epoch is a permutation of the windows. With `unique_tokens` the first unique_tokens // T windows of the first
    permutation are all there is: they are shuffled anew for every epoch, so that a run within the unique tokens sees
    what a run without the bound sees. Raises ValueError where the store has fewer tokens.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        sequence_length: int,
        windows_per_batch: int,
        seed: int,
        unique_tokens: int | None = None,
    ) -> None:
        self.sequence_length = sequence_length
        self.windows_per_batch = windows_per_batch
        self.seed = seed
        self.cycles = unique_tokens is not None
        self._tokens = np.asarray(tokens)
        self._span = np.arange(sequence_length + 1)
        num_windows = self._windows_there()
        if num_windows == 0:
            raise ValueError(
                f"sequence_length {sequence_length} does not fit the {len(tokens)} training tokens: raise "
                "corpus.max_bytes or lower it"
            )
        self.num_windows = num_windows if unique_tokens is None else unique_tokens // sequence_length
        if self.num_windows == 0:
            raise ValueError(f"unique_tokens {unique_tokens} is less than a window: use {sequence_length} or more")
        if self.num_windows > num_windows:
            raise ValueError(
                f"unique_tokens {unique_tokens} is more than the {num_windows * sequence_length} training tokens there "
                "are: raise corpus.max_bytes or lower it"
            )
        self._first_epoch = np.random.default_rng([seed, 0]).permutation(num_windows)[: self.num_windows]
        self._epoch, self._order = 0, self._first_epoch

    def _windows_there(self) -> int:
        return max(0, len(self._tokens) - 1) // self.sequence_length

    @property
    def tokens_available(self) -> int:
        """Tokens that can be trained on without seeing one twice."""
        return self.num_windows * self.sequence_length

    def require(self, tokens: int) -> None:
        """Raises ValueError if that many tokens would repeat one though `unique_tokens` did not ask for it."""
        if not self.cycles and tokens > self.tokens_available:
            raise ValueError(
                f"tokens {tokens} is more than the {self.tokens_available} training tokens there are: raise "
                "corpus.max_bytes, lower tokens, or set unique_tokens to repeat them"
            )

    def windows(self, step: int) -> np.ndarray:
        """Which windows the batch of a step (from 0) holds, int64 [B]."""
        places = np.arange(step * self.windows_per_batch, (step + 1) * self.windows_per_batch)
        self.require(int(places[-1] + 1) * self.sequence_length)
        first_epoch, last_epoch = int(places[0]) // self.num_windows, int(places[-1]) // self.num_windows
        if first_epoch == last_epoch:
            return self._epoch_order(first_epoch)[places - first_epoch * self.num_windows]
        parts = [places[places // self.num_windows == epoch] for epoch in range(first_epoch, last_epoch + 1)]
        orders = [self._epoch_order(epoch) for epoch in range(first_epoch, last_epoch + 1)]
        return np.concatenate([order[part % self.num_windows] for order, part in zip(orders, parts, strict=True)])

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a step, int64 [B, T] each."""
        starts = self.windows(step) * self.sequence_length
        spans = self._tokens[starts[:, None] + self._span].astype(np.int64)
        return np.ascontiguousarray(spans[:, :-1]), np.ascontiguousarray(spans[:, 1:])

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if epoch == 0:
            return self._first_epoch
        if epoch != self._epoch:
            shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.num_windows)
            self._epoch, self._order = epoch, self._first_epoch[shuffled]
        return self._order
