"""Every law against finite differences, its special cases and published numbers."""

from typing import get_args

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import qmc

from analysis.laws import HOFFMANN, LAWS, Fitted, size_exponent
from analysis.params import LawName
from analysis.solver import huber_sum

CHINCHILLA = {"A": 477.826, "B": 2143.42, "E": 1.817218, "alpha": 0.347310, "beta": 0.367172}
STEP = 1e-5


@pytest.fixture(scope="module")
def logs():
    rng = np.random.default_rng(0)
    params, tokens = rng.uniform(np.log(1e7), np.log(1e10), 40), rng.uniform(np.log(1e9), np.log(1e11), 40)
    unique = tokens - np.maximum(0.0, rng.uniform(-1.0, 3.0, 40))
    return {"params": params, "tokens": tokens, "unique_tokens": unique}


def some_coordinates(law, logs, num_problems=6):
    unit = qmc.Halton(law.num_shapes, rng=np.random.default_rng(1)).random(num_problems)
    loss = Fitted.of(HOFFMANN, CHINCHILLA).loss(np.exp(logs["params"]), np.exp(logs["tokens"]))
    return np.clip(law.starting_points(logs, loss, unit), *law.bounds_K2.T)


def differences(function, theta_PK):
    """Central differences of function(theta) in every coordinate, stacked last."""
    num_coordinates = theta_PK.shape[1]
    steps = STEP * np.eye(num_coordinates)
    return np.stack([(function(theta_PK + s) - function(theta_PK - s)) / (2 * STEP) for s in steps], axis=-1)


def test_names_are_those_of_the_params():
    assert tuple(LAWS) == get_args(LawName)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_gradient(law, logs):
    theta_PK = some_coordinates(law, logs)
    expected = differences(lambda theta: law.log_loss(theta, logs), theta_PK)
    expansion = law.expand(theta_PK, logs)
    np.testing.assert_allclose(expansion.jacobian_PNK, expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(expansion.log_loss_PN, law.log_loss(theta_PK, logs), rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in LAWS if name not in ("repeated", "stops")])
