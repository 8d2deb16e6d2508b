"""From a checkpoint to rows: a speed where the check holds, the reason where it does not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.inference.ceilings import Ceilings
from evals.inference.contest import Contest, Setting
from evals.inference.job import KINDS, TECHNIQUES, Job, Precision
from evals.inference.measure import measure
from evals.inference.protocol import MOST_TURNS
from evals.inference.techniques import CONTESTS, cache
from models.ladder import Shape

pytestmark = pytest.mark.usefixtures("one_thread", "eager")

# Decoding token by token, in this process.
STREAMED = {"kv-cache", "static-cache", "sdpa", "speculative", "speculative-sampling", "prompt-lookup", "early-exit"}
STREAMED |= {"prefix-cache", "batching"}
# Int4's kernel wants multiples of 32 inputs, and the width 32 has 88 in its MLP: it is measured at 96, below; ranks and
# what trains first have files of their own.
ELSEWHERE = ("flash", "int4", "qat")
HERE = [name for name, kind in KINDS.items() if kind != "parallel" and not any(part in name for part in ELSEWHERE)]


@pytest.mark.parametrize("technique", HERE)
def test_every_technique_decodes_right_and_has_a_speed(job: Job, ceilings: Ceilings, technique: str) -> None:
    row = measure(replace(job, technique=technique), ceilings)
    assert row["status"] == "ok", row["reason"]
    assert all(check["passed"] for check in row["checks"])
    assert row["check"] == row["checks"][0]
    assert row["ci95"][0] <= row["ratio"] <= row["ci95"][1]
    assert len(row["seconds"]["baseline"]) == len(row["seconds"]["technique"]) == 5
    assert (row["kind"], row["family"], row["dtype"]) == (KINDS[technique], "decoder", "float32")
    assert (row["params"], row["layers"], row["size"]) == (Shape(32).params_non_embedding, 3, 32)
    if technique == "continuous-batching":  # four requests a row, of lengths of their own
        assert row["roofline_share"] is None
        assert 8 <= row["tokens_per_second"] * np.median(row["seconds"]["technique"]) <= 4 * 2 * 12
    else:
        assert row["roofline_share"] > 0
        assert row["tokens_per_second"] * np.median(row["seconds"]["technique"]) == pytest.approx(2 * 12)
    assert row["peak_bytes"] > 0
    assert row["baseline_peak_bytes"] > 0
    if technique in STREAMED:
        assert 0 < row["seconds_per_token"]["p50"] <= row["seconds_per_token"]["p95"]
        assert row["baseline_seconds_to_first_token"] > 0
        assert row["seconds_to_first_token"] > 0
    json.dumps(row)


def test_a_row_takes_turns_for_its_seconds(job: Job, ceilings: Ceilings) -> None:
    row = measure(replace(job, least_seconds=1e6), ceilings)
    assert len(row["seconds"]["baseline"]) == len(row["seconds"]["technique"]) == MOST_TURNS


@pytest.mark.parametrize("technique", ["kv-cache", "prefix-cache", "batching", "speculative", "continuous-batching"])
def test_in_bfloat16_rounding_may_tip_a_near_tie(
    tmp_path: Path, save, job: Job, ceilings: Ceilings, technique: str
) -> None:
    """A head as wide apart as a trained model's: the limit is one of logits."""
    asked = replace(
        job,
        technique=technique,
        model=save(32, 32, tmp_path / "target", head=0.3),
        drafter=save(16, 16, tmp_path / "drafter", head=0.3),
        dtype="bfloat16",
        num_pairs=1,
    )
    row = measure(asked, ceilings)
    assert row["status"] == "ok", row["reason"]
    assert row["dtype"] == "bfloat16"
    assert {check["kind"] for check in row["checks"]} == {"first-divergence", "repeated"}


def test_what_the_machine_cannot_run_says_why(job: Job, ceilings: Ceilings) -> None:
    def unsupported(technique: str, dtype: Precision = "float32", **changes) -> str:
        row = measure(replace(job, technique=technique, dtype=dtype, **changes), ceilings)
        assert row["status"] == "unsupported"
        assert not row.keys() & {"check", "checks", "ratio"}
        return row["reason"]

    assert "kernels are for accelerators, the model is on cpu" in unsupported("flash")
    assert "no drafter was given" in unsupported("speculative", drafter=None)
    assert "no drafter was given" in unsupported("speculative-sampling", drafter=None)
    assert "a batch of one row" in unsupported("continuous-batching", batch=1)
    assert "takes 32 and gives 88, the kernel wants multiples of 32 and 16" in unsupported("int4-weight-only")
    assert "the model is in bfloat16 as it is" in unsupported("bfloat16", "bfloat16")
    assert "num_attention_heads 2 does not divide by 4 ranks: use 2" in unsupported("tensor-parallel-4")
    assert "pipeline over 4 ranks of 3 layers: use 2 to 3 ranks" in unsupported("pipeline-parallel-4")
    assert "a prompt of 3 tokens over 4 ranks" in unsupported("sequence-parallel-4", prompt_tokens=3)
    assert "the limit of the ranks' logits is that of float32" in unsupported("tensor-parallel-2", "bfloat16")


def test_int4_where_the_widths_fit(job: Job, ceilings: Ceilings, save, tmp_path: Path) -> None:
    model = save(96, 0, tmp_path, head=0.2)  # logits about as wide apart as a trained model's
    row = measure(replace(job, technique="int4-weight-only", model=model, drafter=None), ceilings)
    assert row["status"] == "ok", row["reason"]
    assert 0.5 < row["bytes_saved"] < 1


def test_a_wrong_token_takes_the_speed_away(job: Job, ceilings: Ceilings, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(setting: Setting) -> Contest:
        sound = cache.kv_cache(setting)

        def technique() -> list[list[int]]:
            tokens = sound.technique()
            tokens[1][7] += 1
            return tokens

        return replace(sound, technique=technique)

    monkeypatch.setitem(CONTESTS, "kv-cache", faulty)
    row = measure(job, ceilings)
    assert row["status"] == "incorrect"
    assert row["check"]["kind"] == "token-exact"
    assert row["reason"].startswith("token-exact")
    assert not row.keys() & {"ratio", "ci95", "seconds", "tokens_per_second", "seconds_per_token", "roofline_share"}


def test_every_technique_named_has_a_contest() -> None:
    assert tuple(CONTESTS) == TECHNIQUES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_tokens": 120}, "prompt_tokens 120 and new_tokens 12: the window of .* has 128 tokens, ask for fewer"),
        ({"new_tokens": 0}, "new_tokens 0: give at least 1"),
        ({"technique": "magic"}, "technique 'magic': give one of kv-cache, "),
        ({"dtype": "float8"}, "dtype 'float8': give one of float32, bfloat16"),
        ({"text": "too short"}, "the text has 9 tokens, 2 prompts need 64: give a longer one"),
        ({"model": Path("nowhere")}, "nowhere is no checkpoint: give a folder with a config.json"),
    ],
)
def test_bad_input_is_refused_by_name(job: Job, ceilings: Ceilings, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(replace(job, **changes), ceilings)


def test_a_drafter_with_another_tokenizer_is_refused(job: Job, ceilings: Ceilings, save, tmp_path: Path) -> None:
    other = save(16, 0, tmp_path, vocab_size=262)
    with pytest.raises(ValueError, match="its tokenizer is not that of"):
        measure(replace(job, technique="speculative", drafter=other), ceilings)
