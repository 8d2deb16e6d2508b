"""Distillation: each way moves the student to what it learns from, at equal student compute, quietly, and once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from models import decoder
from models.ladder import Shape
from models.tokenizer import PAD_ID
from sweeps import store
from sweeps.distil.answers import answer, answer_format
from sweeps.distil.job import DistilJob
from sweeps.distil.params import WAYS
from sweeps.distil.train import StudentLoop, distil, divergence_loss, forward_flops, load_teacher
from sweeps.documents import DocumentData
from sweeps.schedule import rate_factor
from tests.sweeps.distil_runs import END, TRAINING, B, T

pytestmark = pytest.mark.usefixtures("one_thread")


def load(directory: Path) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    model.set_attn_implementation(decoder.TRAINING_ATTENTION)
    return model.eval()


def record(job: DistilJob) -> dict[str, Any]:
    return store.read_json(job.directory / "record.json")


def rows(data: DocumentData) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, targets = data.windows(T, 256, seed=5).batch(0)
    return torch.from_numpy(inputs), torch.from_numpy(targets)


@torch.no_grad()
def divergence_from(teacher: Path, student: DistilJob, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """By hand, a row at a time, in double precision."""
    ours, theirs = load(student.directory / "checkpoint"), load(teacher)
    found = []
    for row, wanted in zip(inputs, targets, strict=True):
        p, q = (torch.log_softmax(model(input_ids=row[None]).logits[0].double(), -1) for model in (theirs, ours))
        found += (p.exp() * (p - q)).sum(-1)[wanted >= 0].tolist()
    return float(np.mean(found))


# What each way learns


def test_each_way_moves_the_student_to_its_teacher(students, teacher: Path, data: DocumentData) -> None:
    inputs, targets = rows(data)
    away = {way: divergence_from(teacher, student, inputs[:24], targets[:24]) for way, student in students.items()}
    for way in ("logits", "on-policy"):
        assert away[way] < 0.6 * away["data"], away
    # The data alone are learned by those who learn from them.
    losses = {way: record(student)["loss"] for way, student in students.items()}
    assert losses["data"] < min(losses[way] for way in ("sequence", "logits", "on-policy")), losses


def test_a_student_of_samples_says_what_the_teacher_says(students, teacher: Path, data: DocumentData) -> None:
    order = np.arange(64)
    told = answer(load_for_generation(teacher), data.train, order, T, seed=9)
    loss = {}
    for way in ("data", "sequence"):
        model = load(students[way].directory / "checkpoint")
        inputs, targets = (torch.from_numpy(part) for part in told.batch(0, 64))
        with torch.no_grad():
            logits = model(input_ids=inputs).logits
        loss[way] = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
    assert loss["sequence"] < loss["data"] - 0.3, loss


def load_for_generation(directory: Path) -> PreTrainedModel:
    model = load(directory)
    model.set_attn_implementation("sdpa")
    return model


def test_sampled_documents_keep_their_prompts_and_end_at_their_end(teacher: Path, data: DocumentData) -> None:
    order = np.arange(200)
    told = answer(load_for_generation(teacher), data.train, order, T, seed=1)
    tokens, scored = data.train.rows(order, T)
    for ours, mask, theirs, true_mask in zip(told.tokens, told.scored, tokens, scored, strict=True):
        length = int(true_mask.argmax())
        assert (ours[:length] == theirs[:length]).all()
        assert not mask[:length].any()
        answered = ours[mask]
        assert (ours[length : length + len(answered)] == answered).all()
        assert END not in answered[:-1]
        assert answered[-1] == END or length + len(answered) == T + 1
        assert (ours[length + len(answered) :] == PAD_ID).all()
    again, other = (answer(load_for_generation(teacher), data.train, order, T, seed=seed) for seed in (1, 2))
    assert (again.tokens == told.tokens).all()
    assert (other.tokens != told.tokens).any()


def test_samples_follow_the_teachers_distribution(teacher: Path, data: DocumentData) -> None:
    from scipy.stats import chisquare

    model = load_for_generation(teacher)
    told = answer(model, data.train, np.zeros(4000, np.int64), T, seed=3)
    tokens, scored = data.train.rows(np.zeros(1, np.int64), T)
    length = int(scored[0].argmax())
    with torch.no_grad():
        p = torch.softmax(model(input_ids=torch.from_numpy(tokens[:, :length])).logits[0, -1].double(), -1).numpy()
    seen = np.bincount(told.tokens[:, length], minlength=260)
    common = p * 4000 >= 5
    observed, expected = np.append(seen[common], seen[~common].sum()), np.append(p[common], p[~common].sum()) * 4000
    assert common.sum() >= 2
    assert chisquare(observed, expected).pvalue > 1e-4


def test_the_divergence_is_the_one_by_hand(students, teacher: Path, data: DocumentData) -> None:
    inputs, targets = (part[:16] for part in rows(data))
    student = load(students["data"].directory / "checkpoint")
    positions = torch.arange(T)[None]
    with torch.no_grad():
        found = divergence_loss(load(teacher), student, positions, "float32", inputs, targets).item()
        itself = divergence_loss(student, student, positions, "float32", inputs, targets).item()
    assert found == pytest.approx(divergence_from(teacher, students["data"], inputs, targets), rel=1e-4)
    assert itself == pytest.approx(0, abs=1e-6)


# What it costs


def test_student_compute_is_equal_and_what_comes_on_top_is_told(students, teacher: Path) -> None:
    records = {way: record(student) for way, student in students.items()}
    for name in ("tokens", "steps", "flops", "params_total"):
        assert len({found[name] for found in records.values()}) == 1
    data, sequence, logits, on_policy = (records[way] for way in WAYS)
    taught = load(teacher).config
    costs = ("sampled_positions", "sampling_flops", "sampling_seconds", "judged_positions", "judging_flops")
    assert [data[name] for name in costs] == [0] * 5
    assert sequence["judged_positions"] == logits["sampled_positions"] == 0
    assert sequence["sampling_flops"] == sequence["sampled_positions"] * forward_flops(taught, T)
    assert logits["judged_positions"] == logits["tokens"]
    assert on_policy["judged_positions"] == on_policy["tokens"] / 2
    assert on_policy["sampling_seconds"] > 0
    # A prompt and at least one token of every document, at most a window.
    documents = 40 * B
    assert documents * 6 <= on_policy["sampled_positions"] <= documents * T
    assert on_policy["sampling_flops"] == on_policy["sampled_positions"] * Shape(8).flops_per_token(260, T) // 3


@pytest.mark.parametrize("shape", [Shape(8), Shape(48), Shape(32, 5)])
def test_flops_forward_are_a_third_of_trainings(shape: Shape) -> None:
    assert 3 * forward_flops(decoder.build(shape, 260, T, 0).config, T) == shape.flops_per_token(260, T)


def test_a_step_on_own_samples_trains_on_as_many_positions_at_the_rate_of_its_place(
    job: Callable[..., DistilJob], data: DocumentData, tmp_path: Path
) -> None:
    from sweeps.distil.on_policy import train_on_own_samples
    from sweeps.train import MetricsLog

    asked = job("on-policy", tokens=40 * T * B)
    loop = StudentLoop(asked, data, None)
    loop.step = asked.own_samples_from
    positions, rates = [], []

    def count(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():
            positions.append(kwargs["input_ids"].numel())
            rates.append(loop.optimizer.param_groups[1]["lr"] / TRAINING.learning_rate)

    loop.model.register_forward_pre_hook(count, with_kwargs=True)
    sampled = train_on_own_samples(asked, loop, load_teacher(asked), data, MetricsLog(tmp_path, loop, asked.fork))
    assert positions == [T * B] * 20
    assert rates == pytest.approx([rate_factor(step, 10, asked.fork) for step in range(20, 40)])
    assert (loop.step, asked.fork.start, asked.fork.end) == (40, 32, 40)
    assert sampled.seconds > 0


@torch.no_grad()
def test_padding_on_the_left_changes_nothing_for_a_student(students, data: DocumentData) -> None:
    from sweeps.distil.on_policy import prompt_batch

    model = load_for_generation(students["data"].directory / "checkpoint")
    documents = np.arange(12)
    form = answer_format(data.train)
    batch = prompt_batch(data, documents, form.longest_prompt, T)
    assert batch["prompts"].shape == (12, form.longest_prompt)
    logits = model(input_ids=batch["prompts"], attention_mask=batch["prompt_attention_mask"]).logits
    tokens, scored = data.train.rows(documents, T)
    lengths = scored.argmax(1)
    assert len(set(lengths)) > 1
    for row, mask, length, after, padded in zip(
        tokens, batch["prompt_attention_mask"], lengths, logits, batch["prompts"], strict=True
    ):
        assert mask.sum() == length
        assert (padded[mask > 0].numpy() == row[:length]).all()
        alone = model(input_ids=torch.from_numpy(row[None, :length])).logits[0, -1]
        torch.testing.assert_close(after[-1], alone, atol=1e-4, rtol=1e-4)


# What is left behind


def test_what_is_there_is_not_trained_again_and_another_is(students, job: Callable[..., DistilJob]) -> None:
    for way, student in students.items():
        assert job(way).is_settled
        before = (student.directory / "record.json").stat().st_mtime_ns
        distil(job(way))
        assert (student.directory / "record.json").stat().st_mtime_ns == before
    assert not replace(job("sequence"), teacher_digest="another").is_settled


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({"seed": 1}, set(WAYS)),
        ({"shape": Shape(12)}, set(WAYS)),
        ({"shape": Shape(8, 4)}, set(WAYS)),
        ({"tokens": 90 * T * B}, set(WAYS)),
        ({"teacher_digest": "another"}, {"sequence", "logits", "on-policy"}),
        ({"beta": 0.1}, {"on-policy"}),
        ({"on_policy_share": 0.4}, {"on-policy"}),
        ({"revision": "another", "runs": Path("elsewhere")}, set()),
    ],
)
def test_a_fingerprint_is_of_what_decides(job: Callable[..., DistilJob], change: dict[str, Any], moved: set) -> None:
    found = {way for way in WAYS if replace(job(way), **change).fingerprint != job(way).fingerprint}
    assert found == moved


def test_another_recipe_is_another_student(job: Callable[..., DistilJob]) -> None:
    recipe = job("data").recipe
    for other in (replace(recipe, code_digest="new"), replace(recipe, training=replace(TRAINING, weight_decay=0.2))):
        assert replace(job("data"), recipe=other).fingerprint != job("data").fingerprint


def test_the_checkpoint_is_as_training_leaves_one(students) -> None:
    for student in students.values():
        directory = student.directory / "checkpoint"
        config = json.loads((directory / "generation_config.json").read_text())
        assert config["eos_token_id"] == 1  # TRL samples with an end of its own
        assert (directory / "tokenizer.json").exists()
        lines = store.read_metrics(student.directory)
        assert [line["step"] for line in lines] == [20, 40, 60, 80]
        assert all(np.isfinite(line["loss"]) and line["gradient_norm"] > 0 for line in lines)


def test_on_policy_is_quiet_sends_nothing_and_repeats_itself(
    students, job: Callable[..., DistilJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, recwarn
) -> None:
    from trl.trainer import base_trainer

    sent: list[Any] = []
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda *args, **kwargs: sent.append(args))
    again = replace(job("on-policy"), runs=tmp_path)
    capfd.readouterr()
    distil(again)
    out, err = capfd.readouterr()
    bars = ("Writing model shards", "Loading weights")  # which workers have switched off
    assert [line for line in (out + err).splitlines() if line and not line.startswith(bars)] == []
    assert [str(warning.message) for warning in recwarn] == []
    assert sent == []
    assert record(again)["loss"] == record(students["on-policy"])["loss"]


def test_a_lost_student_leaves_a_record_and_no_checkpoint(job: Callable[..., DistilJob], tmp_path: Path) -> None:
    made = job("logits")
    wild = replace(made.recipe, training=replace(TRAINING, learning_rate=1e4))
    lost = replace(made, recipe=wild, runs=tmp_path)
    distil(lost)
    assert record(lost)["status"] == "diverged"
    assert record(lost)["loss"] is None
    assert not (lost.directory / "checkpoint").exists()
    assert lost.is_settled