def test_weighted_second_derivative(name, logs):
    law = LAWS[name]
    theta_PK = some_coordinates(law, logs)
    weights_PN = np.random.default_rng(2).standard_normal((len(theta_PK), 40))

    def weighted_gradient(theta):
        return np.einsum("pn,pnk->pk", weights_PN, law.expand(theta, logs).jacobian_PNK)

    expected = differences(weighted_gradient, theta_PK)
    found = law.expand(theta_PK, logs).curvature.weighted(weights_PN)
    np.testing.assert_allclose(found, expected, atol=1e-7 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_parameters_and_coordinates_are_one_to_one(law, logs):
    for theta_K in some_coordinates(law, logs):
        np.testing.assert_allclose(law.theta(Fitted(law, theta_K).params), theta_K, rtol=1e-12)


def test_formula_of_hoffmann_and_its_slices():
    params, tokens = 7e9, 1.4e12
    expected = 1.817218 + 477.826 / params**0.347310 + 2143.42 / tokens**0.367172
    assert float(Fitted.of(HOFFMANN, CHINCHILLA).loss(params, tokens)) == pytest.approx(expected, rel=1e-12)
    fixed_n = Fitted.of(LAWS["fixed-n"], {"E": 2.0, "B": 2143.42, "beta": 0.367172})
    assert float(fixed_n.loss(params, tokens)) == pytest.approx(2.0 + 2143.42 / tokens**0.367172, rel=1e-12)


def test_kaplans_own_numbers():
    """Kaplan et al. (2020), table 3: alpha_N .076, alpha_D .103, N_c 6.4e13, D_c 1.8e13."""
    alpha_n, alpha_d, n_c, d_c = 0.076, 0.103, 6.4e13, 1.8e13
    ours = {"A": n_c ** (alpha_n / alpha_d), "B": d_c, "alpha": alpha_n / alpha_d, "beta": 1.0, "gamma": alpha_d}
    expected = ((n_c / 1e9) ** (alpha_n / alpha_d) + d_c / 2e10) ** alpha_d
    assert float(Fitted.of(LAWS["kaplan"], ours).loss(1e9, 2e10)) == pytest.approx(expected, rel=1e-12)


def test_interaction_with_gamma_one_is_hoffmann(logs):
    both = [Fitted.of(HOFFMANN, CHINCHILLA), Fitted.of(LAWS["interaction"], CHINCHILLA | {"gamma": 1.0})]
    first, second = (law.loss(np.exp(logs["params"]), np.exp(logs["tokens"])) for law in both)
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_data_seen_once_are_worth_themselves_and_repeats_less():
    law = Fitted.of(LAWS["repeated"], CHINCHILLA | {"R_D": 15.4, "R_N": 5.3})
    params = 1e6  # below the size that is best for these tokens
    fresh = float(Fitted.of(HOFFMANN, CHINCHILLA).loss(params, 1e11))
    assert float(law.loss(params, 1e11)) == pytest.approx(fresh, rel=1e-12)
    by_epochs = [float(law.loss(params, 1e11, 1e11 / epochs)) for epochs in (1, 2, 4, 16, 64)]
    assert by_epochs == sorted(by_epochs)
    # No number of repeats is worth more than R_D fresh passes on top of the first.
    limit = float(Fitted.of(HOFFMANN, CHINCHILLA).loss(params, 1e9 * 16.4))
    assert float(law.loss(params, 1e13, 1e9)) == pytest.approx(limit, rel=1e-6)


def test_published_parameters_of_repeated_data(reference_data):
    """Muennighoff et al. (2023): their parameters on the 182 runs of their fit give this sum of Huber losses."""
    import pandas as pd

    runs = pd.read_csv(reference_data / "data_constrained.csv").query("in_published_fit_182")
    law = LAWS["repeated"]
    published = {
        "A": np.exp(6.2554), "B": np.exp(7.3050), "E": np.exp(0.62548), "alpha": 0.35266, "beta": 0.35266,
        "R_D": 15.3878, "R_N": 5.3097,
    }  # fmt: skip
    logs = {name: np.log(runs[name].to_numpy()) for name in law.columns}
    residual = law.log_loss(law.theta(published)[None], logs) - np.log(runs["loss"].to_numpy())
    assert len(runs) == 182
    assert huber_sum(residual, 1e-3)[0] == pytest.approx(0.0158259353, rel=1e-4)


@pytest.mark.parametrize("name", ["hoffmann", "kaplan", "interaction"])
def test_optimum_is_the_least_loss_of_its_budget(name):
    params = {**CHINCHILLA, "gamma": 0.5, "beta": 1.0 if name == "kaplan" else 0.367172}
    fitted = Fitted.of(LAWS[name], {key: params[key] for key in LAWS[name].names})
    for flops in (1e18, 1e21):
        best = minimize_scalar(
            lambda x, flops=flops: float(fitted.loss(np.exp(x), flops / 6 / np.exp(x))), bounds=(5, 40),
            options={"xatol": 1e-10},
        )  # fmt: skip
        size, tokens = fitted.optimal(flops)
        assert float(size) == pytest.approx(np.exp(best.x), rel=1e-3)
        assert 6 * float(size) * float(tokens) == pytest.approx(flops, rel=1e-12)
    grown = float(np.log(fitted.optimal(1e21)[0] / fitted.optimal(1e18)[0]) / np.log(1e3))
    assert fitted.a == pytest.approx(grown, rel=1e-9)
    assert fitted.a + fitted.b == 1
    assert size_exponent(fitted.law, fitted.theta_K[None])[0] == fitted.a


def test_a_slice_shares_no_budget():
    with pytest.raises(ValueError, match="law 'fixed-n' shares no budget"):
        Fitted.of(LAWS["fixed-n"], {"E": 2.0, "B": 10.0, "beta": 0.3}).optimal(1e18)
