"""An independent judge: lm-eval reads a checkpoint from its path and finds the loss that our evaluation finds."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from models import checkpoint, decoder
from models.ladder import Shape
from sweeps.corpus import CorpusParams, ValidationParams
from sweeps.corpus.build import build_corpus
from sweeps.tokens import load_tokens
from sweeps.validation import validation_loss
from sweeps.windows import rolling_windows

LENGTH = 64


def judged(directory: Path, documents: Path) -> dict[str, Any]:
    """lm-eval's rolling log-likelihood of a file of texts, with its own tokenisation, windows and prefix token."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    task = {
        "task": "validation",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(documents)}},
        "test_split": "test",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}, {"metric": "byte_perplexity"}],
    }
    judge = HFLM(pretrained=str(directory), device="cpu", dtype="float32", batch_size=4)
    assert judge.max_length == LENGTH
    assert judge.prefix_token_id == 0
    tasks = TaskManager(include_defaults=False)
    found = lm_eval.simple_evaluate(judge, tasks=[task], task_manager=tasks, bootstrap_iters=0)
    assert found is not None
    assert found["n-samples"]["validation"]["effective"] == documents.read_bytes().count(b"\n")
    return found["results"]["validation"]


@pytest.mark.usefixtures("one_thread")
def test_lm_eval_finds_the_recorded_loss(trained) -> None:
    record = trained.record(163_840)
    measured = judged(trained.branch(163_840) / "checkpoint", trained.path / "data" / "corpus" / "validation.jsonl")
    assert measured["bits_per_byte,none"] == pytest.approx(record["bits_per_byte"], abs=1e-5)
    # A token is a byte here: the perplexity of a byte is that of a token.
    assert math.log(measured["byte_perplexity,none"]) == pytest.approx(record["loss"], abs=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_lm_eval_agrees_where_tokens_are_longer_than_bytes(token_store: Path, tmp_path: Path) -> None:
    corpus = CorpusParams(source="files", paths=(f"{token_store.parent}/text/*.txt",), validation_share=0.25)
    build_corpus(corpus, 400, ValidationParams(documents=5, document_bytes=700), tmp_path / "tokens")
    data = load_tokens(tmp_path / "tokens")
    model = decoder.build(Shape(16), 400, LENGTH, 0)
    with torch.no_grad():  # Fresh, the head would guess uniformly, whatever it is shown.
        model.lm_head.weight.copy_(torch.randn(400, 16, generator=torch.Generator().manual_seed(0)))
    checkpoint.save(model, data.tokenizer_path, tmp_path / "checkpoint")

    text_bytes = data.manifest["validation"]["bytes"]
    windows = rolling_windows(data.validation, LENGTH)
    ours = validation_loss(model, windows, text_bytes, torch.device("cpu"))
    assert data.manifest["validation"]["tokens"] < 0.8 * text_bytes
    measured = judged(tmp_path / "checkpoint", tmp_path / "tokens" / "validation.jsonl")
    assert measured["bits_per_byte,none"] == pytest.approx(ours.bits_per_byte, rel=1e-6)
