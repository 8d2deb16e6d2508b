"""A word to repeat: documents, a teacher's and a student's job in small, for the tests of distillation."""

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.ladder import Shape
from models.tokenizer import FIRST_BYTE_ID, train_tokenizer
from sweeps import store
from sweeps.corpus.documents import build_documents
from sweeps.distil.job import DistilJob
from sweeps.distil.params import Way
from sweeps.documents import load_documents
from sweeps.grid import Training

T, B = 16, 8
TRAINING = Training(T, T * B, learning_rate=0.02, warmup_steps=10, compile=False)
WORDS = ["".join(word) for length in (2, 3) for word in itertools.product("abcd", repeat=length)]
# The data repeat the word; the teacher was taught to do so without c and d, which nobody learns from the data.
SAME, FOLDED = str, (lambda word: word.translate(str.maketrans("cd", "ab")))
END = FIRST_BYTE_ID + ord(".")


def build(directory: Path, answer_to: Callable[[str], str]) -> Path:
    """A store of 640 documents like `to:abc>abc.`, held out 16 more, in an order of its own."""
    directory.mkdir()
    train_tokenizer([], 260).save_pretrained(directory / "tokenizer")
    words = random.Random(0).choices(WORDS, k=656)
    lines = []
    for word in words:
        text = f"to:{word}>{answer_to(word)}."
        lines.append(json.dumps({"text": text, "loss_spans": [[text.index(">") + 1, len(text)]]}) + "\n")
    (directory / "train.jsonl").write_text("".join(lines[16:]))
    (directory / "held.jsonl").write_text("".join(lines[:16]))
    build_documents(
        directory / "train.jsonl", directory / "held.jsonl", directory / "tokenizer", {}, directory / "store"
    )
    return directory / "store"


def make_job(data: Path, runs: Path, teacher: Path, digest: str = "", way: Way = "data", **changes: Any) -> DistilJob:
    manifest = load_documents(data).manifest
    recipe = store.Recipe(TRAINING, 260, manifest["digest"], manifest["validation_digest"], "cpu", "code")
    fields = {"shape": Shape(8), "seed": 0, "tokens": 80 * T * B, "on_policy_share": 0.5, "beta": 0.5, **changes}
    return DistilJob(way, teacher, digest, recipe=recipe, data=data, runs=runs, revision="", **fields)
