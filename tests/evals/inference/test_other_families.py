"""Checkpoints that are not ours: another architecture, grouped key-value heads, tied embeddings."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evals.inference.ceilings import Ceilings
from evals.inference.job import Job
from evals.inference.measure import measure
from models import checkpoint
from models.tokenizer import train_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
CEILINGS = Ceilings(1e10, {"float32": 5e10, "bfloat16": 5e10})


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    train_tokenizer(["def f(x): return x"] * 3, 262).save_pretrained(folder / "tokenizer")
    config = LlamaConfig(
        vocab_size=262, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=96, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(0))
    checkpoint.save(model, folder / "tokenizer", folder / "checkpoint")
    return folder / "checkpoint"


@pytest.mark.parametrize(
    "technique", ["kv-cache", "static-cache", "int8-weight-only", "early-exit", "prefix-cache", "tensor-parallel-2"]
)
def test_another_architecture_is_measured_like_ours(llama: Path, technique: str) -> None:
    text = "the quick brown fox jumps over the lazy dog. " * 20
    job = Job(technique, llama, None, text, prompt_tokens=24, new_tokens=8, batch=2, num_pairs=6, device="cpu")
    with torch.compiler.set_stance("force_eager"):
        row = measure(job, CEILINGS)
    assert row["status"] == "ok", row["reason"]
    assert (row["family"], row["layers"], row["size"]) == ("llama", 2, 32)
    assert row["check"]["passed"]
