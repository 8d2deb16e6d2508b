"""From a checkpoint to rows: a speed where the check holds, the reason where it does not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from evals.inference.ceilings import Ceilings
from evals.inference.contest import Contest, Setting
from evals.inference.job import TECHNIQUES, Job
from evals.inference.measure import measure
from evals.inference.protocol import Pairs, control
from evals.inference.techniques import CONTESTS, cache, precision
from models import checkpoint, decoder
from models.decoding.quantised import Kind, quantise
from models.ladder import Shape
from models.tokenizer import train_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread", "eager")
CEILINGS = Ceilings(1e10, {"float32": 5e10, "bfloat16": 5e10})


@pytest.fixture
def eager() -> Iterator[None]:
    """Without compiling: that compiled steps decode the same is shown where they are."""
    with torch.compiler.set_stance("force_eager"):
        yield


def saved(width: int, seed: int, folder: Path, vocab_size: int = 260, head: float = 1.0) -> Path:
    """A checkpoint of our family with random weights."""
    train_tokenizer(["def f(x): return x"] * 3, vocab_size).save_pretrained(folder / "tokenizer")
    model = decoder.build(Shape(width), vocab_size, 128, seed)
    torch.nn.init.normal_(model.lm_head.weight, std=head, generator=torch.Generator().manual_seed(seed))
    checkpoint.save(model, folder / "tokenizer", folder / "checkpoint")
    return folder / "checkpoint"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    target, drafter = (saved(width, width, tmp_path_factory.mktemp(f"w{width}")) for width in (32, 16))
    return Job(
        "kv-cache", target, drafter, "the quick brown fox jumps over the lazy dog. " * 20,
        prompt_tokens=32, new_tokens=12, batch=2, num_pairs=5, device="cpu",
    )  # fmt: skip


# Int4's kernel wants multiples of 32 inputs, and the width 32 has 88 in its MLP: it is measured at 96, below.
@pytest.mark.parametrize("technique", [name for name in TECHNIQUES if name not in ("flash", "int4-weight-only")])
def test_every_technique_decodes_right_and_has_a_speed(job: Job, technique: str) -> None:
    row = measure(replace(job, technique=technique), CEILINGS)
    assert row["status"] == "ok", row["reason"]
    assert all(check["passed"] for check in row["checks"])
    assert row["ci95"][0] <= row["ratio"] <= row["ci95"][1]
    assert len(row["seconds"]["baseline"]) == len(row["seconds"]["technique"]) == 5
    assert row["params"] == Shape(32).params_non_embedding
    assert row["roofline_share"] > 0


def test_what_the_machine_cannot_run_says_why(job: Job) -> None:
    row = measure(replace(job, technique="flash"), CEILINGS)
    assert row["status"] == "unsupported"
    assert "no kernels for cpu" in row["reason"]
    assert measure(replace(job, technique="speculative", drafter=None), CEILINGS)["status"] == "unsupported"
    row = measure(replace(job, technique="int4-weight-only"), CEILINGS)
    assert row["status"] == "unsupported"
    assert "takes 32 and gives 88, the kernel wants multiples of 32 and 16" in row["reason"]


def test_int4_where_the_widths_fit(job: Job, tmp_path: Path) -> None:
    model = saved(96, 0, tmp_path, head=0.2)  # logits about as wide apart as a trained model's
    row = measure(replace(job, technique="int4-weight-only", model=model, drafter=None), CEILINGS)
    assert row["status"] == "ok", row["reason"]
    assert abs(row["log_perplexity_delta"]) < 0.1
    assert 0.5 < row["bytes_saved"] < 1


def test_a_wrong_scale_takes_the_speed_away(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(model: PreTrainedModel, kind: Kind) -> PreTrainedModel:
        low: Any = quantise(model, kind)
        low.model.layers[0].mlp.up_proj.weight.scale.mul_(8)
        return low

    monkeypatch.setattr(precision, "quantise", faulty)
    row = measure(replace(job, technique="int8-weight-only"), CEILINGS)
    assert row["status"] == "incorrect"
    assert "kl" in row["reason"]
    assert "ratio" not in row


def test_a_wrong_token_takes_the_speed_away(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(setting: Setting) -> Contest:
        sound = cache.kv_cache(setting)

        def technique() -> list[list[int]]:
            tokens = sound.technique()
            tokens[1][7] += 1
            return tokens

        return replace(sound, technique=technique)

    monkeypatch.setitem(CONTESTS, "kv-cache", faulty)
    row = measure(job, CEILINGS)
    assert row["status"] == "incorrect"
    assert "token-exact" in row["reason"]
    assert not row.keys() & {"ratio", "ci95", "seconds", "tokens_per_second"}


def test_every_technique_named_has_a_contest() -> None:
    assert tuple(CONTESTS) == TECHNIQUES


def test_the_control_holds_one() -> None:
    """The same work on both sides, of which the machine is never exactly as fast twice."""
    work = torch.randn(200, 200)
    told = control(lambda: work @ work, 15, torch.device("cpu"))
    assert len(told["ratios"]) == told["repetitions"] == 20
    assert told["false_alarms"] <= 5
    assert told["detectable"] >= 1


def test_ratio_of_known_seconds() -> None:
    ratio, (low, high) = Pairs([2.0, 2.2, 4.2, 1.9, 20.0], [1.0, 1.1, 2.0, 1.0, 10.0]).ratio()
    assert ratio == 2.0
    assert 1.9 <= low <= 2.0 <= high <= 2.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_tokens": 120}, "prompt_tokens 120 and new_tokens 12: the window of .* has 128 tokens, ask for fewer"),
        ({"new_tokens": 0}, "new_tokens 0: give at least 1"),
        ({"technique": "magic"}, "technique 'magic': give one of kv-cache, "),
        ({"text": "too short"}, "the text has 9 tokens, 2 prompts need 64: give a longer one"),
        ({"model": Path("nowhere")}, "nowhere is no checkpoint: give a folder with a config.json"),
    ],
)
def test_bad_input_is_refused_by_name(job: Job, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(replace(job, **changes), CEILINGS)


def test_a_drafter_with_another_tokenizer_is_refused(job: Job, tmp_path: Path) -> None:
    other = saved(16, 0, tmp_path, vocab_size=262)
    with pytest.raises(ValueError, match="its tokenizer is not that of"):
        measure(replace(job, technique="speculative", drafter=other), CEILINGS)
