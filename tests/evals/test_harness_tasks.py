"""Which tasks a checkpoint meets: kept between checkpoints, with shots, from elsewhere, and not there."""

import json
import logging
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.abilities import write_items
from evals.abilities.symbols import Parity
from evals.harness import evaluate
from evals.scores import Score
from models import checkpoint, decoder
from models.ladder import Shape
from models.tokenizer import train_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_later_checkpoint_gets_its_own_scores(
    half_taught: Path, item_files: Path, tmp_path: Path, torch_alone
) -> None:
    """Tasks and tokenisation are kept in the process: neither weights nor another tokenizer may be."""
    tokenizer = train_tokenizer(["rev:abcd>dcba. sort-upper:"] * 9, 270)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    model = decoder.build(Shape(16), 270, 64, seed=1)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(0))
    checkpoint.save(model, tmp_path / "tokenizer", tmp_path / "checkpoint")
    tasks = ["scalelab_transform_direct"]
    before = evaluate(half_taught, tasks, items=item_files)
    score = torch_alone(tmp_path / "checkpoint")
    samples = evaluate(tmp_path / "checkpoint", tasks, items=item_files, limit=10).samples
    assert len(samples) == 10
    for sample in samples:
        assert sample.metrics["logprob"] == pytest.approx(score(sample.prompt, sample.target)[0], abs=1e-4)
    assert evaluate(half_taught, tasks, items=item_files) == before


@pytest.mark.parametrize("task", ["parity_steps", "parity_steps_generate", "parity_steps_sampled"])
@pytest.mark.parametrize("spare", [0, -1])
def test_prompts_are_whole_where_the_window_holds_a_document(
    task: str, spare: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By what lm-eval itself says, and by our warning; a row of likelihoods lacks the last token."""
    write_items(tmp_path / "items", 8, seed=0, abilities={"parity": Parity(num_bits=11)})
    tokenizer = train_tokenizer([], 260)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    window = len("par#01101101101>01001001001=1.") - (task == "parity_steps") + spare
    checkpoint.save(decoder.build(Shape(16), 260, window, seed=0), tmp_path / "tokenizer", tmp_path / "checkpoint")
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.WARNING, logger="lm_eval"):
        warnings.simplefilter("always", UserWarning)
        evaluate(tmp_path / "checkpoint", [f"scalelab_{task}"], items=tmp_path / "items")
    assert any("runcat" in record.getMessage() for record in caplog.records) == bool(spare)
    assert any("do not fit" in str(warning.message) for warning in warned) == bool(spare)


# Shots


@pytest.mark.parametrize("task", ["parity_steps", "recall_direct_choice", "transform_direct_generate"])
def test_shots_are_lines_of_the_training_side(task: str, half_taught: Path, item_files: Path, rows_of) -> None:
    file = "-".join(task.split("_")[:2])
    examples = {row["prompt"] + row["target"] for row in rows_of(f"{file}.shots")}
    with pytest.warns(UserWarning, match=rf"^scalelab_{task}: \d+ prompts do not fit the model's 64 tokens"):
        shown = evaluate(half_taught, [f"scalelab_{task}"], items=item_files, num_fewshot=3)
    for row, sample in zip(rows_of(file), shown.samples, strict=True):
        *shots, prompt = sample.prompt.split("\n")
        assert prompt == row["prompt"]
        assert len(set(shots)) == 3
        assert set(shots) <= examples
    alone = evaluate(half_taught, [f"scalelab_{task}"], items=item_files)
    assert [s.prompt for s in alone.samples] == [row["prompt"] for row in rows_of(file)]


# Tasks from elsewhere

SUITE = """
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: options
doc_to_target: label
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


def test_a_suite_runs_beside_ours(
    half_taught: Path, item_files: Path, tmp_path: Path, torch_alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [{"question": f"{n} is", "options": ["red", "blue", "green"], "label": n % 3} for n in range(12)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "colours.yaml").write_text(SUITE.format(file=tmp_path / "test.jsonl"))
    found = evaluate(half_taught, ["colours", "scalelab_recall_direct"], items=item_files, include=[tmp_path], limit=9)
    (score,) = (score for score in found.scores if score.task == "colours")
    alone = torch_alone(half_taught)
    right = [
        max(row["options"], key=lambda option: alone(row["question"], f" {option}")[0]) == row["options"][row["label"]]
        for row in rows[:9]
    ]
    assert score == Score("colours", "colours", "", "suite", "acc", sum(right) / 9, score.se, 9, pytest.approx(1 / 3))


def test_tasks_that_cannot_be_loaded_are_refused_in_a_line(half_taught: Path, item_files: Path, tmp_path: Path) -> None:
    def refusal(task: str, **options: Any) -> str:
        with pytest.raises(ValueError, match=r"^tasks names") as refused:
            evaluate(half_taught, [task], items=options.get("items", item_files))
        assert "\n" not in str(refused.value)
        return str(refused.value)

    assert refusal("scalelab_parity_steps", items=tmp_path).endswith(
        "parity-steps.jsonl does not exist: write the items first"
    )
    assert refusal("hellaswag").startswith(
        "tasks names hellaswag, whose data are not on disk: Couldn't reach 'Rowan/hell"
    )
    assert re.match(
        "tasks names scalelab_pairity, which is no task: use scalelab, scalelab_gen", refusal("scalelab_pairity")
    )
