"""Each check passes what is right and catches what is wrong."""

import math

import pytest
import torch

from evals.inference.checks import divergence, first_divergence, pooled_chi_square, same_logits, token_exact

REFERENCE = [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_one_token_in_many_is_no_longer_exact() -> None:
    assert token_exact(REFERENCE, [[1, 2, 3, 4], [5, 6, 7, 8]]).passed
    check = token_exact(REFERENCE, [[1, 2, 3, 4], [5, 6, 0, 8]])
    assert not check.passed
    assert check.value == 6 / 8
    assert not token_exact(REFERENCE, [[1, 2, 3, 4], [5, 6, 7]]).passed
    assert not token_exact(REFERENCE, [[1, 2, 3, 4], [5, 6, 7, 8, 9]]).passed


def test_rounding_may_decide_a_near_tie_and_nothing_else() -> None:
    swapped = [[1, 2, 3, 4], [5, 0, 0, 0]]  # what follows the first difference follows from it
    best = [0.0, 0.0, 0.0, 0.0]
    assert first_divergence(REFERENCE, swapped, [best, [0.0, 0.01, 0.0, 0.0]], limit=0.1).passed
    check = first_divergence(REFERENCE, [[1, 2, 0, 4], [5, 6, 7, 8]], [[0.0, 0.0, 9.0, 0.0], best], limit=0.1)
    assert (check.passed, check.value) == (False, 9.0)
    assert "1 of 2 rows" in check.detail
    assert "token 3" in check.detail
    late = first_divergence(REFERENCE, swapped, [best, [0.0, 0.01, 0.0, 9.0]], limit=0.1)
    assert not late.passed  # after the near tie, too, each token is to be the best
    assert first_divergence(REFERENCE, REFERENCE, [best, best], limit=0.1).value == 0
    assert not first_divergence(REFERENCE, [[1, 2, 3], [5, 6, 7, 8]], [best, best], limit=0.1).passed


@pytest.mark.parametrize("temperature", [1.0, 0.9])
def test_a_temperature_off_by_a_tenth_is_caught(temperature: float) -> None:
    logits_V = torch.tensor([2.0, 1.0, 0.0, -1.0, -6.0])
    generator = torch.Generator().manual_seed(0)
    samples = torch.multinomial(torch.softmax(logits_V / temperature, 0), 20_000, True, generator=generator).tolist()
    check = pooled_chi_square([samples], [torch.softmax(logits_V, 0)])
    assert check.passed == (temperature == 1.0)


def test_a_sound_sampler_fails_once_in_a_thousand() -> None:
    probabilities_V = torch.softmax(torch.randn(30, generator=torch.Generator().manual_seed(1)) * 2, 0)
    generator = torch.Generator().manual_seed(2)
    failed = sum(
        not pooled_chi_square(
            [torch.multinomial(probabilities_V, 500, True, generator=generator).tolist()], [probabilities_V]
        ).passed
        for _ in range(1000)
    )
    assert failed <= 5


def test_an_outcome_that_cannot_be_is_caught() -> None:
    probabilities_V = torch.tensor([0.5, 0.5, 0.0])
    assert pooled_chi_square([[0, 1] * 500], [probabilities_V]).passed
    assert not pooled_chi_square([[0, 1] * 500 + [2] * 50], [probabilities_V]).passed


def test_what_is_no_number_is_not_near() -> None:
    logits = torch.tensor([[1.0, 2.0]])
    assert same_logits(logits, [logits, logits + 1e-7], limit=1e-5).passed
    broken = torch.tensor([[1.0, math.nan]])
    assert not same_logits(logits, [logits, broken], limit=1e-5).passed
    assert not first_divergence([[1], [2]], [[1], [2]], [[0.0], [math.nan]], limit=0.1).passed
    assert not divergence(logits, broken, limit=0.1).passed


def test_divergence_is_that_of_the_closed_form() -> None:
    reference_TV, found_TV = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    check = divergence(reference_TV, found_TV, limit=0.1)
    assert check.value == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    assert not check.passed
    assert divergence(reference_TV, reference_TV, limit=0.0).passed
