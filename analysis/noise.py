"""How far runs scatter around a law: between cells and within them, for the branches of a cell share its trunk.

Few cells say little of their noise, so it is never taken as known: what the residuals leave open is a distribution, and
every draw behind an interval first draws its noise from it. Where one variance decides, intervals are Student's with
that variance's degrees of freedom; where several do, each parameter answers for the variances that it rests on.

Axes: N points, K columns of the Jacobian, C cells, P draws, G and H places on the grid below.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.laws import Array

# Variance between cells over that within, and what is thought of it before the residuals speak: the correlation of two
# branches of a cell, share / (1 + share), is Beta(1/2, 1/2).
CELL_SHARES_H = np.exp2(np.arange(-2.0, 7.0))
LOG_PRIOR_H = 0.5 * np.log(CELL_SHARES_H) - np.log1p(CELL_SHARES_H)
# Change of ln(standard deviation) from the least to the most compute of the table; its prior is normal around none.
# Evaluations of a fixed text get less noisy as the loss falls; a factor of ten either way is no surprise.
CHANGES_G = np.linspace(-4.0, 4.0, 33)
PRIOR_CHANGE = float(np.log(10.0))


@dataclass(frozen=True)
class Compute:
    """ln(params * tokens) of the fitted runs: least, mean, most."""

    low: float
    middle: float
    high: float

    @staticmethod
    def of(points: pd.DataFrame) -> "Compute":
        """Of a table's runs."""
        work_N = log_work(points["params"], points["tokens"])
        return Compute(float(work_N.min()), float(work_N.mean()), float(work_N.max()))

    def place(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """How far these runs lie from the middle; beyond the fitted ones, where no noise was seen, as far as those."""
        return np.clip(log_work(params, tokens), self.low, self.high) - self.middle


def log_work(params: ArrayLike, tokens: ArrayLike) -> Array:
    """ln(params * tokens)."""
    return np.log(np.asarray(params, dtype=float)) + np.log(np.asarray(tokens, dtype=float))


@dataclass(frozen=True)
class NoiseDraws:
    """What the noise may be, an entry a draw: standard deviations of ln(loss) at the middle compute, and their slope.

    `slope_P` is d ln(standard deviation) / d ln(compute).
    """

    cell_P: Array
    residual_P: Array
    slope_P: Array
    compute: Compute

    def scale(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """What multiplies the standard deviations at these runs, (P, N)."""
        return np.exp(self.slope_P[:, None] * self.compute.place(params, tokens))

    def run(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Standard deviation of one further run (another cell and another branch) of each size and data, (P, N)."""
        return np.hypot(self.cell_P, self.residual_P)[:, None] * self.scale(params, tokens)


@dataclass(frozen=True)
class Noise:
    """Standard deviations of ln(loss) around the law, root mean squares over the runs: between cells, within a cell.

    The cell's takes in the seed and what the law misses at that size. These and the slope (of ln(standard deviation) in
    ln(compute)) are the middle of what the residuals leave open, means of logarithms; the rest is all of it, on the
    grid of CHANGES_G and CELL_SHARES_H.
    """

    cell: float
    residual: float
    slope: float
    degrees: int  # runs beyond the parameters
    shares_H: Array
    slopes_G: Array
    weight_GH: Array
    squares_GH: Array
    compute: Compute

    def draw(self, draws: int, rng: np.random.Generator) -> NoiseDraws:
        """Noise as likely as the residuals make it."""
        picked_P = rng.choice(self.weight_GH.size, size=draws, p=self.weight_GH.ravel())
        g_P, h_P = np.unravel_index(picked_P, self.weight_GH.shape)
        variance_P = self.squares_GH[g_P, h_P] / rng.chisquare(self.degrees, size=draws)
        cell_P, residual_P = _split(variance_P, self.shares_H[h_P])
        return NoiseDraws(cell_P, residual_P, self.slopes_G[g_P], self.compute)


def noise_of(points: pd.DataFrame, residual_N: Array, jacobian_NK: Array) -> Noise:
    """The noise of the runs in `points` (cell, params, tokens), from residuals of ln(loss) and the fit's Jacobian.

    The likelihood is that of the part of the residuals which no change of the parameters could have taken up (the fit
    linearised; restricted maximum likelihood, Patterson and Thompson 1971), under normal noise with one effect a cell;
    so every parameter is charged where it works: those of the tokens within cells, those of the size between. Where
    every cell is a single run the two variances cannot be told apart, and the whole is the cell's.
    """
    compute = Compute.of(points)
    place_N, span = compute.place(points["params"], points["tokens"]), compute.high - compute.low
    cell_of_point, cells = pd.factorize(points["cell"])
    num_free = int(np.linalg.matrix_rank(jacobian_NK))
    basis_NK = np.linalg.svd(jacobian_NK, full_matrices=False)[0][:, :num_free]
    degrees = len(points) - num_free
    changes_G: Array = CHANGES_G if span > 0 and degrees > 1 else np.zeros(1)
    slopes_G: Array = changes_G / max(span, 1e-300)
    shares_H, log_prior_H = CELL_SHARES_H, LOG_PRIOR_H
    if len(cells) == len(points):
        shares_H, log_prior_H = np.array([np.inf]), np.zeros(1)
    log_scale_GN = slopes_G[:, None] * place_N
    log_likelihood_GH, squares_GH = likelihood(cell_of_point, residual_N, basis_NK, log_scale_GN, shares_H)
    log_weight_GH = log_likelihood_GH + log_prior_H - 0.5 * (changes_G[:, None] / PRIOR_CHANGE) ** 2
    weight_GH = np.exp(log_weight_GH - log_weight_GH.max())
    weight_GH /= weight_GH.sum()
    mean_square_G = np.exp(2 * log_scale_GN).mean(axis=1)
    log_variance_GH = np.log(np.maximum(mean_square_G[:, None] * squares_GH, 1e-300) / max(1, degrees))
    cell, residual = _split(
        np.exp((weight_GH * log_variance_GH).sum()), np.exp(weight_GH.sum(axis=0) @ np.log(shares_H))
    )
    return Noise(
        float(cell), float(residual), float(weight_GH.sum(axis=1) @ slopes_G), max(1, degrees), shares_H, slopes_G,
        weight_GH, squares_GH, compute,
    )  # fmt: skip


def likelihood(
    cell_of_point: NDArray[np.intp], residual_N: Array, basis_NK: Array, log_scale_GN: Array, shares_H: Array
) -> tuple[Array, Array]:
    """Restricted log-likelihood, (G, H), and the sum of squares over the within-cell variance's scale, (G, H).

    Runs have standard deviations in proportion to exp(log_scale), and `shares_H` times more variance between cells than
    within; an infinite share is that of runs that are cells of their own. The common factor is integrated out.
    """
    sizes_C = np.bincount(cell_of_point)
    alone = not np.isfinite(shares_H).all()
    shares_H = np.zeros(1) if alone else shares_H
    unit = max(float(np.linalg.norm(residual_N)), 1e-300)
    columns_NX = np.column_stack([basis_NK, residual_N / unit])
    scaled_GNX = columns_NX * np.exp(-log_scale_GN)[:, :, None]
    member_CN = np.eye(len(sizes_C))[:, cell_of_point]
    sums_GCX = member_CN @ scaled_GNX
    # The inverse of I + share 1 1' within a cell of n runs is I - share / (1 + share n) 1 1'.
    taken_HC = shares_H[:, None] / (1 + shares_H[:, None] * sizes_C)
    gram_GXX = np.swapaxes(scaled_GNX, 1, 2) @ scaled_GNX
    gram_GHXX = gram_GXX[:, None] - np.einsum("gcx,hc,gcy->ghxy", sums_GCX, taken_HC, sums_GCX)
    gram_GHXX[..., -1, -1] += 1e-12  # residuals of next to nothing
    diagonal_GHX = np.einsum("ghxx->ghx", np.linalg.cholesky(gram_GHXX))
    degrees = len(residual_N) - basis_NK.shape[1]
    log_det_GH = 2 * log_scale_GN.sum(axis=1)[:, None] + np.log1p(shares_H[:, None] * sizes_C).sum(axis=1)
    of_basis_GH = np.log(diagonal_GHX[..., :-1]).sum(axis=2)
    size_GH = diagonal_GHX[..., -1]
    return -0.5 * log_det_GH - of_basis_GH - degrees * np.log(size_GH), (unit * size_GH) ** 2


def _split(variance: Array, share: Array) -> tuple[Array, Array]:
    """Standard deviations between cells and within; an infinite share leaves nothing within."""
    alone = np.isinf(share)
    cell = np.sqrt(np.where(alone, variance, variance * np.where(alone, 1.0, share)))
    return cell, np.where(alone, 0.0, np.sqrt(variance))
