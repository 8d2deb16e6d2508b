"""The page's commands on a checkpoint that is none of ours: lm-eval's command line gives what the harness gives."""

import json
import math
import os
import shlex
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
LIMIT = 8


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


def page_commands(root: Path) -> tuple[list[str], list[str]]:
    """The one that writes items and the one that asks them."""
    section = (root / "docs/own-models.md").read_text().partition("## What is it able to do?\n")[2]
    writes, asks = map(shlex.split, section.split("```sh\n")[1].partition("```")[0].strip().splitlines())
    return writes, asks


def run_in(place: Path, command: list[str]) -> None:
    """Runs a console script of this environment; the libraries' caches are below the place."""
    environment = {**os.environ, "HF_HOME": str(place / "home")}
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, foreign: Path, root: Path) -> Path:
    """A directory with our tasks in which the page's commands were run, with more tasks and fewer items."""
    place = tmp_path_factory.mktemp("elsewhere")
    (place / "evals").symlink_to(root / "evals")
    writes, asks = page_commands(root)
    run_in(place, writes)
    asks = [argument.replace("=DIR,", f"={foreign},") for argument in asks]
    asks[asks.index("scalelab")] = ",".join(TASKS)
    run_in(place, [*asks, "--limit", str(LIMIT), "--log_samples"])
    return place


@pytest.mark.usefixtures("one_thread")
def test_the_command_line_gives_what_the_harness_gives(foreign: Path, place: Path) -> None:
    (file,) = place.glob("data/scores/**/results_*.json")
    found = json.loads(file.read_text())["results"]
    ours = evaluate(foreign, TASKS, items=place / "data" / "items", limit=LIMIT)
    metrics = set()
    for score in ours.scores:
        value = found[score.task][f"{score.metric},none"]
        assert math.isfinite(value)
        if "sampled" not in score.task:  # Drawn anew.
            assert value == pytest.approx(score.value, abs=1e-4), (score.task, score.metric)
        if score.metric in ("exact_match", "acc"):
            assert found[score.task]["chance,none"] == pytest.approx(score.chance)
        metrics.add((score.task, score.metric))
    theirs = {(task, key.partition(",")[0]) for task, row in found.items() for key in row if "," in key}
    assert metrics == {(task, metric) for task, metric in theirs if metric != "chance" and "_stderr" not in metric}
    assert len({task for task, _ in metrics}) == 30 + 2


def test_the_command_line_logs_samples_and_caches_no_data(place: Path) -> None:
    files = list(place.glob("data/scores/**/samples_scalelab_*.jsonl"))
    assert len(files) == 30 + 2
    assert all(file.read_text().count("\n") == LIMIT for file in files)
    assert not list(place.glob("home/datasets/*"))
