"""How far the law would move with other runs: refitted draws, by the estimator of the point fit.

All branches of a cell share a trunk, so their errors move together and a bootstrap of single runs would be far too
sure of itself. Three schemes:

- `runs`: rows drawn with replacement, where every row is its own cell and there are many of them.
- `cells`: whole cells drawn with replacement inside each size, so that no size ever vanishes. It asks nothing of the
  noise, but n cells a size understate a variance by (n - 1) / n, so it is used from MIN_CELLS cells a size on.
- `simulated` otherwise (one or two seeds a size, the common case): new losses around the fitted law with a random
  effect for the cell and a residual for the branch, both estimated from the residuals (noise.py).
"""

from typing import Literal

import numpy as np
import pandas as pd

from analysis.fit import Estimator, Observations, Solution
from analysis.laws import Array
from analysis.noise import Noise

MIN_CELLS = 5
MIN_RUNS = 60  # independent runs: fewer resample too coarsely, with some sizes drawn seldom
Scheme = Literal["runs", "cells", "simulated"]


def scheme_for(points: pd.DataFrame) -> Scheme:
    """Which scheme of the module's docstring the table allows."""
    if points["cell"].nunique() == len(points) >= MIN_RUNS:
        return "runs"
    cells_of_size = points.groupby("size")["cell"].nunique()
    return "cells" if cells_of_size.min() >= MIN_CELLS else "simulated"


def draw_laws(
    points: pd.DataFrame, observations: Observations, solution: Solution, noise: Noise, estimator: Estimator,
    draws: int, rng: np.random.Generator,
) -> Array:  # fmt: skip
    """Coordinates (draws, K) of the law refitted to each draw, started from the point estimate."""
    law, logs, log_loss_N = solution.fitted.law, observations.logs, observations.log_loss_N
    theta_PK = np.tile(solution.fitted.theta_K, (draws, 1))
    scheme = scheme_for(points)
    if scheme != "simulated":
        resample = resample_runs if scheme == "runs" else resample_cells
        return estimator.solve(law, logs, log_loss_N, theta_PK, resample(points, draws, rng))[0]
    fitted_N = law.log_loss(solution.fitted.theta_K[None], logs)[0]
    return estimator.solve(law, logs, fitted_N + simulate_noise(points, noise, draws, rng), theta_PK)[0]


def resample_runs(points: pd.DataFrame, draws: int, rng: np.random.Generator) -> Array:
    """How often each point occurs in each draw, (draws, N): rows drawn with replacement."""
    return rng.multinomial(len(points), np.full(len(points), 1 / len(points)), size=draws).astype(float)


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
