"""What cannot be distilled is refused in one line, before anything is trained."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models import checkpoint, decoder
from models.ladder import Shape
from sweeps.corpus.documents import build_documents
from sweeps.distil.answers import answer_format
from sweeps.distil.job import DistilJob, checkpoint_digest
from sweeps.distil.params import DistillationParams
from sweeps.distil.train import distil
from sweeps.documents import DocumentData, load_documents
from tests.sweeps.distil_runs import TRAINING, T

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_teacher_of_another_vocabulary_or_window_is_refused(
    job: Callable[..., DistilJob], data: DocumentData, tmp_path: Path
) -> None:
    for name, vocab_size, window in (("vocabulary", 300, T), ("window", 260, T - 1)):
        checkpoint.save(decoder.build(Shape(8), vocab_size, window, 0), data.tokenizer_path, tmp_path / name)
    with pytest.raises(ValueError, match="vocabulary of 300 tokens, the student one of 260: use one tokenizer"):
        distil(replace(job("logits"), teacher=tmp_path / "vocabulary", runs=tmp_path))
    with pytest.raises(ValueError, match="window of 15 tokens, the student one of 16"):
        distil(replace(job("on-policy"), teacher=tmp_path / "window", runs=tmp_path))
    with pytest.raises(ValueError, match=r"has no config.json: give a Hugging Face directory"):
        checkpoint_digest(tmp_path)


def test_data_that_changed_or_have_no_answers_are_refused(
    job: Callable[..., DistilJob], token_store: Path, tmp_path: Path
) -> None:
    made = job("data")
    with pytest.raises(ValueError, match="was built anew since this comparison began"):
        distil(replace(made, recipe=replace(made.recipe, data_digest="old"), runs=tmp_path))
    with pytest.raises(ValueError, match="holds running text: distil on documents"):
        distil(replace(made, data=token_store, runs=tmp_path))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([("a>b.", [[2, 4]]), ("a>b!", [[2, 4]])], "documents end in 2 different tokens"),
        ([("a>b.", [[2, 3]])], "a document's scored part is not its end"),
        ([("a>b.c.", [[2, 4], [5, 6]])], "a document's scored part is not its end"),
        ([("a>b.", [[0, 4]])], "a document is scored from its first token on"),
    ],
)
def test_documents_without_an_answer_at_the_end_are_refused(
    data: DocumentData, tmp_path: Path, lines: list[tuple[str, list[list[int]]]], message: str
) -> None:
    rows = [json.dumps({"text": text, "loss_spans": spans}) for text, spans in lines]
    (tmp_path / "lines.jsonl").write_text("\n".join(rows) + "\n")
    build_documents(tmp_path / "lines.jsonl", tmp_path / "lines.jsonl", data.tokenizer_path, {}, tmp_path / "store")
    with pytest.raises(ValueError, match=message):
        answer_format(load_documents(tmp_path / "store").train)


def test_a_window_without_room_for_padded_prompts_is_refused(job: Callable[..., DistilJob], tmp_path: Path) -> None:
    made = job("data")
    narrow = replace(TRAINING, sequence_length=10, batch_tokens=80)
    with pytest.raises(ValueError, match="sequence_length 10 has no room for answers of 4 tokens after prompts of 7"):
        distil(replace(made, recipe=replace(made.recipe, training=narrow), runs=tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"way": "magic"}, "way 'magic': give one of data, sequence, logits, on-policy"),
        ({"tokens": 1000}, "tokens 1000 are 8 steps of 128: give at least 2560"),
        ({"on_policy_share": 0.0}, "on_policy_share is 0.0"),
        ({"beta": 1.5}, "beta is 1.5"),
    ],
)
def test_a_job_that_cannot_be_is_refused(job: Callable[..., DistilJob], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(job("data"), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": (0,)}, r"seeds is \[0\]: give two or more"),
        ({"seeds": (0, 0)}, r"seeds is \[0, 0\]: list one or more, each once"),
        ({"sizes": ()}, "sizes is"),
        ({"sizes": (17,)}, "width 17 is not a multiple of 16"),
        ({"ways": ("logits", "sequence")}, "give data, which the others are held against"),
        ({"ways": ("data",)}, "and another"),
        ({"teacher": "w0048-s3"}, "give cell/branch"),
        ({"num_draft": 0}, "num_draft is 0"),
        ({"beta": -1.0}, "beta is -1.0"),
    ],
)
def test_params_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistillationParams(**change)
