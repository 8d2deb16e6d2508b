"""Two techniques together, against each of them and neither."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.inference.contest import generated
from evals.inference.job import COMPOSITIONS, Job
from evals.inference.protocol import MOST_TURNS
from evals.inference.techniques import compositions
from evals.inference.techniques.compositions import compose, ratios
from models.decoding.speculative import SpeculativeDecoder, verify_greedy

pytestmark = pytest.mark.usefixtures("one_thread", "eager")
SIDES = ["neither", "first", "second", "both"]


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory, save, job: Job) -> Job:
    """Models whose predictions are as uncertain as trained ones'."""
    target, drafter = (save(width, width, tmp_path_factory.mktemp(f"w{width}"), head=0.3) for width in (32, 16))
    return replace(job, model=target, drafter=drafter, num_pairs=3)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_both_together_are_right_and_have_a_synergy(composed: Job, name: str) -> None:
    row = compose(replace(composed, technique=name))
    assert row["status"] == "ok", row["reason"]
    assert f"{row['first']} x {row['second']}" == name
    assert list(row["seconds"]) == SIDES
    assert all(len(seconds) == 3 for seconds in row["seconds"].values())
    assert row["product"] == pytest.approx(row["ratio_first"] * row["ratio_second"])
    assert row["synergy_ci95"][0] <= row["synergy"] <= row["synergy_ci95"][1]
    assert (row["family"], row["layers"], row["prompt"], row["batch"]) == ("decoder", 3, 32, 2)


def test_a_composition_takes_turns_for_its_seconds(composed: Job) -> None:
    row = compose(replace(composed, technique=COMPOSITIONS[0], least_seconds=1e6))
    assert all(len(seconds) == MOST_TURNS for seconds in row["seconds"].values())


def test_a_fault_of_both_takes_the_speeds_away(composed: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that takes every first token of a draft: the quantised target's tokens are others."""

    def gullible(logits_QV, draft):
        num_accepted, token = verify_greedy(logits_QV, draft)
        return (num_accepted, token) if num_accepted else (1, int(logits_QV[1].argmax()))

    class Gullible(SpeculativeDecoder):
        def greedy(self, prompt_1T, num_tokens):
            return super().greedy(prompt_1T, num_tokens, verify=gullible)

    monkeypatch.setattr(compositions, "SpeculativeDecoder", Gullible)
    row = compose(replace(composed, technique="int8-weight-only x speculative"))
    assert row["status"] == "incorrect"
    assert row["check"]["kind"] == "token-exact"
    assert not any(key.startswith(("ratio", "synergy", "product", "seconds")) for key in row)


def test_a_fault_of_one_alone_takes_the_speeds_away(composed: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The product is made of its speed."""

    def faulty(setting):
        work = generated(setting)

        def wrong():
            found = work()
            found[0][-1] = (found[0][-1] + 1) % 260
            return found

        return wrong

    monkeypatch.setattr(compositions, "generated", faulty)
    row = compose(replace(composed, technique="static-cache x batching"))
    assert row["status"] == "incorrect"
    assert [check["passed"] for check in row["checks"]] == [True, False, True]


def test_what_cannot_be_composed_says_why(composed: Job) -> None:
    row = compose(replace(composed, technique="static-cache x batching", batch=1))
    assert (row["status"], row["reason"]) == ("unsupported", "a batch of one row: ask for 2 or more")
    row = compose(replace(composed, technique="bfloat16 x speculative", drafter=None))
    assert "no drafter was given" in row["reason"]
    row = compose(replace(composed, technique="bfloat16 x static-cache", dtype="bfloat16"))
    assert "the model is in bfloat16 as it is" in row["reason"]
    with pytest.raises(ValueError, match="composition 'kv-cache': give one of static-cache x batching"):
        compose(composed)
    with pytest.raises(ValueError, match="nowhere is no checkpoint"):
        compose(replace(composed, technique=COMPOSITIONS[0], model=Path("nowhere")))


def test_synergy_of_known_seconds() -> None:
    """Twice and three times as fast; together five times, where the product says six."""
    neither = np.array([6.0, 12.0, 6.0])
    told = ratios(neither, neither / 2, neither / 3, neither / 5)
    assert (told["ratio_first"], told["ratio_second"], told["ratio_both"]) == (2, 3, 5)
    assert told["product"] == 6
    assert told["synergy"] == pytest.approx(5 / 6)
