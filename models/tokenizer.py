"""Byte-level BPE in which every text has a spelling and no text can spell a special token.

Ids: 0 to 3 the special tokens, 4 + b the byte b, then the merges in the order they were learned. The smallest setting
has no merges, so that a token is a byte and a loss in nats a token is a loss in nats a byte.
"""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerFast

SPECIALS = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>", "mask_token": "<|mask|>"}
BOS_ID, EOS_ID, PAD_ID, MASK_ID = range(len(SPECIALS))
FIRST_BYTE_ID = len(SPECIALS)
BYTES_ONLY_VOCAB_SIZE = FIRST_BYTE_ID + 256


def check_vocab_size(vocab_size: int) -> None:
    """Raises ValueError for a vocabulary that cannot hold the bytes and the special tokens."""
    if vocab_size < BYTES_ONLY_VOCAB_SIZE:
        raise ValueError(
            f"tokenizer.vocab_size {vocab_size} is too small: 256 bytes and {len(SPECIALS)} special tokens need "
            f"{BYTES_ONLY_VOCAB_SIZE}, so use {BYTES_ONLY_VOCAB_SIZE} or more"
        )


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> "PreTrainedTokenizerFast":
    """A tokenizer of exactly `vocab_size` entries; `texts` is read only where there are merges to learn.

    Encoding adds no special token, decoding an encoded text returns it unchanged, and the text of a special token
    ("<|bos|>" in a document) is encoded as plain bytes. Raises ValueError for fewer than 260 entries, and where the
    texts hold too few repeated pairs for that many merges.
    """
    check_vocab_size(vocab_size)
    merges = _learn_merges(texts, vocab_size - BYTES_ONLY_VOCAB_SIZE) if vocab_size > BYTES_ONLY_VOCAB_SIZE else []
    tokenizer = _wrap(merges)
    if len(tokenizer) < vocab_size:
        raise ValueError(
            f"tokenizer.vocab_size {vocab_size} is more than the texts can fill: train on more text, or use "
            f"{len(tokenizer)}"
        )
    return tokenizer


def encode_bytes(tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str]) -> "list[np.ndarray]":
    """Token ids of each text as uint32 arrays, as the tokenizer gives them, without special tokens."""
    import numpy as np

    if len(tokenizer) == BYTES_ONLY_VOCAB_SIZE:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.uint32) + FIRST_BYTE_ID for text in texts]
    encodings = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [np.array(encoding.ids, np.uint32) for encoding in encodings]


def vocabulary_bytes(tokenizer: "PreTrainedTokenizerFast") -> bytes:
    """What decides the ids of a text, in a form that does not depend on a library's version: the thing to digest."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return json.dumps([model["vocab"], model["merges"]], sort_keys=True).encode()


def _byte_symbols() -> list[str]:
    """The printable character by which byte-level BPE spells each byte (Radford et al. 2019), in the order of bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable} | {byte: chr(256 + rank) for rank, byte in enumerate(others)}
    return [symbols[byte] for byte in range(256)]


def _learn_merges(texts: Iterable[str], num_merges: int) -> list[tuple[str, str]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=256 + num_merges, initial_alphabet=_byte_symbols(), show_progress=False, special_tokens=[]
    )
    learner.train_from_iterator(texts, trainer)
    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]


def _wrap(merges: list[tuple[str, str]]) -> "PreTrainedTokenizerFast":
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # Two merges can spell one entry ("a" + "bc", "ab" + "c"): it keeps its first place.
    entries = dict.fromkeys([*SPECIALS.values(), *_byte_symbols(), *(left + right for left, right in merges)])
    backend: Tokenizer = Tokenizer(models.BPE(vocab={entry: i for i, entry in enumerate(entries)}, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=bool(merges))  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS.values()])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, split_special_tokens=True, clean_up_tokenization_spaces=False, **SPECIALS
    )
