from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from analysis.fit import Observations, fit_hoffmann, huber_sum, minimise, starting_points
from analysis.laws import log_loss


@pytest.fixture(scope="module")
def chinchilla(reference_data: Path) -> Observations:
    points = pd.read_csv(reference_data / "chinchilla_epoch.csv")
    return Observations.of(points.drop(points["loss"].nlargest(5).index))


def test_chinchilla_anchor(chinchilla):
    """Besiroglu et al. (2024): 240 points of Hoffmann et al.; every published search ends above this objective."""
    assert len(chinchilla.log_loss_N) == 240
    solution = fit_hoffmann(chinchilla, delta=1e-3, starts=48, seed=0)
    assert solution.objective <= 0.0010182741
    expected = {"A": 477.826, "B": 2143.42, "E": 1.817218, "alpha": 0.347310, "beta": 0.367172}
    assert solution.law.to_dict() == pytest.approx(expected, rel=1e-3)
    assert solution.starts_agreeing >= 40


def test_scipy_never_finds_less(sweep):
    observations = Observations.of(sweep)
    solution = fit_hoffmann(observations, delta=1e-3, starts=16, seed=0)

    def objective(theta):
        residual = log_loss(theta[None], observations.log_params_N, observations.log_tokens_N)[0]
        return 1e6 * float(huber_sum(residual - observations.log_loss_N, 1e-3))

    for start in (solution.law.theta(), *starting_points(observations, 4, seed=5)):
        again = minimize(objective, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-9, "fatol": 0})
        assert again.fun >= 1e6 * solution.objective * (1 - 1e-9)


def test_exact_data_return_their_law(simulate, truth):
    points = simulate(num_seeds=1, cell_noise=0, branch_noise=0)
    solution = fit_hoffmann(Observations.of(points), delta=1e-3, starts=16, seed=1)
    assert solution.law.to_dict() == pytest.approx(truth.to_dict(), rel=1e-5)
    assert solution.objective < 1e-16


def test_units_of_size_and_data_do_not_matter(sweep):
    """Counting N in thousands and D in millions rescales A and B and leaves everything else alone."""
    plain = fit_hoffmann(Observations.of(sweep), 1e-3, 16, 0)
    scaled = sweep.assign(params=sweep["params"] / 1e3, tokens=sweep["tokens"] / 1e6)
    other = fit_hoffmann(Observations.of(scaled), 1e-3, 16, 0)
    assert other.objective == pytest.approx(plain.objective, rel=1e-9)
    expected = plain.law.to_dict() | {
        "A": plain.law.A * 1e3**-plain.law.alpha,
        "B": plain.law.B * 1e6**-plain.law.beta,
    }
    assert other.law.to_dict() == pytest.approx(expected, rel=1e-5)


def test_a_batch_equals_its_problems(sweep):
    observations = Observations.of(sweep)
    starts = starting_points(observations, 5, seed=3)
    together = minimise(observations, starts, 1e-3)[1]
    alone = [minimise(observations, starts[row : row + 1], 1e-3)[1][0] for row in range(5)]
    np.testing.assert_allclose(together, alone, rtol=1e-8)


def test_weights_count_points(sweep, truth):
    observations = Observations.of(sweep)
    counts = np.random.default_rng(0).integers(0, 3, len(sweep))
    repeated = Observations.of(sweep.loc[sweep.index.repeat(counts)])
    start = truth.theta()[None]
    weighted = minimise(observations, start, 1e-3, weights_PN=counts[None].astype(float))
    expected = minimise(repeated, start, 1e-3)
    assert weighted[1][0] == pytest.approx(expected[1][0], rel=1e-8)


def test_huber_is_quadratic_then_linear():
    residual = np.array([[0.0, 5e-4, -2e-3]])
    expected = 0.5 * 5e-4**2 + 1e-3 * (2e-3 - 0.5e-3)
    assert huber_sum(residual, 1e-3)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"widths": (24, 32)}, "2 sizes cannot identify a law; train at least 3"),
        ({"tokens": (1_000_000, 2_000_000)}, "2 token counts cannot identify a law"),
    ],
)
def test_too_little_data_says_what_to_train(kept, message, simulate):
    with pytest.raises(ValueError, match=message):
        Observations.of(simulate(**kept))


def test_too_few_runs(simulate):
    points = simulate(widths=(24, 32, 48), tokens=(1_000_000, 2_000_000, 4_000_000), num_seeds=1)
    with pytest.raises(ValueError, match="5 runs cannot identify five parameters; give at least 6"):
        Observations.of(points.iloc[[0, 1, 3, 6, 8]])
