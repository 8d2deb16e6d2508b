"""How far the law would move with other seeds: noise components and refitted draws. The CELL is the unit.

All branches of a cell share a trunk, so their errors move together and a bootstrap of single runs would be far too
sure of itself. Two schemes, both refitted with the estimator of the point fit:

- `cells`: whole cells drawn with replacement inside each size, so that no size ever vanishes. It asks nothing of the
  noise, but n cells a size understate a variance by (n - 1) / n, so it is used from MIN_CELLS cells a size on.
- `simulated` otherwise (one or two seeds a size, the common case): new losses around the fitted law with a random
  effect for the cell and a residual for the branch, both estimated from the residuals (`noise_of`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.fit import Observations, minimise
from analysis.laws import Array, Hoffmann, log_loss

MIN_CELLS = 5
Scheme = Literal["cells", "simulated"]


@dataclass(frozen=True)
class Noise:
    """Standard deviations of ln(loss) around the law: between cells (seed and misfit at that size), within a cell."""

    cell: float
    residual: float
    degrees: float  # effective degrees of freedom behind their sum (Satterthwaite)


def noise_of(points: pd.DataFrame, law: Hoffmann) -> Noise:
    """Split the residuals of ln(loss) into cell and branch noise by analysis of variance.

    The five parameters cost degrees of freedom: the two of the token term (B, beta) are charged to the branches within
    cells, the other three (A, alpha, E) to the differences between cells. With one cell a size the cell component also
    holds what the law's form misses at that size, which is what a new size should be expected to add.

    The cell component is never below the residual: another seed changes all that another branch changes, and more.
    Few cells often give a between-cell variance of nearly zero by luck, and intervals from it cover too little.

    Where every cell is a single run the two components cannot be told apart: the whole is the cell's, and all five
    parameters are charged to it.
    """
    expected = law.loss(points["params"], points["tokens"])
    residual = pd.Series(np.log(points["loss"].to_numpy() / expected), index=points.index)
    by_cell = residual.groupby(points["cell"])
    mean, count = by_cell.mean().to_numpy(), by_cell.size().to_numpy()
    num_cells, num_points = len(count), len(residual)
    residual_degrees, cell_degrees = max(1, num_points - num_cells - 2), max(1, num_cells - 3)
    if num_cells == num_points:
        degrees = max(1, num_points - 5)
        return Noise(float(np.sqrt((residual**2).sum() / degrees)), 0.0, float(degrees))
    within = float(((residual - by_cell.transform("mean")) ** 2).sum()) / residual_degrees
    between = float((count * mean**2).sum()) / cell_degrees
    typical = float((num_points - (count**2).sum() / num_points) / (num_cells - 1))  # branches a cell, if unbalanced
    cell = (between - within) / typical
    if cell <= within:  # the floor: all that is known is what the branches say
        return Noise(float(np.sqrt(within)), float(np.sqrt(within)), float(residual_degrees))
    # cell + within as a sum of the two independent mean squares, each with its own degrees of freedom.
    from_cells, from_branches = between / typical, within * (1 - 1 / typical)
    spread = from_cells**2 / cell_degrees + from_branches**2 / residual_degrees
    return Noise(float(np.sqrt(cell)), float(np.sqrt(within)), (from_cells + from_branches) ** 2 / spread)


def scheme_for(points: pd.DataFrame) -> Scheme:
    """Which scheme of the module's docstring the table allows."""
    cells_of_size = points.groupby("size")["cell"].nunique()
    return "cells" if cells_of_size.min() >= MIN_CELLS else "simulated"


def draw_laws(
    points: pd.DataFrame, observations: Observations, law: Hoffmann, noise: Noise, delta: float, draws: int,
    rng: np.random.Generator,
) -> Array:  # fmt: skip
    """Parameters theta (draws, K) of the law refitted to each draw, started from the point estimate."""
    theta_PK = np.tile(law.theta(), (draws, 1))
    if scheme_for(points) == "cells":
        weights_PN = resample_cells(points, draws, rng)
        return minimise(observations, theta_PK, delta, weights_PN=weights_PN)[0]
    fitted_N = log_loss(law.theta()[None], observations.log_params_N, observations.log_tokens_N)[0]
    log_loss_PN = fitted_N + simulate_noise(points, noise, draws, rng)
    return minimise(observations, theta_PK, delta, log_loss_PN=log_loss_PN)[0]


def resample_cells(points: pd.DataFrame, draws: int, rng: np.random.Generator) -> Array:
    """How often each point occurs in each draw, (draws, N): whole cells, each size keeping its number of cells."""
    cell_of_point, cells = pd.factorize(points["cell"])
    size_of_cell = points.groupby("cell", sort=False)["size"].first().loc[cells].to_numpy()
    counts = np.zeros((draws, len(cells)))
    for size in np.unique(size_of_cell):
        members = np.flatnonzero(size_of_cell == size)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return counts[:, cell_of_point]


def simulate_noise(points: pd.DataFrame, noise: Noise, draws: int, rng: np.random.Generator) -> Array:
    """Normal noise on ln(loss), (draws, N): one effect a cell, shared by its branches, and one residual a branch."""
    cell_of_point, cells = pd.factorize(points["cell"])
    effect = noise.cell * rng.standard_normal((draws, len(cells)))
    return effect[:, cell_of_point] + noise.residual * rng.standard_normal((draws, len(points)))
