"""The batched solver against scipy, published optima and its own invariants."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import qmc

from analysis.fit import Estimator, Observations, fit
from analysis.laws import HOFFMANN, LAWS, Fitted
from analysis.solver import huber_sum, minimise

HUBER = Estimator()


@pytest.fixture(scope="module")
def chinchilla(reference_data: Path) -> Observations:
    points = pd.read_csv(reference_data / "chinchilla_epoch.csv")
    return Observations.of(points.drop(points["loss"].nlargest(5).index))


def starts_of(law, observations, num_starts, seed):
    unit = qmc.Halton(law.num_shapes, rng=np.random.default_rng(seed)).random(num_starts)
    return law.starting_points(observations.logs, np.exp(observations.log_loss_N), unit)


def test_chinchilla_anchor(chinchilla):
    """Besiroglu et al. (2024): 240 points of Hoffmann et al.; every published search ends above this objective."""
    assert len(chinchilla.log_loss_N) == 240
    solution = fit(chinchilla, HOFFMANN, HUBER, starts=48, seed=0)
    assert solution.objective <= 0.00101827402
    expected = {"A": 477.826, "B": 2143.42, "E": 1.817218, "alpha": 0.347310, "beta": 0.367172}
    assert solution.fitted.params == pytest.approx(expected, rel=1e-3)
    assert solution.starts_agreeing >= 40


def test_chinchilla_by_least_absolute_residuals(chinchilla):
    """The published parameters of Besiroglu et al. (2024) are those of this estimator."""
    solution = fit(chinchilla, HOFFMANN, Estimator("l1"), starts=8, seed=0)
    expected = {"A": 481.999, "B": 2085.39, "E": 1.816862, "alpha": 0.347812, "beta": 0.365853}
    assert solution.fitted.params == pytest.approx(expected, rel=1e-4)
    logs, residual = chinchilla.logs, chinchilla.log_loss_N
    fitted = HOFFMANN.log_loss(solution.fitted.theta_K[None], logs)[0]
    assert solution.objective == pytest.approx(np.abs(fitted - residual).sum(), rel=1e-4)


def test_repeated_data_beat_the_published_parameters(reference_data):
    """Muennighoff et al. (2023) end at .0158259353 on the 182 runs of their fit."""
    runs = pd.read_csv(reference_data / "data_constrained.csv").query("in_published_fit_182")
    law = LAWS["repeated"]
    solution = fit(Observations.of(runs, law), law, HUBER, starts=48, seed=0)
    assert solution.objective <= 0.0158259353
    assert solution.meaningless == []


@pytest.mark.parametrize("estimator", ["huber", "least-squares"])
def test_every_draw_is_at_its_own_optimum(chinchilla, estimator):
    """Resampled draws started from the point estimate alone; scipy from 20 starts each finds nothing lower."""
    solver = Estimator(estimator)
    best = fit(chinchilla, HOFFMANN, solver, starts=8, seed=0).fitted.theta_K
    rng, num_points = np.random.default_rng(0), len(chinchilla.log_loss_N)
    weights = rng.multinomial(num_points, np.full(num_points, 1 / num_points), size=4).astype(float)
    _, objective = solver.solve(HOFFMANN, chinchilla.logs, chinchilla.log_loss_N, np.tile(best, (4, 1)), weights)
    delta = 1e-3 if estimator == "huber" else np.inf

    for draw in range(4):

        def scaled(theta, w=weights[draw]):
            expansion = HOFFMANN.expand(theta[None], chinchilla.logs)
            residual = expansion.log_loss_PN - chinchilla.log_loss_N
            slope = (w * np.clip(residual[0], -delta, delta)) @ expansion.jacobian_PNK[0]
            return 1e3 * huber_sum(residual, delta, w)[0], 1e3 * slope

        found = [
            minimize(scaled, s, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-16, "gtol": 1e-12})
            for s in starts_of(HOFFMANN, chinchilla, 20, seed=draw)
        ]
        assert objective[draw] <= min(result.fun for result in found) / 1e3 + 1e-12


def test_scipy_never_finds_less(sweep):
    observations = Observations.of(sweep)
    solution = fit(observations, HOFFMANN, HUBER, starts=16, seed=0)

    def objective(theta):
        residual = HOFFMANN.log_loss(theta[None], observations.logs)[0] - observations.log_loss_N
        return 1e6 * float(huber_sum(residual, 1e-3))

    for start in (solution.fitted.theta_K, *starts_of(HOFFMANN, observations, 4, seed=5)):
        again = minimize(objective, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-9, "fatol": 0})
        assert again.fun >= 1e6 * solution.objective * (1 - 1e-9)


TRUTHS = {
    "hoffmann": {"A": 60.0, "B": 1000.0, "E": 1.07, "alpha": 0.48, "beta": 0.56},
    "kaplan": {"A": 1.1e10, "B": 1.8e13, "alpha": 0.74, "beta": 1.0, "gamma": 0.103},
    "interaction": {"A": 200.0, "B": 4000.0, "alpha": 0.6, "beta": 0.7, "gamma": 0.8, "E": 1.07},
    "repeated": {"A": 60.0, "B": 1000.0, "E": 1.07, "alpha": 0.48, "beta": 0.56, "R_D": 15.0, "R_N": 5.0},
    "fixed-n": {"B": 1000.0, "E": 1.07, "beta": 0.56},
    "fixed-d": {"A": 60.0, "E": 1.07, "alpha": 0.48},
    "power": {"B": 10.0, "beta": 0.1},
    "stops": {"B": 10.0, "beta": 0.1, "D_s": 2e7},
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("estimator", ["huber", "l1", "least-squares"])
def test_exact_data_return_their_law(name, estimator):
    law, truth = LAWS[name], Fitted.of(LAWS[name], TRUTHS[name])
    params, tokens, epochs = (
        a.ravel() for a in np.meshgrid(np.geomspace(2e4, 3e6, 7), np.geomspace(1e6, 3e8, 6), [1, 8])
    )
    points = pd.DataFrame({"params": params, "tokens": tokens, "unique_tokens": tokens / epochs})
    points["loss"] = truth.loss(params, tokens, tokens / epochs)
    solution = fit(Observations.of(points, law), law, Estimator(estimator), starts=24, seed=1)
    assert solution.fitted.params == pytest.approx(truth.params, rel=1e-3)


def test_units_of_size_and_data_do_not_matter(sweep):
    """Counting N in thousands and D in millions rescales A and B and leaves everything else alone."""
    plain = fit(Observations.of(sweep), HOFFMANN, HUBER, 16, 0)
    scaled = sweep.assign(params=sweep["params"] / 1e3, tokens=sweep["tokens"] / 1e6)
    other = fit(Observations.of(scaled), HOFFMANN, HUBER, 16, 0)
    assert other.objective == pytest.approx(plain.objective, rel=1e-9)
    params = plain.fitted.params
    expected = params | {"A": params["A"] * 1e3 ** -params["alpha"], "B": params["B"] * 1e6 ** -params["beta"]}
    assert other.fitted.params == pytest.approx(expected, rel=1e-5)


def test_a_batch_equals_its_problems(sweep):
    observations = Observations.of(sweep)
    starts = starts_of(HOFFMANN, observations, 5, seed=3)
    logs, loss = observations.logs, observations.log_loss_N
    together = minimise(HOFFMANN, logs, loss, starts, 1e-3)[1]
    alone = [minimise(HOFFMANN, logs, loss, starts[row : row + 1], 1e-3)[1][0] for row in range(5)]
    np.testing.assert_allclose(together, alone, rtol=1e-8)


def test_weights_count_points(sweep, truth):
    observations = Observations.of(sweep)
    counts = np.random.default_rng(0).integers(0, 3, len(sweep))
    repeated = Observations.of(sweep.loc[sweep.index.repeat(counts)])
    start, weights = truth.theta_K[None], counts[None].astype(float)
    weighted = minimise(HOFFMANN, observations.logs, observations.log_loss_N, start, 1e-3, weights_PN=weights)
    expected = minimise(HOFFMANN, repeated.logs, repeated.log_loss_N, start, 1e-3)
    assert weighted[1][0] == pytest.approx(expected[1][0], rel=1e-8)


def test_a_coordinate_whose_bounds_meet_is_held_and_the_rest_is_optimal(sweep):
    observations = Observations.of(sweep)
    logs, loss = observations.logs, observations.log_loss_N
    free = fit(observations, HOFFMANN, HUBER, 16, 0)
    bounds = HOFFMANN.bounds_K2.copy()
    bounds[3] = free.fitted.theta_K[3] + 0.05
    theta, objective = minimise(HOFFMANN, logs, loss, free.fitted.theta_K[None], 1e-3, bounds_PK2=bounds)
    assert theta[0, 3] == bounds[3, 0]
    assert objective[0] > free.objective
    for start in starts_of(HOFFMANN, observations, 8, seed=4):
        again = minimise(HOFFMANN, logs, loss, start[None], 1e-3, bounds_PK2=bounds)[1][0]
        assert again >= objective[0] * (1 - 1e-6)


def test_huber_is_quadratic_then_linear():
    residual = np.array([[0.0, 5e-4, -2e-3]])
    expected = 0.5 * 5e-4**2 + 1e-3 * (2e-3 - 0.5e-3)
    assert huber_sum(residual, 1e-3)[0] == pytest.approx(expected)
    assert huber_sum(residual, np.inf)[0] == pytest.approx(0.5 * (residual**2).sum())


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
    with pytest.raises(ValueError, match="5 runs cannot identify 5 parameters; give at least 6"):
        Observations.of(points.iloc[[0, 1, 3, 6, 8]])
