"""What fewer bits cost: divergences and losses against torch's own, intervals against theory, abilities, training."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from evals.harness import evaluate
from evals.inference.contest import Setting, Unsupported
from evals.inference.precision_table import Member, precision_rows
from evals.inference.quality import ability_delta, compare, cut, held_out, mean_interval, paired_accuracy, read_passages
from evals.inference.techniques import aware, precision
from evals.inference.techniques.aware import finetune, quantised_aware
from evals.inference.techniques.precision import bfloat16, quantised
from evals.scores import Evaluation, Sample
from models.decoding.quantised import Kind, convert_qat, quantise
from models.decoding.static import StaticDecoder

pytestmark = pytest.mark.usefixtures("one_thread", "eager")
CPU = torch.device("cpu")


@pytest.fixture
def eager() -> Iterator[None]:
    """Without compiling: that compiled steps decode the same is shown where they are."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.fixture(scope="module")
def model(half_taught: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(half_taught, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def text(rows_of) -> str:
    """What the model knows by heart, and as much of the like that it does not."""
    rows = [row for name in ("transform-direct", "recall-direct", "parity-steps") for row in rows_of(name)]
    return "".join(row["prompt"] + row["target"] for row in rows)


@pytest.fixture(scope="module")
def setting(model: PreTrainedModel, half_taught: Path, text: str) -> Setting:
    prompts_BT = read_passages(half_taught, text, model)[:8, :16]
    return Setting(model, prompts_BT, 12, checkpoint=half_taught, text=text)


# Intervals and passages


def test_the_interval_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    mean, (low, high) = mean_interval(values)
    half_width = 1.96 * values.std(ddof=1) / 20
    assert mean == pytest.approx(values.mean())
    assert (mean - low, high - mean) == (pytest.approx(half_width, rel=0.1), pytest.approx(half_width, rel=0.1))
    assert mean_interval(np.full(9, 0.25)) == (0.25, (0.25, 0.25))


def test_answers_to_the_same_item_are_drawn_together() -> None:
    """Asked twice with the same outcome, an item tells no more than asked once."""
    values = np.random.default_rng(2).normal(size=50)
    (twice, twice_ci95), (once, once_ci95) = mean_interval(2 * values, np.full(50, 2.0)), mean_interval(values)
    assert (twice, *twice_ci95) == pytest.approx((once, *once_ci95))


def test_passages_are_apart_and_as_many_as_fit() -> None:
    assert cut(range(100), 10, 4).tolist() == [list(range(start, start + 10)) for start in (0, 30, 60, 90)]
    assert cut(range(25), 10, 4).tolist() == [list(range(10)), list(range(15, 25))]
    assert cut(range(9), 10, 4).shape == (0, 10)


# Divergence and loss


@torch.no_grad()
def test_divergence_and_loss_are_torchs(model: PreTrainedModel, setting: Setting) -> None:
    low, passages_RT = quantise(model, "int8-dynamic"), held_out(setting)
    found, same = compare(model, [low, model], passages_RT)
    assert passages_RT.shape[1] == 64
    for row, tokens_T in enumerate(passages_RT[:5]):
        logits = [one(input_ids=tokens_T[None]).logits[0].double() for one in (model, low)]
        whole, ours = (one.log_softmax(-1) for one in logits)
        kl = torch.nn.functional.kl_div(ours, whole, log_target=True, reduction="batchmean")
        before, after = (torch.nn.functional.cross_entropy(one[:-1], tokens_T[1:]) for one in logits)
        assert found.kl_R[row] == pytest.approx(kl.item(), rel=0.05)  # in other batches activations round otherwise
        assert found.rise_R[row] == pytest.approx((after - before).item(), abs=0.01)
    assert found.figures()["kl"] > 0
    assert same.quality().ci95 == (0.0, 0.0)
    assert same.figures() == {"kl": 0.0, "kl_ci95": (0.0, 0.0)}


def test_a_batch_larger_than_memory_tells_the_same(
    model: PreTrainedModel, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, passages_RT = quantise(model, "int8-weight-only"), held_out(setting)
    (whole,) = compare(model, [low], passages_RT)
    monkeypatch.setattr("evals.inference.quality.LOGITS_AT_ONCE", 3 * 64 * 260)
    (parts,) = compare(model, [low], passages_RT)
    np.testing.assert_allclose(parts.kl_R, whole.kl_R, rtol=1e-3)
    np.testing.assert_allclose(parts.rise_R, whole.rise_R, atol=1e-5)


# The gate


@pytest.mark.parametrize("contest", [bfloat16, quantised("int8-weight-only"), quantised("int8-dynamic")])
def test_the_check_reads_more_than_the_timed_prompts(setting: Setting, contest) -> None:
    one = contest(setting)
    (check,) = (check for check in one.run(1, CPU, 0).checks if check.kind == "kl")
    assert check.passed
    assert 0 < check.value < check.limit
    num_tokens = int(check.detail.split(" tokens")[0])
    assert num_tokens >= min(512, len(setting.text) // 28 * 12)  # 12 of each passage of 28
    figures = one.figures()
    assert figures["kl_ci95"][0] < figures["kl"] < figures["kl_ci95"][1] < check.limit
    quality = one.quality()
    assert quality.metric == "log-perplexity, nats a token"
    assert quality.ci95[0] < quality.delta < quality.ci95[1]


@pytest.mark.parametrize("contest", [bfloat16, quantised("int8-weight-only")])
def test_of_random_weights_nothing_is_lost_and_less_is_checked(setting: Setting, contest) -> None:
    one = contest(replace(setting, random=True))
    (check,) = (check for check in one.run(1, CPU, 0).checks if check.kind == "kl")
    assert check.detail.startswith("192 tokens")  # eight rows of twelve twice: the timed prompts, and held-out text
    assert one.quality is None
    figures = one.figures()
    assert "kl" not in figures
    assert 0 < figures["bytes_saved"] < 1


class WrongSteps(StaticDecoder):
    """Its prompt is read right, by a model that is right: what goes wrong does so in the steps alone."""

    def step(self, tokens_BQ: torch.Tensor) -> torch.Tensor:
        logits_BQV = super().step(tokens_BQ)
        return logits_BQV.roll(1, -1)


@pytest.mark.parametrize("random", [False, True])
def test_steps_that_compute_something_else_are_caught(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, random: bool
) -> None:
    monkeypatch.setattr(precision, "StaticDecoder", WrongSteps)
    trial = quantised("int8-dynamic")(replace(setting, random=random)).run(1, CPU, 0)
    assert not trial.checks[0].passed
    assert trial.pairs is None


def test_a_text_too_short_for_the_check_is_refused(setting: Setting) -> None:
    short = replace(setting, text=setting.text[:150], random=True)
    with pytest.raises(ValueError, match="the text has 150 tokens, 8 passages need 224: give a longer one"):
        quantised("int8-weight-only")(short).run(1, CPU, 0)


def test_what_is_in_bfloat16_has_no_half(setting: Setting) -> None:
    half = copy.deepcopy(setting.model)
    torch.nn.Module.to(half, torch.bfloat16)
    with pytest.raises(Unsupported, match="the model is in bfloat16 as it is: ask for it in float32"):
        bfloat16(replace(setting, model=half))


# Abilities


def sample(task: str, key: str, right: float) -> Sample:
    return Sample(task, key, "", "", (), {"logprob": -1.0, "exact_match": right})


def test_accuracy_is_paired_item_by_item() -> None:
    keys = [str(number) for number in range(8)]
    before = Evaluation([], [sample(task, key, 1.0) for task in ("a", "b") for key in keys])
    after = Evaluation([], [sample(task, key, float(key != "3")) for task in ("a", "b") for key in keys])
    told = paired_accuracy(before, after)
    assert (told["metric"], told["reference"], told["delta"]) == ("accuracy", 1.0, -1 / 8)
    assert (told["items"], told["answers"], told["changed"]) == (8, 16, 2)
    # One item of eight is drawn 0 to 3 times or more: 34, 39, 20 and 7 % of the times.
    assert told["ci95"] == (-3 / 8, 0.0)
    assert [(row["task"], row["delta"], row["changed"]) for row in told["tasks"]] == [
        ("a", -1 / 8, 1),
        ("b", -1 / 8, 1),
    ]


def test_a_model_in_memory_answers_as_its_checkpoint(half_taught: Path, item_files: Path, model) -> None:
    tasks = ["scalelab_recall_direct_choice", "scalelab_parity_steps_generate", "scalelab_parity_steps_sampled"]
    found = evaluate(half_taught, tasks, items=item_files)
    assert evaluate(half_taught, tasks, items=item_files, model=model) == found


def test_abilities_that_are_lost_are_told(half_taught: Path, item_files: Path, model) -> None:
    tasks = ["scalelab_transform_direct", "scalelab_transform_direct_generate", "scalelab_recall_direct_choice"]
    right = [sample.metrics for sample in evaluate(half_taught, tasks[:1], items=item_files).samples]
    low: Any = quantise(model, "int8-weight-only")
    told = ability_delta(half_taught, model, low, tasks, item_files)
    assert abs(told["delta"]) < 0.1
    assert told["tasks"][0]["reference"] == np.mean([metrics["exact_match"] for metrics in right])
    low.model.layers[0].mlp.up_proj.weight.scale.mul_(16)
    spoilt = ability_delta(half_taught, model, low, tasks, item_files)
    assert spoilt["delta"] < -0.1
    assert spoilt["ci95"][1] < 0
    assert [row["task"] for row in spoilt["tasks"]] == tasks
    assert spoilt["items"] < spoilt["answers"] == 72


def test_a_task_without_right_answers_is_refused() -> None:
    without = Evaluation([], [Sample("wikitext", "0", "", "", (), {"word_perplexity": 20.0})])
    with pytest.raises(ValueError, match="tasks names wikitext, which tells no accuracy: ask one that gives exact_m"):
        paired_accuracy(without, without)


def test_a_row_tells_of_abilities_where_tasks_are_asked(setting: Setting, item_files: Path) -> None:
    asked = replace(setting, tasks=("scalelab_recall_direct",), items=item_files)
    told = bfloat16(asked).figures()["ability_delta"]
    assert (told["items"], told["metric"]) == (24, "accuracy")
    assert "ability_delta" not in bfloat16(setting).figures()


# Quantisation-aware training


@pytest.fixture
def trainable(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(aware, "STEPS", 8)
    monkeypatch.setattr(precision, "CHECKED", 96)
    return replace(setting, training_text=setting.text)


def ruinous(model: PreTrainedModel, windows_RT: torch.Tensor) -> float:
    """Training at whose end the signs of the head are turned."""
    loss = finetune(model, windows_RT)
    head: Any = model.get_output_embeddings()
    head.weight.data.neg_()
    return loss


def test_what_was_trained_is_what_runs(trainable: Setting) -> None:
    before = copy.deepcopy(trainable.model.state_dict())
    contest = quantised_aware("int8-dynamic")(trainable)
    trial = contest.run(1, CPU, 0)
    assert [check.kind for check in trial.checks] == ["kl", "log-perplexity-control", "log-perplexity", "repeated"]
    assert trial.failed == []
    figures = contest.figures()
    assert figures["qat_steps"] == 8
    assert figures["qat_seconds"] > 0
    assert contest.quality is not None
    quality = contest.quality()
    # The held-out text is what it trained on here, so it must have learnt; the control has learnt it too.
    assert figures["against_original"]["ci95"][1] < 0 < figures["ptq_log_perplexity_delta"]["ci95"][1]
    assert abs(quality.delta) < 0.01
    assert figures["against_control"]["delta"] == pytest.approx(
        figures["against_original"]["delta"] - figures["control_log_perplexity_delta"]["delta"]
    )
    after = trainable.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_abilities_after_training_are_held_against_the_controls(
    trainable: Setting, item_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training that ruins abilities, with rounding and without it, is no cost of the rounding."""

    monkeypatch.setattr(aware, "finetune", ruinous)
    asked = replace(trainable, tasks=("scalelab_transform_direct",), items=item_files)
    told = quantised_aware("int8-dynamic")(asked).figures()["ability_delta"]
    (right,) = ability_delta(
        asked.checkpoint, asked.model, asked.model, asked.tasks, item_files
    )["tasks"]  # fmt: skip
    assert told["reference"] < right["reference"] - 0.1
    assert abs(told["delta"]) < 0.1


def test_a_conversion_with_a_wrong_scale_is_caught(trainable: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault that an eager quantised model has as much as its compiled steps: one scale of one layer."""

    def faulty(model: PreTrainedModel) -> PreTrainedModel:
        low: Any = convert_qat(model)
        low.model.layers[0].mlp.up_proj.weight.scale.mul_(2)
        return low

    monkeypatch.setattr(aware, "convert_qat", faulty)
    trial = quantised_aware("int8-dynamic")(trainable).run(1, CPU, 0)
    assert "kl" in [check.kind for check in trial.failed]
    assert trial.pairs is None


def test_training_that_ruins_the_model_is_caught(trainable: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is what was trained, and of no use."""
    monkeypatch.setattr(aware, "finetune", ruinous)
    trial = quantised_aware("int8-dynamic")(trainable).run(1, CPU, 0)
    assert [check.kind for check in trial.failed] == ["log-perplexity"]
    assert trial.failed[0].value > 1


@pytest.mark.parametrize(
    ("kind", "training_text", "error", "message"),
    [
        ("int8-dynamic", None, Unsupported, "no training text was given"),
        ("int8-dynamic", "short", ValueError, "training_text has 5 tokens, a step needs 512: give a longer one"),
        ("int4-weight-only", "long " * 200, Unsupported, "takes 32 and gives 88, the kernel wants multiples of 32"),
    ],
)
def test_what_cannot_be_trained_says_why(
    setting: Setting, kind: Kind, training_text: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        quantised_aware(kind)(replace(setting, training_text=training_text))


def test_random_weights_are_not_trained(trainable: Setting) -> None:
    with pytest.raises(Unsupported, match="random weights have nothing to learn"):
        quantised_aware("int8-dynamic")(replace(trainable, random=True))


# The table


def test_precision_over_checkpoints(half_taught: Path, text: str, model: PreTrainedModel) -> None:
    rows = precision_rows([Member(half_taught, 24_000, 150_000)], text)
    assert [row["technique"] for row in rows] == ["bfloat16", "int8-weight-only", "int8-dynamic", "int4-weight-only"]
    assert all((row["params"], row["tokens"]) == (24_000, 150_000) for row in rows)
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "unsupported"]
    assert "takes 32 and gives 88" in rows[-1]["reason"]
    half = copy.deepcopy(model)
    torch.nn.Module.to(half, torch.bfloat16)
    real = [half, quantise(model, "int8-weight-only"), quantise(model, "int8-dynamic")]
    for row, found in zip(rows, compare(model, real, read_passages(half_taught, text, model, 32)), strict=False):
        assert row["kl"] == pytest.approx(found.figures()["kl"], rel=0.05)  # the kernels', not float32's rounded
        assert row["log_perplexity_delta"] == pytest.approx(found.quality().delta, abs=2e-3)
        assert row["ci95"][0] <= row["log_perplexity_delta"] <= row["ci95"][1]
    assert rows[1]["kl"] < rows[2]["kl"]


@pytest.mark.parametrize(
    ("text_given", "techniques", "message"),
    [
        ("too short", ("bfloat16",), "the text has 9 tokens, two passages need 128: give a longer one"),
        ("long " * 99, ("int2",), "technique 'int2': give one of bfloat16, int8-weight-only, "),
    ],
)
def test_a_table_of_nothing_is_refused(half_taught: Path, text_given: str, techniques, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        precision_rows([Member(half_taught, 1, 1)], text_given, techniques)
    assert "\n" not in str(told.value)
