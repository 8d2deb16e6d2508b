import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize_scalar

from analysis.laws import Hoffmann, log_loss, log_loss_derivatives, weighted_curvature

LAW = Hoffmann(A=477.826, B=2143.42, E=1.817218, alpha=0.347310, beta=0.367172)
RNG = np.random.default_rng(0)
X_N, Z_N = np.log(RNG.uniform(1e7, 1e10, 12)), np.log(RNG.uniform(1e8, 1e11, 12))
THETA_PK = LAW.theta() + 0.3 * RNG.standard_normal((4, 5)) * [1, 1, 0.3, 0.1, 0.1]


def test_log_sum_exp_is_the_law():
    expected = np.log(LAW.loss(np.exp(X_N), np.exp(Z_N)))
    np.testing.assert_allclose(log_loss(LAW.theta()[None], X_N, Z_N)[0], expected, rtol=1e-12)
    assert Hoffmann.from_theta(LAW.theta()).to_dict() == pytest.approx(LAW.to_dict(), rel=1e-12)


def test_gradient_is_the_finite_difference():
    derivatives = log_loss_derivatives(THETA_PK, X_N, Z_N)
    for problem, theta in enumerate(THETA_PK):
        numeric = approx_fprime(theta, lambda t: log_loss(t[None], X_N, Z_N)[0], 1e-7)
        np.testing.assert_allclose(derivatives.jacobian_PNK[problem], numeric, atol=2e-5)


def test_curvature_is_the_finite_difference_of_the_gradient():
    weights_PN = RNG.standard_normal((4, 12))

    def gradient(theta, weights):
        return weights @ log_loss_derivatives(theta[None], X_N, Z_N).jacobian_PNK[0]

    exact = weighted_curvature(log_loss_derivatives(THETA_PK, X_N, Z_N), weights_PN, X_N, Z_N)
    for problem, theta in enumerate(THETA_PK):
        numeric = approx_fprime(theta, lambda t, w=weights_PN[problem]: gradient(t, w), 1e-7)
        np.testing.assert_allclose(exact[problem], numeric, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("flops", [1e19, 5.76e23])
def test_optimum_is_the_minimum_on_the_budget(flops):
    best = minimize_scalar(
        lambda log_n: float(LAW.loss(np.exp(log_n), flops / (6 * np.exp(log_n)))),
        bounds=(np.log(1e6), np.log(1e13)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    num_params, num_tokens = LAW.optimal(flops)
    assert float(num_params) == pytest.approx(np.exp(best.x), rel=1e-4)
    assert float(6 * num_params * num_tokens) == pytest.approx(flops, rel=1e-12)
    assert float(LAW.loss(num_params, num_tokens)) <= best.fun + 1e-12


def test_exponents_are_the_slopes_of_the_optimum():
    num_params, num_tokens = LAW.optimal(np.array([1e20, 1e22]))
    assert np.log(num_params[1] / num_params[0]) / np.log(100) == pytest.approx(LAW.a)
    assert np.log(num_tokens[1] / num_tokens[0]) / np.log(100) == pytest.approx(LAW.b)
    assert LAW.a + LAW.b == pytest.approx(1)
    assert LAW.a == pytest.approx(0.367172 / (0.347310 + 0.367172))
