"""The order of training windows: nothing twice, every step on its own, and the store read back as it was written."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from models.tokenizer import BOS_ID, FIRST_BYTE_ID
from sweeps.corpus import CorpusParams, ValidationParams
from sweeps.corpus.build import build_corpus
from sweeps.tokens import TokenData, WindowBatches, load_tokens, stored_dtype

T, B = 16, 4
TOKENS = np.arange(10_007, dtype=np.uint16)  # Each token is its own place, so that a repeat shows.


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenData:
    out = tmp_path_factory.mktemp("data") / "small"
    corpus = CorpusParams(packages=("jinja2", "requests"), validation_groups=("itsdangerous", "tomlkit"))
    build_corpus(corpus, 260, ValidationParams(documents=10, document_bytes=300), out)
    return load_tokens(out)


def all_batches(order: WindowBatches, steps: int) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = zip(*(order.batch(step) for step in range(steps)), strict=True)
    return np.concatenate(inputs), np.concatenate(targets)


def test_batches_are_consecutive_tokens_and_their_successors() -> None:
    inputs, targets = WindowBatches(TOKENS, T, B, seed=0).batch(3)
    assert inputs.shape == targets.shape == (B, T)
    assert inputs.dtype == targets.dtype == np.int64
    assert (np.diff(inputs, axis=1) == 1).all()
    assert (targets == inputs + 1).all()


def test_no_token_is_seen_twice_and_all_windows_are_seen() -> None:
    order = WindowBatches(TOKENS, T, B, seed=0)
    steps = order.num_windows // B
    inputs, targets = all_batches(order, steps)
    assert order.num_windows == (len(TOKENS) - 1) // T
    assert len(np.unique(inputs)) == inputs.size == len(np.unique(targets)) == steps * B * T


def test_any_step_alone_equals_the_sequence() -> None:
    sequential = WindowBatches(TOKENS, T, B, seed=1, unique_tokens=50 * T)
    in_order = [sequential.batch(step) for step in range(60)]
    for step in np.random.default_rng(0).permutation(60):
        resumed = WindowBatches(TOKENS, T, B, seed=1, unique_tokens=50 * T)
        for again in (resumed, sequential):
            np.testing.assert_array_equal(again.batch(int(step)), in_order[step])


def test_the_seed_decides_the_order() -> None:
    first, same, other = (WindowBatches(TOKENS, T, B, seed).windows(0).tolist() for seed in (0, 0, 1))
    assert first == same != other


def test_unique_tokens_repeat_in_epochs_each_shuffled_anew() -> None:
    num_windows = 50
    order = WindowBatches(TOKENS, T, B, seed=2, unique_tokens=num_windows * T + 3)
    windows = np.concatenate([order.windows(step) for step in range(100)]).reshape(-1, num_windows)
    assert len(windows) == 8
    assert all(set(epoch) == set(windows[0]) and len(set(epoch)) == num_windows for epoch in windows.tolist())
    assert len({tuple(epoch) for epoch in windows.tolist()}) == len(windows)
    assert order.tokens_available == num_windows * T


def test_an_epoch_shorter_than_a_batch_still_fills_it() -> None:
    windows = WindowBatches(TOKENS, T, windows_per_batch=8, seed=0, unique_tokens=3 * T).windows(5)
    assert len(windows) == 8
    assert len(set(windows.tolist())) == 3


def test_within_the_unique_tokens_the_bound_changes_nothing() -> None:
    free, bound = WindowBatches(TOKENS, T, B, 3), WindowBatches(TOKENS, T, B, 3, unique_tokens=40 * T)
    np.testing.assert_array_equal(all_batches(free, 10), all_batches(bound, 10))


@pytest.mark.parametrize(
    ("unique_tokens", "message"),
    [(10_016, "unique_tokens 10016 is more than the 10000 .* raise corpus.max_bytes"), (15, "unique_tokens 15 .* 16")],
)
def test_unique_tokens_that_do_not_exist_are_refused(unique_tokens: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowBatches(TOKENS, T, B, 0, unique_tokens)


def test_more_tokens_than_there_are_is_refused() -> None:
    order = WindowBatches(TOKENS, T, B, 0)
    order.require(order.tokens_available)
    remedy = "tokens .* is more than the 10000 .*: raise corpus.max_bytes, lower tokens, or set unique_tokens"
    with pytest.raises(ValueError, match=remedy):
        order.require(order.tokens_available + 1)
    with pytest.raises(ValueError, match=remedy):
        order.batch(order.num_windows // B)
    with pytest.raises(ValueError, match="sequence_length 20000 does not fit"):
        WindowBatches(TOKENS, 20_000, B, 0)
    WindowBatches(TOKENS, T, B, 0, unique_tokens=160).require(10**12)


def test_the_store_is_what_the_manifest_says(store: TokenData) -> None:
    manifest = store.manifest
    offsets = np.load(store.path / "train.offsets.npy")
    assert manifest["dtype"] == store.train.dtype.name == "uint16"
    assert offsets.dtype == np.uint64
    assert len(store.train) == offsets[-1] == manifest["train"]["tokens"]
    assert len(offsets) - 1 == manifest["train"]["documents"]
    assert (store.train[offsets[:-1].astype(int)] == BOS_ID).all()
    assert np.count_nonzero(np.asarray(store.train) == BOS_ID) == manifest["train"]["documents"]
    assert manifest["train"]["tokens"] == manifest["train"]["bytes"] + manifest["train"]["documents"]
    for split in ("train", "validation"):
        rows = [row for row in manifest["groups"] if row["split"] == split]
        assert sum(row["documents"] for row in rows) == manifest[split]["documents"]
        assert sum(row["bytes"] for row in rows) == manifest[split]["bytes"]


def test_validation_tokens_are_the_bytes_of_the_jsonl(store: TokenData) -> None:
    lines = (store.path / "validation.jsonl").read_text().splitlines()
    assert len(lines) == len(store.validation) == store.manifest["validation"]["documents"] == 10
    for line, ids in zip(lines, store.validation, strict=True):
        assert ids[0] == BOS_ID
        assert bytes((ids[1:] - FIRST_BYTE_ID).astype(np.uint8)).decode() == json.loads(line)["text"]


def test_a_batch_of_the_store_takes_little_time(store: TokenData) -> None:
    order = store.windows(128, 8, seed=0, unique_tokens=100 * 128)
    order.batch(0)
    seconds = []
    for step in range(200):
        start = time.perf_counter()
        order.batch(step)
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 300e-6  # About 25 microseconds on an idle core; the slack is for a busy machine.


def test_four_bytes_hold_what_two_cannot() -> None:
    assert (stored_dtype(65_536), stored_dtype(65_537)) == (np.dtype("<u2"), np.dtype("<u4"))


def test_a_missing_or_foreign_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no manifest.json: build the corpus first"):
        load_tokens(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}')
    with pytest.raises(ValueError, match="schema_version 99, not 2: build it again"):
        load_tokens(tmp_path)
