"""Checkpoints of random weights to measure on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from evals.inference.ceilings import Ceilings
from evals.inference.job import Job
from models import checkpoint, decoder
from models.ladder import Shape
from models.tokenizer import train_tokenizer

TEXT = "the quick brown fox jumps over the lazy dog. " * 20

Save = Callable[..., Path]


def saved(
    width: int, seed: int, folder: Path, vocab_size: int = 260, head: float = 1.0, num_layers: int | None = None
) -> Path:
    """A checkpoint of our family with random weights; `head` is how wide apart its logits are.

    num_layers: another depth than the family's.
    """
    train_tokenizer(["def f(x): return x"] * 3, vocab_size).save_pretrained(folder / "tokenizer")
    model = decoder.build(Shape(width), vocab_size, 128, seed)
    if num_layers is not None:
        model.config.num_hidden_layers = num_layers
        model = type(model)(model.config)
    torch.nn.init.normal_(model.lm_head.weight, std=head, generator=torch.Generator().manual_seed(seed))
    checkpoint.save(model, folder / "tokenizer", folder / "checkpoint")
    return folder / "checkpoint"


@pytest.fixture(scope="session")
def save() -> Save:
    return saved


@pytest.fixture(scope="session")
def ceilings() -> Ceilings:
    return Ceilings(1e10, {"float32": 5e10, "bfloat16": 5e10})


@pytest.fixture
def eager() -> Iterator[None]:
    """Without compiling: that compiled steps decode the same is shown where they are."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A target of width 32 and a drafter of width 16."""
    target, drafter = (saved(width, width, tmp_path_factory.mktemp(f"w{width}")) for width in (32, 16))
    return Job(
        "kv-cache", target, drafter, TEXT,
        prompt_tokens=32, new_tokens=12, batch=2, num_pairs=5, device="cpu",
    )  # fmt: skip
