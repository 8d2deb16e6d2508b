"""What the check of sampled decoding can tell."""

from dataclasses import replace

import pytest
import torch

from evals.inference.checks import ALPHA, pooled_chi_square
from evals.inference.job import Job
from evals.inference.measure import prepare
from evals.inference.techniques import speculation
from evals.inference.techniques.speculation import NUM_DRAWS, NUM_PREFIXES, Place, follows, places
from models.decoding.speculative import Draft, Sampled, VerifySampled

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, save, job: Job) -> list[Place]:
    """Places of text read by models whose predictions are as uncertain as trained ones'."""
    target, drafter = (save(width, width, tmp_path_factory.mktemp(f"w{width}"), head=0.3) for width in (32, 16))
    setting = prepare(replace(job, model=target, drafter=drafter))
    assert setting.drafter is not None
    told = places(setting, setting.drafter)
    for index, place in enumerate(told):
        row_T, end = setting.prompts_BT[index % 2], 4 * (index + 1)
        with torch.inference_mode():
            here_V = setting.model(input_ids=row_T[None, :end]).logits[0, -1]
            after_V = setting.model(input_ids=torch.cat([row_T[:end], torch.tensor([place.likely])])[None]).logits[
                0, -1
            ]
        torch.testing.assert_close(place.target_2V, torch.stack([here_V, after_V]))
    return told


def test_a_wrong_token_after_a_draft_that_stood_is_caught(found: list[Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """8,000 draws, alpha .001: the token after a draft that stood is drawn as if the draft were not there."""

    class Forgetful(VerifySampled):
        def __call__(self, logits_QV: torch.Tensor, draft: Draft) -> tuple[int, int]:
            return super().__call__(logits_QV[:1].expand(len(logits_QV), -1), draft)

    sampled = Sampled(1.0, torch.Generator().manual_seed(0))
    assert follows(sampled, found, 8_000).passed
    monkeypatch.setattr(speculation, "VerifySampled", Forgetful)
    assert not follows(sampled, found, 8_000).passed


@pytest.mark.proof
def test_power_against_a_temperature_off_by_a_twentieth(found: list[Place]) -> None:
    """500 checks of 51,200 draws each, alpha .001, the draws from the distributions themselves.

    Of a sampler that is right at most 4 are refused (with probability .998), of one that is off at least 99% are.
    """
    generator = torch.Generator().manual_seed(0)
    told = [torch.softmax(place.target_2V[0].double(), -1) for place in found]

    def refused(temperature: float) -> int:
        drawn_from = [torch.softmax(place.target_2V[0].double() / temperature, -1) for place in found]
        number = NUM_DRAWS // NUM_PREFIXES
        return sum(
            not pooled_chi_square(
                [torch.multinomial(one, number, replacement=True, generator=generator).tolist() for one in drawn_from],
                told,
            ).passed
            for _ in range(500)
        )

    assert ALPHA == 0.001
    assert refused(1.0) <= 4
    assert refused(1.05) >= 495
    assert refused(0.95) >= 495
