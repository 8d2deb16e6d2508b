"""From documents as JSON lines, {"text", "loss_spans"}, to a token store with a loss mask."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.tokenizer import vocabulary_bytes
from sweeps.tokens import SCHEMA_VERSION, stored_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DOCUMENTS_A_CALL = 4096


def build_documents(train: Path, validation: Path, tokenizer_path: Path, params: Any, out: Path) -> dict[str, Any]:
    """Tokenises both files into the store `out`, which appears whole, and returns its manifest.

    A token is scored where its first character lies in one of the half-open `loss_spans` (in characters). `params` is
    what the manifest says of how the files were made. Raises ValueError, naming file and line, for a line without text
    or with nothing to score.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        whole = Path(temporary) / "whole"
        tokenizer.save_pretrained(whole / "tokenizer")
        train_counts, train_digest = _write_split(whole, "train", train, tokenizer)
        held_counts, held_digest = _write_split(whole, "validation", validation, tokenizer)
        for digest in (train_digest, held_digest):
            digest.update(vocabulary_bytes(tokenizer))
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "layout": "documents",
            "params": params,
            "digest": train_digest.hexdigest(),
            "validation_digest": held_digest.hexdigest(),
            "vocab_size": len(tokenizer),
            "dtype": stored_dtype(len(tokenizer)).name,
            "train": train_counts,
            "validation": held_counts,
        }
        (whole / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        if out.exists():
            shutil.move(out, Path(temporary) / "replaced")
        whole.rename(out)
    return manifest


def _write_split(
    directory: Path, split: str, source: Path, tokenizer: "PreTrainedTokenizerFast"
) -> tuple[dict[str, int], "hashlib._Hash"]:
    """Writes tokens, mask and offsets of a file; `bytes` counts the text of scored tokens alone, `longest` tokens."""
    dtype, digest = stored_dtype(len(tokenizer)), hashlib.sha256()
    lengths: list[int] = []
    scored_bytes = 0
    with (directory / f"{split}.bin").open("wb") as tokens, (directory / f"{split}.scored.bin").open("wb") as marks:
        for texts, spans in _read(source):
            for ids, scored in _encode(tokenizer, texts, spans):
                for file, array in ((tokens, ids.astype(dtype)), (marks, scored.astype(np.uint8))):
                    digest.update(array.tobytes())
                    file.write(array.tobytes())
                lengths.append(len(ids))
            scored_bytes += sum(len(text[a:b].encode()) for text, own in zip(texts, spans, strict=True) for a, b in own)
    if not lengths:
        raise ValueError(f"{source} holds no document: write one a line")
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype("<u8")
    digest.update(offsets.tobytes())
    np.save(directory / f"{split}.offsets.npy", offsets)
    counts = {"tokens": int(offsets[-1]), "documents": len(lengths), "bytes": scored_bytes, "longest": max(lengths)}
    return counts, digest


def _encode(
    tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids and marks of each text."""
    encodings = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    for encoding, own in zip(encodings, spans, strict=True):
        starts = np.array([start for start, _ in encoding.offsets])
        yield np.array(encoding.ids, np.uint32), _inside(starts, own)


def _inside(places: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.any([(places >= start) & (places < end) for start, end in spans], axis=0)


def _read(source: Path) -> Iterator[tuple[list[str], list[list[tuple[int, int]]]]]:
    """Texts and spans, DOCUMENTS_A_CALL at a time."""
    texts: list[str] = []
    spans: list[list[tuple[int, int]]] = []
    with source.open() as lines:
        for number, line in enumerate(lines, start=1):
            text, own = _parse(line, f"{source}:{number}")
            texts.append(text)
            spans.append(own)
            if len(texts) == DOCUMENTS_A_CALL:
                yield texts, spans
                texts, spans = [], []
    if texts:
        yield texts, spans


def _parse(line: str, where: str) -> tuple[str, list[tuple[int, int]]]:
    try:
        document = json.loads(line)
        text, spans = document["text"], [(int(start), int(end)) for start, end in document["loss_spans"]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f'{where} is no document ({error}): write {{"text": ..., "loss_spans": [[0, 9]]}}') from None
    if not spans or not all(0 <= start < end <= len(text) for start, end in spans):
        raise ValueError(f"{where}: loss_spans {spans} do not lie in a text of {len(text)} characters: mend them")
    return text, spans
