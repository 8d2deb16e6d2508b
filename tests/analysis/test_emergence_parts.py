"""The detector's parts against quadrature, numpy's least squares, brute force and closed forms."""

import numpy as np
import pytest
from scipy import integrate, stats

from analysis.emergence.bigbench import linearity_and_breakthroughness
from analysis.emergence.bimodality import bimodality_test, two_groups
from analysis.emergence.detect import flat_test
from analysis.emergence.estimate import along, excludes_rise, place_of
from analysis.emergence.evidence import fit_freely
from analysis.emergence.mixture import mixture_log_likelihood
from analysis.emergence.rise import Rise, Weighed
from analysis.emergence.scores import Scores
from analysis.emergence.shapes import JITTER_Z, moments, shapes_on

X = np.linspace(18.0, 22.0, 8)


def sigmoid(x, midpoint, width):
    return stats.logistic.cdf(x, loc=midpoint, scale=width / (2 * stats.logistic.ppf(0.9)))


def simulated(seed=0, width=0.5, midpoint=20.1, num_seeds=3, num_items=200, jitter=0.1, low=0.1, high=0.9) -> Scores:
    rng = np.random.default_rng(seed)
    x_N = np.repeat(X, num_seeds)
    truth_N = low + (high - low) * sigmoid(x_N + jitter * rng.standard_normal(len(x_N)), midpoint, width)
    return Scores(x_N, rng.binomial(num_items, truth_N) / num_items, np.full(len(x_N), float(num_items)))


@pytest.mark.parametrize(("midpoint", "width", "jitter"), [(20.0, 1.5, 0.1), (19.8, 0.5, 0.25), (20.2, 0.1, 0.65)])
def test_moments_over_seeds(midpoint, width, jitter):
    """To half the share of one of the leads that stand for all."""
    mean_JS, variance_JS = moments(X, *(np.array([value]) for value in (midpoint, width, jitter)))
    for place, mean, variance in zip(X, mean_JS[0], variance_JS[0], strict=True):
        nodes = np.linspace(-6, 6, 20001)
        density = stats.norm.pdf(nodes)
        value = sigmoid(place + jitter * nodes, midpoint, width)
        expected = integrate.simpson(value * density, x=nodes)
        assert mean == pytest.approx(expected, abs=0.5 / len(JITTER_Z))
        assert variance == pytest.approx(
            integrate.simpson((value - expected) ** 2 * density, x=nodes), abs=0.5 / len(JITTER_Z)
        )


def test_widths_are_from_ten_to_ninety_per_cent():
    shapes = shapes_on(tuple(X.tolist()))
    assert shapes.prior_J.sum() == pytest.approx(1.0)
    j_K = np.flatnonzero((shapes.width_J > 0.4) & (shapes.width_J < 3) & (shapes.midpoint_J == 20.0))
    assert len(j_K) > 7
    x = np.linspace(14.0, 26.0, 4001)
    mean_KX, _ = moments(x, shapes.midpoint_J[j_K], shapes.width_J[j_K], shapes.jitter_J[j_K])
    for mean_X, expected in zip(mean_KX, shapes.pooled_width_J[j_K], strict=True):
        low, high = np.interp([0.1, 0.9], mean_X, x)
        assert high - low == pytest.approx(expected, rel=0.06)


def test_likelihoods_and_coefficients_are_weighted_least_squares():
    scores = simulated()
    weighed = Weighed.near(scores, scores.mean_S, 1.3)
    rng = np.random.default_rng(1)
    score_PN = np.clip(scores.score_N + 0.1 * rng.standard_normal((3, len(scores.x_N))), 0, 1)
    score_PN[2] = score_PN[2, ::-1]  # falls
    found_PJ = weighed.log_likelihood(score_PN)
    scale_N = scores.places[1]
    for j in range(0, found_PJ.shape[1], 397):
        root_N = np.sqrt(weighed.weight_JS[j, scale_N])
        design_NK = np.column_stack([np.ones_like(root_N), weighed.mean_JS[j, scale_N]])
        for score_N, found in zip(score_PN, found_PJ[:, j], strict=True):
            solved, _, rank, _ = np.linalg.lstsq(design_NK * root_N[:, None], score_N * root_N, rcond=1e-6)
            if rank < 2 or solved[1] < 0:
                solved = np.array([np.average(score_N, weights=root_N**2), 0.0])
            squares = (((score_N - design_NK @ solved) * root_N) ** 2).sum()
            assert found == pytest.approx(np.log(root_N).sum() - 0.5 * squares, rel=1e-7, abs=1e-6)
        floor_J, height_J, floor_error_J, height_error_J = weighed.coefficients(scores.score_N)
        gram = (design_NK * root_N[:, None] ** 2).T @ design_NK
        if np.linalg.cond(gram) < 1e6:
            expected = np.linalg.solve(gram, design_NK.T @ (root_N**2 * scores.score_N))
            assert (floor_J[j], height_J[j]) == pytest.approx(tuple(expected), rel=1e-6, abs=1e-9)
            errors = np.sqrt(np.diag(np.linalg.inv(gram)))
            assert (floor_error_J[j], height_error_J[j]) == pytest.approx(tuple(errors), rel=1e-6)


