"""Items to measure on, a checkpoint with something to measure, and torch alone to measure it with."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evals.abilities import ABILITIES, items, write_items, write_text_items

NUM_ITEMS = 24
WORDS = ["the", "law", "says", "how", "loss", "falls", "with", "size", "and", "data"]


@pytest.fixture(scope="session")
def item_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 items of every ability and style, and of text."""
    folder = tmp_path_factory.mktemp("items")
    write_items(folder, NUM_ITEMS, seed=0)
    texts = [" ".join(Random(n).choices(WORDS, k=400)) for n in range(4)]
    write_text_items(folder, texts, NUM_ITEMS, seed=0)
    return folder


@pytest.fixture(scope="session")
def rows_of(item_files: Path) -> Callable[[str], list[dict[str, Any]]]:
    """The lines of an item file by its name."""
    return lambda name: [json.loads(line) for line in (item_files / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def half_taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a token a byte, that knows half of the items of three abilities by heart and guesses the others."""
    import torch

    from models import checkpoint, decoder
    from models.ladder import Shape
    from models.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("half-taught")
    known = [
        item.prompt + item.target
        for name in ("transform", "recall", "parity")
        for style in ABILITIES[name].styles
        for item in items(ABILITIES[name], style, NUM_ITEMS, seed=0)[::2]
    ]
    tokenizer = train_tokenizer([], 260)
    tokenizer.save_pretrained(folder / "tokenizer")
    model = decoder.build(Shape(32), len(tokenizer), 64, seed=0)
    encoded = tokenizer(known, padding=True, padding_side="right", return_tensors="pt")
    ids, labels = encoded["input_ids"], encoded["input_ids"].masked_fill(encoded["attention_mask"] == 0, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimiser.step()
    checkpoint.save(model, folder / "tokenizer", folder / "checkpoint")
    return folder / "checkpoint"


@pytest.fixture(scope="session")
def torch_alone() -> Callable[[Path], Callable[[str, str], tuple[float, bool]]]:
    """Of a checkpoint: the log-likelihood of a text after a prompt, and whether each of its tokens is the likeliest.

    One row at a time, without padding, batches or caches.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def read(directory: Path) -> Callable[[str, str], tuple[float, bool]]:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)

        @torch.no_grad()
        def score(prompt: str, target: str) -> tuple[float, bool]:
            before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            ids = tokenizer(prompt + target, add_special_tokens=False)["input_ids"]
            assert ids[: len(before)] == before
            logits = model(input_ids=torch.tensor([ids])).logits[0, len(before) - 1 : -1].double()
            after = torch.tensor(ids[len(before) :])
            logprob = logits.log_softmax(-1).gather(1, after[:, None]).sum().item()
            return logprob, bool((logits.argmax(-1) == after).all())

        return score

    return read
