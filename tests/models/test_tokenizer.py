"""The tokenizer loses nothing, invents nothing, and is the same tokenizer after a round trip through a directory."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from models.tokenizer import (
    BOS_ID,
    BYTES_ONLY_VOCAB_SIZE,
    EOS_ID,
    FIRST_BYTE_ID,
    MASK_ID,
    PAD_ID,
    SPECIALS,
    encode_bytes,
    train_tokenizer,
    vocabulary_bytes,
)

HARD_TEXTS = [
    "",
    " ",
    "  leading and trailing  ",
    "line\n\nline\r\nline\ttab\x0bvertical\x0cform",
    "\x00\x01\x1f\x7f\x80\x9f",
    "\ufeffmark \u200b\u200d\u2028\u2029 \u00a0 \u3000",
    "caf\u00e9 cafe\u0301 \ufb01 \u212b",
    "\U0001f389\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0010ffff",
    "it 's n't , . ! ?  do n't",
    "<|bos|> text <|eos|><|pad|> <|mask|><|bos|>",
    "def f(x):\n    return x  # 12345 1,000.00",
]


def random_texts(number: int) -> list[str]:
    choices = random.Random(0)
    spans = [(0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x110000)]
    return ["".join(chr(choices.randrange(*choices.choice(spans))) for _ in range(40)) for _ in range(number)]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(Path(np.__file__).parent.glob("*.py"))]


@pytest.fixture(scope="module", params=[BYTES_ONLY_VOCAB_SIZE, 1000])
def tokenizer(request: pytest.FixtureRequest, texts: list[str]) -> PreTrainedTokenizerFast:
    return train_tokenizer(texts, request.param)


@pytest.fixture(scope="module")
def reloaded(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    directory = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(directory)
    return AutoTokenizer.from_pretrained(directory)


def test_layout(tokenizer: PreTrainedTokenizerFast, reloaded: PreTrainedTokenizerFast) -> None:
    for loaded in (tokenizer, reloaded):
        assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id, loaded.mask_token_id) == (
            *(BOS_ID, EOS_ID, PAD_ID, MASK_ID),
        )
        assert [loaded.convert_tokens_to_ids(name) for name in SPECIALS.values()] == [0, 1, 2, 3]
        assert sorted(loaded.get_vocab().values()) == list(range(len(loaded)))
        assert loaded.decode([FIRST_BYTE_ID + byte for byte in b"all bytes"]) == "all bytes"


def test_every_text_comes_back(tokenizer: PreTrainedTokenizerFast, reloaded: PreTrainedTokenizerFast) -> None:
    for text in HARD_TEXTS + random_texts(100):
        ids = tokenizer(text)["input_ids"]
        assert reloaded(text)["input_ids"] == ids
        assert tokenizer.decode(ids) == text
        assert reloaded.decode(ids) == text


def test_special_tokens_come_from_nobody_but_us(
    tokenizer: PreTrainedTokenizerFast, reloaded: PreTrainedTokenizerFast
) -> None:
    for loaded in (tokenizer, reloaded):
        for text in HARD_TEXTS:
            assert min(loaded(text)["input_ids"], default=FIRST_BYTE_ID) >= FIRST_BYTE_ID
            assert loaded.encode(text) == loaded.encode(text, add_special_tokens=False)
        assert loaded.decode([BOS_ID, *loaded("hi")["input_ids"]], skip_special_tokens=True) == "hi"


def test_encode_bytes_equals_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = HARD_TEXTS + random_texts(20)
    for text, ids in zip(texts, encode_bytes(tokenizer, texts), strict=True):
        assert ids.dtype == np.uint32
        assert ids.tolist() == tokenizer(text)["input_ids"]


def test_without_merges_an_id_is_a_byte() -> None:
    tokenizer = train_tokenizer([], BYTES_ONLY_VOCAB_SIZE)
    text = "".join(map(chr, range(256)))
    assert tokenizer(text)["input_ids"] == [FIRST_BYTE_ID + byte for byte in text.encode()]


def test_merges_shorten_text_and_are_the_same_each_time(texts: list[str]) -> None:
    first, second = train_tokenizer(texts, 1000), train_tokenizer(iter(texts), 1000)
    assert vocabulary_bytes(first) == vocabulary_bytes(second) != vocabulary_bytes(train_tokenizer(texts, 999))
    assert len(first) == 1000
    assert len(first(texts[0])["input_ids"]) < 0.6 * len(texts[0].encode())


@pytest.mark.parametrize("vocab_size", [-1, 0, 259])
def test_a_vocabulary_too_small_for_the_bytes_is_refused(vocab_size: int) -> None:
    with pytest.raises(ValueError, match=f"tokenizer.vocab_size {vocab_size} .* 260 or more"):
        train_tokenizer([], vocab_size)


def test_more_merges_than_the_texts_hold_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tokenizer.vocab_size 5000 .* use 262"):
        train_tokenizer(["ab ab"], 5000)


def test_config_modules_do_not_pay_for_transformers() -> None:
    import subprocess

    code = "import sys, models.tokenizer; print(sorted({'transformers', 'tokenizers'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
