"""What the harness says of a checkpoint, against torch alone: one row at a time, without padding, batches or caches."""

import math
import re
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GraniteForCausalLM,
)

from evals.harness import evaluate
from evals.scores import Evaluation, Sample, Score

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("transform_direct", "recall_direct", "recall_direct_choice", "parity_direct", "parity_steps")
GENERATED = ("transform_direct_generate", "recall_direct_generate", "parity_steps_generate", "parity_steps_sampled")


@pytest.fixture(scope="module")
def evaluated(half_taught: Path, item_files: Path) -> Evaluation:
    """All in one call."""
    names = [f"scalelab_{name}" for name in (*NAMES, *GENERATED, "text")]
    return evaluate(half_taught, names, items=item_files)


def samples_of(evaluation: Evaluation, task: str) -> list[Sample]:
    return [sample for sample in evaluation.samples if sample.task == f"scalelab_{task}"]


def score_of(evaluation: Evaluation, task: str, metric: str) -> Score:
    (score,) = (s for s in evaluation.scores if (s.task, s.metric) == (f"scalelab_{task}", metric))
    return score


@pytest.mark.parametrize("name", ["transform_direct", "recall_direct", "parity_direct", "parity_steps", "text_late"])
def test_likelihoods_are_those_of_torch(
    name: str, half_taught: Path, evaluated: Evaluation, rows_of, torch_alone
) -> None:
    score = torch_alone(half_taught)
    rows, samples = rows_of(name.replace("_", "-")), samples_of(evaluated, name)
    assert [(s.key, s.prompt, s.target, s.responses) for s in samples] == [
        (row["key"], row["prompt"], row["target"], ()) for row in rows
    ]
    for sample in samples:
        logprob, is_greedy = score(sample.prompt, sample.target)
        assert sample.metrics["logprob"] == pytest.approx(logprob, abs=1e-4)
        assert sample.metrics["logprob_per_char"] == pytest.approx(logprob / len(sample.target), abs=1e-5)
        assert sample.metrics.get("exact_match", is_greedy) == is_greedy


def test_choices_are_scored_as_torch_scores_them(
    half_taught: Path, evaluated: Evaluation, rows_of, torch_alone
) -> None:
    score = torch_alone(half_taught)
    for row, sample in zip(rows_of("recall-direct"), samples_of(evaluated, "recall_direct_choice"), strict=True):
        logprobs = torch.tensor([score(row["prompt"], choice)[0] for choice in row["choices"]], dtype=torch.double)
        shares, right = logprobs.softmax(0), row["choices"].index(row["answer"])
        truth = torch.eye(len(shares), dtype=torch.double)[right]
        assert sample.metrics["acc"] == (logprobs.argmax().item() == right)
        assert sample.metrics["brier"] == pytest.approx(((shares - truth) ** 2).sum().item(), abs=1e-5)
        assert sample.metrics["choice_logprob"] == pytest.approx(shares[right].log().item(), abs=1e-4)


