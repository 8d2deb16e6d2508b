"""From the corpus params to the token store on disk."""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.tokenizer import BOS_ID, check_vocab_size, encode_bytes, train_tokenizer, vocabulary_bytes
from sweeps.corpus.excerpts import cut_excerpts
from sweeps.corpus.params import CorpusParams, ValidationParams, built_from
from sweeps.corpus.select import select_documents
from sweeps.corpus.sources import Document, file_stamps
from sweeps.tokens import SCHEMA_VERSION, stored_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# More text than this changes the merges little and takes minutes to count.
TOKENIZER_TRAINING_BYTES = 16_000_000
TEXTS_A_CALL = 256


def build_corpus(
    corpus: CorpusParams,
    vocab_size: int,
    validation: ValidationParams,
    out: Path,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Reads, cleans, splits and tokenises the text, writes the token store to `out` and returns its manifest.

    `out` appears whole, and a store that is there is replaced. The same params and texts give the same bytes.
    `progress` is told in a line what begins. Raises ValueError where the params ask for what is not there.
    """
    check_vocab_size(vocab_size)
    report = progress or (lambda line: None)
    stamps = file_stamps(corpus)
    selection = select_documents(corpus, report)
    if not selection.train:
        raise ValueError(
            f"corpus.max_bytes {corpus.max_bytes} and the {len(selection.validation)} held-out documents leave no "
            "training text: name more documents, or raise it"
        )
    excerpts = cut_excerpts(selection.validation, validation)
    train_texts = [candidate.document.text for candidate in selection.train]
    validation_texts = [excerpt.text for excerpt in excerpts]
    report(f"tokenising {len(train_texts)} documents")
    tokenizer = train_tokenizer(_first_bytes(train_texts, TOKENIZER_TRAINING_BYTES), vocab_size)

    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        whole = Path(temporary) / "whole"
        tokenizer.save_pretrained(whole / "tokenizer")
        train_counts, train_digest = _write_split(whole, "train", train_texts, tokenizer, vocab_size)
        held_counts, held_digest = _write_split(whole, "validation", validation_texts, tokenizer, vocab_size)
        for digest in (train_digest, held_digest):
            digest.update(vocabulary_bytes(tokenizer))
        lines = [json.dumps({"text": text}) + "\n" for text in validation_texts]
        (whole / "validation.jsonl").write_text("".join(lines))
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "layout": "text",
            "source": corpus.source,
            "params": built_from(corpus, vocab_size, validation),
            "files": stamps,
            "digest": train_digest.hexdigest(),
            "validation_digest": held_digest.hexdigest(),
            "vocab_size": vocab_size,
            "dtype": stored_dtype(vocab_size).name,
            "train": train_counts,
            "validation": held_counts,
            "groups": [
                *_group_rows([(candidate.document, candidate.document.text) for candidate in selection.train], "train"),
                *_group_rows([(excerpt.document, excerpt.text) for excerpt in excerpts], "validation"),
            ],
            "duplicates": asdict(selection.duplicates),
            "text_bytes_available": selection.text_bytes_available,
        }
        (whole / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        if out.exists():
            shutil.move(out, Path(temporary) / "replaced")
        whole.rename(out)
    return manifest


def _first_bytes(texts: Iterable[str], max_bytes: int) -> Iterator[str]:
    """Whole texts until they have that many bytes."""
    for text in texts:
        if max_bytes <= 0:
            return
        max_bytes -= len(text.encode())
        yield text


def _write_split(
    directory: Path, split: str, texts: Sequence[str], tokenizer: "PreTrainedTokenizerFast", vocab_size: int
) -> tuple[dict[str, int], "hashlib._Hash"]:
    """Writes the tokens, each text after a <|bos|>, and where each text starts; returns counts and a running digest."""
    dtype = stored_dtype(vocab_size)
    digest = hashlib.sha256()
    lengths = []
    with (directory / f"{split}.bin").open("wb") as file:
        for first in range(0, len(texts), TEXTS_A_CALL):
            for ids in encode_bytes(tokenizer, texts[first : first + TEXTS_A_CALL]):
                stored = np.concatenate(([BOS_ID], ids)).astype(dtype).tobytes()
                lengths.append(1 + len(ids))
                digest.update(stored)
                file.write(stored)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype("<u8")
    digest.update(offsets.tobytes())
    np.save(directory / f"{split}.offsets.npy", offsets)
    num_bytes = sum(len(text.encode()) for text in texts)
    return {"tokens": int(offsets[-1]), "documents": len(texts), "bytes": num_bytes}, digest


def _group_rows(texts: list[tuple[Document, str]], split: str) -> list[dict[str, Any]]:
    """One row a package, file or dataset: its version and licence, and what of it is in the split."""
    documents, num_bytes = Counter(), Counter()
    stated = {}
    for document, text in texts:
        documents[document.group] += 1
        num_bytes[document.group] += len(text.encode())
        stated[document.group] = (document.version, document.license)
    return [
        {
            "name": group,
            "version": stated[group][0],
            "license": stated[group][1],
            "documents": documents[group],
            "bytes": num_bytes[group],
            "split": split,
        }
        for group in sorted(documents)
    ]