def test_draws_have_the_variance_of_items_and_of_jitter():
    scores = simulated(num_seeds=1)
    curve = Rise(0.1, 0.8, 20.1, 1.2, 0.15)
    draws_PN = curve.draw(scores, 1.0, 20_000, np.random.default_rng(2))
    (mean_S,), (variance_S,) = moments(scores.x_N, *(np.array([value]) for value in (20.1, 1.2, 0.15)))
    share_N = 0.1 + 0.8 * mean_S
    assert draws_PN.mean(axis=0) == pytest.approx(share_N, abs=4e-3)
    expected_N = share_N * (1 - share_N) / 200 + 0.64 * variance_S * (1 - 1 / 200)
    assert draws_PN.var(axis=0) == pytest.approx(expected_N, rel=0.06)
    wide_PN = Rise(0.4, 0.0, 20.0, 1.0, 0.1).draw(scores, 4.0, 20_000, np.random.default_rng(3))
    assert wide_PN.var(axis=0) == pytest.approx(np.full(8, 4 * 0.24 / 200), rel=0.05)


def test_the_mixture_is_the_integral_over_leads():
    scores = simulated(width=1.0, jitter=0.15)
    fitted = fit_freely(scores)
    kept_J = np.zeros(len(fitted.log_likelihood_J), dtype=bool)
    likely_J = np.where(scores.shapes.jitter_J < 0.3, fitted.log_likelihood_J, -np.inf)
    near = np.argsort(-likely_J)[[0, 50, 200]]
    kept_J[near] = True
    found = dict(zip(np.flatnonzero(kept_J), mixture_log_likelihood(fitted, kept_J), strict=True))
    floor_J, height_J, _, _ = fitted.weighed.coefficients(scores.score_N)
    shapes, leads = scores.shapes, np.linspace(-5, 5, 4001)
    values = []
    for j in near:
        expected = 0.0
        for x, score in zip(scores.x_N, scores.score_N, strict=True):
            curve = floor_J[j] + height_J[j] * sigmoid(
                x + shapes.jitter_J[j] * leads, shapes.midpoint_J[j], shapes.width_J[j]
            )
            share = (np.clip(curve, 0, 1) + 0.5 / 200) / (1 + 1 / 200)
            spread = np.sqrt(fitted.dispersion * share * (1 - share) / 200)
            likelihood = stats.norm.pdf(score, curve, spread) * stats.norm.pdf(leads)
            expected += np.log(integrate.simpson(likelihood, x=leads) * np.sqrt(2 * np.pi))
        values.append((found[j], expected))
    offsets = np.array([ours - theirs for ours, theirs in values])
    assert offsets - offsets[0] == pytest.approx(np.zeros(3), abs=0.5)


def test_overdispersion_is_found():
    rng = np.random.default_rng(4)
    x_N = np.repeat(np.linspace(18, 22, 12), 6)
    share_N = 0.2 + 0.6 * sigmoid(x_N, 20.0, 1.5)
    beta = 100 / (5 - 1) - 1  # a beta-binomial of 100 items with five times the variance
    score_N = rng.binomial(100, rng.beta(share_N * beta, (1 - share_N) * beta)) / 100
    fitted = fit_freely(Scores(x_N, score_N, np.full(len(x_N), 100.0)))
    assert 2.0 < fitted.dispersion < 8.0
    assert fit_freely(simulated(num_seeds=6, jitter=0.0)).dispersion < 1.6