@contextmanager
def rows_seen() -> Iterator[list[tuple[list[int], list[int] | None]]]:
    """Every row of ids that reaches a model, with its attention mask."""
    seen: list[tuple[list[int], list[int] | None]] = []

    def look(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if isinstance(module, GraniteForCausalLM):
            ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
            mask = kwargs.get("attention_mask")
            seen.extend(zip(ids.tolist(), [None] * len(ids) if mask is None else mask.tolist(), strict=True))

    hook = torch.nn.Module.register_forward_pre_hook
    original = GraniteForCausalLM.__init__

    def with_hook(self: GraniteForCausalLM, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        hook(self, look, with_kwargs=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GraniteForCausalLM, "__init__", with_hook)
        yield seen


def test_rows_are_the_bytes_of_the_text_and_nothing_else(half_taught: Path, item_files: Path, rows_of) -> None:
    """As in training, where a row begins with a document's first byte: ids are 4 above the bytes."""
    rows = rows_of("transform-direct")
    with rows_seen() as seen:
        evaluate(half_taught, ["scalelab_transform_direct"], items=item_files)
    expected = sorted([4 + byte for byte in (row["prompt"] + row["target"]).encode()[:-1]] for row in rows)
    padded = [tuple(ids) for ids, _ in seen]
    assert len(padded) == len(expected)
    assert all(any(tuple(ids) == row[: len(ids)] and not any(row[len(ids) :]) for row in padded) for ids in expected)

    with rows_seen() as seen:
        evaluate(half_taught, ["scalelab_transform_direct_generate"], items=item_files)
    prompts = [[i for i, kept in zip(ids, mask, strict=False) if kept] for ids, mask in seen if mask]
    first = [ids for ids in prompts if len(ids) > 1][: len(rows)]
    assert sorted(first) == sorted([4 + byte for byte in row["prompt"].encode()] for row in rows)


# Generation


def test_generation_is_greedy_decoding_up_to_the_full_stop(half_taught: Path, evaluated: Evaluation) -> None:
    model = AutoModelForCausalLM.from_pretrained(half_taught)
    for task in ("transform_direct_generate", "parity_steps_generate"):
        samples = samples_of(evaluated, task)
        most = max(len(sample.target) for sample in samples)
        for sample in samples[:8]:
            ids = [4 + byte for byte in sample.prompt.encode()]
            while len(ids) < len(sample.prompt) + most and (len(ids) == len(sample.prompt) or ids[-1] != 4 + ord(".")):
                with torch.no_grad():
                    ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            said = bytes(i - 4 for i in ids[len(sample.prompt) :]).decode(errors="replace")
            assert sample.responses == (said.partition(".")[0],)


def test_teacher_forced_exact_match_is_that_of_generation(evaluated: Evaluation) -> None:
    for task in ("transform_direct", "recall_direct"):
        forced = [sample.metrics["exact_match"] for sample in samples_of(evaluated, task)]
        generated = [sample.metrics["exact_match"] for sample in samples_of(evaluated, f"{task}_generate")]
        assert forced == generated
        assert 0 < sum(forced) < len(forced)
    steps = samples_of(evaluated, "parity_steps"), samples_of(evaluated, "parity_steps_generate")
    assert all(g.metrics["exact_match"] >= f.metrics["exact_match"] for f, g in zip(*steps, strict=True))


def test_samples_differ_and_come_again(half_taught: Path, item_files: Path, evaluated: Evaluation) -> None:
    samples = samples_of(evaluated, "parity_steps_sampled")
    again = evaluate(half_taught, ["scalelab_parity_steps_sampled"], items=item_files)
    assert again == evaluate(half_taught, ["scalelab_parity_steps_sampled"], items=item_files)
    assert max(len(set(sample.responses)) for sample in samples) > 2
    for sample in samples:
        answer = sample.target.rpartition("=")[2].removesuffix(".")
        right = [re.sub(".*=", "", response) == answer for response in sample.responses]
        assert len(right) == 8
        assert sample.metrics["pass@1"] == pytest.approx(sum(right) / 8)
        assert sample.metrics["pass@8"] == any(right)
        assert sample.metrics["majority@8"] == 1 or sum(right) <= 4


# Scores


def test_scores_are_means_of_samples_and_say_what_they_are(evaluated: Evaluation) -> None:
    for score in evaluated.scores:
        if score.metric == "icl_score":
            continue
        values = [s.metrics[score.metric] for s in evaluated.samples if s.task == score.task]
        assert score.num_items == len(values) == 24
        assert score.value == pytest.approx(statistics.fmean(values))
        assert score.se == pytest.approx(statistics.stdev(values) / math.sqrt(24))
        assert score.task.startswith(f"scalelab_{score.ability}_{score.style}")
    chances = {(s.task.removeprefix("scalelab_"), s.metric): s.chance for s in evaluated.scores}
    assert chances["recall_direct", "exact_match"] == chances["recall_direct_choice", "acc"] == pytest.approx(1 / 8)
    assert chances["recall_direct_choice", "brier"] == pytest.approx(7 / 8)
    assert chances["recall_direct_choice", "choice_logprob"] == pytest.approx(-math.log(8))
    assert chances["parity_direct", "exact_match"] == chances["parity_steps_generate", "exact_match"] == 0.5
    assert chances["parity_steps", "exact_match"] == 0.0  # The steps count as well, and nobody guesses them.
    assert chances["parity_steps_sampled", "pass@2"] == pytest.approx(0.75)
    assert chances["recall_direct", "logprob"] is None
    kinds = {score.ability: score.kind for score in evaluated.scores}
    in_context = dict.fromkeys(("recall", "text"), "in-context")
    assert kinds == in_context | {"transform": "instruction", "parity": "reasoning"}


def test_icl_score_is_what_long_context_is_worth(
    half_taught: Path, evaluated: Evaluation, rows_of, torch_alone
) -> None:
    score, gains = torch_alone(half_taught), []
    early, late = rows_of("text-early"), rows_of("text-late")
    for short, long in zip(early, late, strict=True):
        target = short["target"]
        gains.append((score(long["prompt"], target)[0] - score(short["prompt"], target)[0]) / len(target))
    found = score_of(evaluated, "text", "icl_score")
    assert found.value == pytest.approx(statistics.fmean(gains), abs=1e-5)
    assert found.se == pytest.approx(statistics.stdev(gains) / math.sqrt(len(gains)), abs=1e-5)
    assert (found.num_items, found.chance) == (24, 0)


@pytest.mark.gpu
def test_an_accelerator_finds_the_same(half_taught: Path, item_files: Path, evaluated: Evaluation) -> None:
    tasks = ["scalelab_transform_direct", "scalelab_recall_direct_generate", "scalelab_parity_steps_sampled"]
    found = evaluate(half_taught, tasks, items=item_files, device="cuda")
    assert found == evaluate(half_taught, tasks, items=item_files, device="cuda")
    for score in found.scores:
        if "sampled" not in score.task:
            same = score_of(evaluated, score.task.removeprefix("scalelab_"), score.metric)
            assert score.value == pytest.approx(same.value, rel=1e-3)
