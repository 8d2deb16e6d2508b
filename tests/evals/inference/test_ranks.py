"""Models divided over processes, from a checkpoint to rows. Faults of a rank are planted beside the other faults."""

from dataclasses import replace
from pathlib import Path

import pytest

from evals.inference.ceilings import Ceilings
from evals.inference.job import Job
from evals.inference.measure import measure
from models.ladder import Shape

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_right(row: dict, num_ranks: int) -> None:
    assert row["status"] == "ok", row["reason"]
    assert [(check["kind"], check["passed"]) for check in row["checks"]] == [
        ("logits", True), ("token-exact", True), ("bytes", True), ("repeated", True),
    ]  # fmt: skip
    assert row["kind"] == "parallel"
    assert row["ranks"] == num_ranks
    assert row["ci95"][0] <= row["ratio"] <= row["ci95"][1]
    assert len(row["seconds"]["baseline"]) == len(row["seconds"]["technique"]) == 3


@pytest.mark.parametrize(
    ("technique", "bytes_per_token"),
    # Of 32 tokens of a prompt and 12 after them, three layers, numbers of 4 bytes; see traffic.py.
    [
        ("tensor-parallel-2", 2 * (2 * 3 * 32 * 4) * 43 / 12),
        ("pipeline-parallel-2", (32 * 4 * 43 + 8 * 23) / 12),
        ("sequence-parallel-2", (3 * (2 * 16 * 2 * 32 * 4 + 2 * 11 * 2 * 17 * 4) + 8) / 12),
    ],
)
def test_two_ranks_give_what_one_process_gives(
    job: Job, ceilings: Ceilings, technique: str, bytes_per_token: float
) -> None:
    row = measure(replace(job, technique=technique, num_pairs=3), ceilings)
    assert_right(row, 2)
    assert row["bytes_per_token"] == pytest.approx(bytes_per_token)


@pytest.mark.proof
@pytest.mark.parametrize("way", ["tensor", "pipeline", "sequence"])
def test_four_ranks(job: Job, ceilings: Ceilings, save, tmp_path: Path, way: str) -> None:
    """Four heads, five layers, 30 tokens: pieces of unlike size where a way allows it."""
    model = save(64, 0, tmp_path, num_layers=5)
    assert Shape(64).num_heads == 4
    asked = replace(job, technique=f"{way}-parallel-4", model=model, prompt_tokens=30, batch=3, num_pairs=3)
    assert_right(measure(asked, ceilings), 4)
