"""Documents with a loss mask: what is built is what was written, and only scored tokens are learned from."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import decoder
from models.ladder import Shape
from models.tokenizer import FIRST_BYTE_ID, PAD_ID, train_tokenizer
from sweeps.corpus.documents import build_documents
from sweeps.data import load_data
from sweeps.documents import NO_TARGET, DocumentData, load_documents
from sweeps.grid import Cell, Training
from sweeps.store import Recipe
from sweeps.tokens import TokenData
from sweeps.train import Loop, batch_loss
from sweeps.validation import validation_loss

T, B = 16, 4
TEXTS = [f"rev:{word}>{word[::-1]}." for word in ("abc", "hello", "scale", "zz", "token", "loss", "gru")]


def spans(text: str) -> list[list[int]]:
    return [[text.index(">") + 1, len(text)]]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DocumentData:
    return build(tmp_path_factory.mktemp("documents"), 260)


def build(directory: Path, vocab_size: int) -> DocumentData:
    train_tokenizer(TEXTS * 50, vocab_size).save_pretrained(directory / "tokenizer")
    train = write(directory / "train.jsonl", [{"text": text, "loss_spans": spans(text)} for text in TEXTS])
    held = write(directory / "held.jsonl", [{"text": text, "loss_spans": spans(text)} for text in TEXTS[:3]])
    build_documents(train, held, directory / "tokenizer", {"made": "here"}, directory / "store")
    return load_documents(directory / "store")


def decoded(row: np.ndarray) -> str:
    return bytes(int(token) - FIRST_BYTE_ID for token in row if token >= FIRST_BYTE_ID).decode()


def test_a_row_is_a_document_and_its_targets_are_the_answer(data: DocumentData) -> None:
    batches = data.windows(T, B, seed=0)
    assert batches.num_windows == len(TEXTS)
    seen = []
    for inputs, targets in (batches.batch(0), data.windows(T, 3, seed=0).batch(1)):
        assert inputs.shape == targets.shape
        for row, wanted in zip(inputs, targets, strict=True):
            text = next(text for text in TEXTS if text.startswith(decoded(row)) or decoded(row) == text)
            assert decoded(wanted[wanted != NO_TARGET]) == text.partition(">")[2]
            assert (row[len(text) :] == PAD_ID).all()
            seen.append(text)
    assert set(seen) <= set(TEXTS)
    assert len(set(seen[:B])) == B


def test_scored_tokens_cover_the_spans_where_a_token_is_several_characters(tmp_path: Path) -> None:
    store = build(tmp_path, 290)
    tokenizer_tokens = np.diff(store.train.offsets)
    assert tokenizer_tokens.sum() < sum(map(len, TEXTS))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(store.tokenizer_path)
    for index, text in enumerate(TEXTS):
        part = slice(store.train.offsets[index], store.train.offsets[index + 1])
        scored = store.train.tokens[part][store.train.scored[part] > 0]
        assert tokenizer.decode(store.train.tokens[part]) == text
        # Whole tokens: at most the first may begin before the answer, and then it is not scored.
        assert text.partition(">")[2].endswith(tokenizer.decode(scored))


def test_the_manifest_tells_documents_from_text(data: DocumentData, token_store: Path) -> None:
    assert isinstance(load_data(data.path), DocumentData)
    assert isinstance(load_data(token_store), TokenData)
    assert data.manifest["params"] == {"made": "here"}
    answers = sum(len(text.partition(">")[2]) for text in TEXTS[:3])
    lengths = [len(text) for text in TEXTS[:3]]
    counts = {"tokens": sum(lengths), "documents": 3, "bytes": answers, "longest": max(lengths)}
    assert data.manifest["validation"] == counts


def test_the_same_files_have_the_same_digest_and_another_mask_another(tmp_path: Path, data: DocumentData) -> None:
    rows = [{"text": text, "loss_spans": spans(text)} for text in TEXTS]
    held = write(tmp_path / "held.jsonl", rows[:3])

    def digest_of(train: list[dict[str, Any]]) -> str:
        path = write(tmp_path / "train.jsonl", train)
        return build_documents(path, held, data.tokenizer_path, {}, tmp_path / "store")["digest"]

    assert digest_of(rows) == data.manifest["digest"]
    assert digest_of([{**rows[0], "loss_spans": [[0, 4]]}, *rows[1:]]) != data.manifest["digest"]


@pytest.mark.usefixtures("one_thread")
def test_only_scored_tokens_move_the_loss(data: DocumentData) -> None:
    training = Training(sequence_length=T, batch_tokens=T * B, warmup_steps=1, compile=False)
    recipe = Recipe(training, 260, "", "", "cpu", "")
    loop = Loop(Cell("s", "decoder", 16, 0, (4,)), recipe, data)
    inputs, targets = data.windows(T, B, 0).batch(0)
    with torch.no_grad():
        loop.model.lm_head.weight.normal_(generator=torch.Generator().manual_seed(0))
        rows = (torch.from_numpy(array) for array in (inputs, targets))
        loss = batch_loss(loop.model, loop.position_ids_1T, "float32", *rows).item()
        log_probs = torch.log_softmax(loop.model(input_ids=torch.from_numpy(inputs)).logits, -1).numpy()
    by_hand = [
        -log_probs[b, t, targets[b, t]] for b in range(B) for t in range(T) if targets[b, t] != NO_TARGET
    ]  # fmt: skip
    assert loss == pytest.approx(np.mean(by_hand), rel=1e-5)
    assert len(by_hand) == sum(len(decoded(row[row != NO_TARGET])) for row in targets)


@pytest.mark.usefixtures("one_thread")
def test_validation_scores_the_answers_alone(data: DocumentData) -> None:
    windows = data.validation_windows(T)
    answers = data.manifest["validation"]["bytes"]
    assert windows.scored_WT.sum() == answers
    uniform = decoder.build(Shape(16), 260, T, 0)  # its output head is zero
    found = validation_loss(uniform, windows, answers, torch.device("cpu"))
    assert found.loss == pytest.approx(math.log(260), rel=1e-6)
    assert found.bits_per_byte == pytest.approx(math.log2(260), rel=1e-6)


def test_a_window_too_short_for_a_document_is_refused(data: DocumentData) -> None:
    with pytest.raises(ValueError, match="sequence_length 8 cuts documents of 16 tokens: use 15"):
        data.windows(8, B, 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "train.jsonl:2 is no document"),
        ('{"text": "abc"}', "is no document .'loss_spans'.: write"),
        ('{"text": "abc", "loss_spans": []}', "loss_spans .. do not lie in a text of 3 characters"),
        ('{"text": "abc", "loss_spans": [[1, 4]]}', "do not lie in a text of 3 characters"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_number(tmp_path: Path, data: DocumentData, line: str, message: str) -> None:
    good = json.dumps({"text": TEXTS[0], "loss_spans": spans(TEXTS[0])})
    (tmp_path / "train.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(ValueError, match=message):
        build_documents(tmp_path / "train.jsonl", tmp_path / "train.jsonl", data.tokenizer_path, {}, tmp_path / "store")
    assert not (tmp_path / "store").exists()
