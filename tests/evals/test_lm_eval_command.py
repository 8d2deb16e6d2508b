"""lm-eval's own command line on a checkpoint that is none of ours gives every metric, and the harness's values."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from evals.abilities import ABILITIES, documents
from evals.harness import evaluate

TASKS = ["scalelab", "scalelab_recall_direct_generate", "scalelab_parity_steps_sampled"]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-NeoX with a byte-level BPE of words and pieces of our documents, saved as anyone would."""
    folder = tmp_path_factory.mktemp("foreign")
    backend: Any = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False
    )
    texts = [doc.text for ability in ABILITIES.values() for doc in documents(ability, 50, seed=0)]
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
    )
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


def command_line(foreign: Path, item_files: Path, place: Path, root: Path) -> dict[str, Any]:
    """The result file of `lm_eval` run in a directory where data/abilities/items is."""
    (place / "data" / "abilities").mkdir(parents=True)
    (place / "data" / "abilities" / "items").symlink_to(item_files)
    environment = {**os.environ, "HF_HOME": str(place / "home")}
    command = [str(Path(sys.executable).parent / "lm_eval"), "run", "--model", "hf"]
    command += ["--model_args", f"pretrained={foreign},dtype=float32,add_bos_token=False"]
    command += ["--include_path", str(root / "evals" / "tasks"), "--tasks", ",".join(TASKS)]
    command += ["--limit", "8", "--device", "cpu", "--batch_size", "64", "--output_path", "out", "--log_samples"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(place.glob("home/datasets/*"))
    (found,) = place.glob("out/**/results_*.json")
    assert len(list(place.glob("out/**/samples_scalelab_*.jsonl"))) == 32 + 2
    return json.loads(found.read_text())


@pytest.mark.usefixtures("one_thread")
def test_the_command_line_gives_what_the_harness_gives(
    foreign: Path, item_files: Path, tmp_path: Path, root: Path
) -> None:
    found = command_line(foreign, item_files, tmp_path, root)["results"]
    ours = evaluate(foreign, TASKS, items=item_files, limit=8)
    assert all(sample.metrics["exact_match"] in (0, 1) for sample in ours.samples if "exact_match" in sample.metrics)
    compared = 0
    for score in ours.scores:
        if score.metric == "icl_score":
            continue
        value = found[score.task][f"{score.metric},none"]
        assert math.isfinite(value)
        if "sampled" not in score.task:  # Drawn anew.
            assert value == pytest.approx(score.value, abs=1e-4), (score.task, score.metric)
        if score.metric in ("exact_match", "acc"):
            assert found[score.task]["chance,none"] == pytest.approx(score.chance)
        compared += 1
    assert compared == sum("," in key and "_stderr" not in key for row in found.values() for key in row) - 32