def test_a_flat_curve_is_refuted_as_seldom_as_alpha_says():
    p_values = []
    for seed in range(120):
        scores = simulated(seed, low=0.3, high=0.3)
        p_values.append(flat_test(scores, fit_freely(scores), np.random.default_rng(seed)).p_rise)
    assert np.mean(np.array(p_values) <= 0.05) < 0.12
    assert 0.3 < np.mean(p_values) < 0.7


def test_intervals_hold_midpoint_and_width():
    held = []
    for seed in range(40):
        place = place_of(fit_freely(simulated(seed, width=0.6, midpoint=19.6 + 0.02 * seed)))
        low, high = place.midpoint.low, place.midpoint.high
        assert low is not None
        assert high is not None
        assert place.width.low is not None
        held.append((low <= 19.6 + 0.02 * seed <= high, place.width.low <= 0.6 <= (place.width.high or np.inf)))
    assert (np.mean(held, axis=0) >= 0.85).all()


def test_another_axis_is_a_change_of_units():
    """Sizes are the cube root of compute: thresholds follow, and widths are a third."""
    scores = simulated(5, width=0.8)
    across, along_size = place_of(fit_freely(scores)), along(2.0 + scores.x_N / 3, scores)
    assert along_size.midpoint.value == pytest.approx(2.0 + across.midpoint.value / 3, abs=0.03)
    assert along_size.width.value == pytest.approx(across.width.value / 3, rel=0.25)


def test_a_rise_is_excluded_where_one_would_have_been_seen():
    assert excludes_rise(fit_freely(simulated(low=0.3, high=0.3)))
    assert not excludes_rise(fit_freely(simulated(low=0.3, high=0.3, num_items=8, num_seeds=1)))
    assert not excludes_rise(fit_freely(simulated()))


def test_a_straight_line_has_as_much_of_l_and_b_as_steps():
    for num_scales in (4, 12):
        assert linearity_and_breakthroughness(np.linspace(0.1, 0.9, num_scales)) == pytest.approx((num_scales - 1,) * 2)
    falls, _ = linearity_and_breakthroughness(np.array([0.9, 0.5, 0.1]))
    assert falls == pytest.approx(-2.0)
    assert linearity_and_breakthroughness(np.array([0.1, 0.1, 0.1, 0.9]))[1] is None
    assert linearity_and_breakthroughness(np.full(3, 0.2)) == (None, None)


def test_two_groups_against_every_cut():
    root_PN = np.random.default_rng(6).random((20, 7))
    floor = 0.25 / 200

    def log_likelihood(squares):
        variance = max(squares / 7, floor)
        return -0.5 * (7 * np.log(variance) + squares / variance)

    for root_N, found in zip(root_PN, two_groups(root_PN, floor), strict=True):
        ordered = np.sort(root_N)
        within = [sum(part.var() * len(part) for part in np.split(ordered, [cut])) for cut in range(1, 7)]
        assert found == pytest.approx(log_likelihood(min(within)) - log_likelihood(root_N.var() * 7), rel=1e-9)


def bimodal_share(draw, num_seeds=8, num=80):
    rng, found = np.random.default_rng(7), []
    for _ in range(num):
        score_N = rng.binomial(200, np.clip(draw(rng, num_seeds), 0, 1)) / 200
        scores = Scores(np.full(num_seeds, 20.0), score_N, np.full(num_seeds, 200.0))
        found.append(bimodality_test(scores, rng))
    return np.mean(np.array(found) <= 0.05)


def test_two_groups_of_seeds_are_told_from_one():
    assert bimodal_share(lambda rng, num: np.where(np.arange(num) < 3, 0.1, 0.5)) > 0.9
    assert bimodal_share(lambda rng, num: 0.5 + 0.1 * rng.standard_normal(num)) < 0.12
    assert bimodal_share(lambda rng, num: rng.uniform(0.2, 0.8, num)) < 0.15


def test_bimodality_needs_seeds_and_items():
    scores = simulated(num_seeds=3)
    assert bimodality_test(scores, np.random.default_rng(0)) is None
    assert bimodality_test(Scores(scores.x_N, scores.score_N, None), np.random.default_rng(0)) is None
