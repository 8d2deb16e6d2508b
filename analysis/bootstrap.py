"""How far the law would move with other runs: refitted draws, by the estimator of the point fit.

All branches of a cell share a trunk, so their errors move together and a bootstrap of single runs would be far too
sure of itself. Three schemes:

- `runs`: rows drawn with replacement, where every row is its own cell and there are many of them.
- `cells`: whole cells drawn with replacement inside each size, so that no size ever vanishes. It asks nothing of the
  noise, but a few cells show little of its range, so it is used from MIN_CELLS cells a size on.
- `simulated` otherwise (one or two seeds a size, the common case): new losses around the fitted law with a random
  effect for the cell and a residual for the branch, of a size that each draw draws first (noise.py).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.fit import Estimator, Observations, Solution
from analysis.laws import Array
from analysis.noise import NoiseDraws

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
    points: pd.DataFrame, observations: Observations, solution: Solution, noise: NoiseDraws, estimator: Estimator,
    rng: np.random.Generator,
) -> Array:  # fmt: skip
    """Coordinates (P, K) of the law refitted to each draw, started from the point estimate."""
    law, logs = solution.fitted.law, observations.logs
    fitted_N = law.log_loss(solution.fitted.theta_K[None], logs)[0]
    drawn = draw_data(points, observations.log_loss_N, fitted_N, noise, rng)
    theta_PK = np.tile(solution.fitted.theta_K, (len(drawn.log_loss_PN), 1))
    return estimator.solve(law, logs, drawn.log_loss_PN, theta_PK, drawn.weights_PN)[0]


@dataclass(frozen=True)
class Drawn:
    """What a law is refitted to, (P, N) each: observed ln L, and how often each point counts."""

    log_loss_PN: Array
    weights_PN: Array


def draw_data(
    points: pd.DataFrame, log_loss_N: Array, fitted_N: Array, noise: NoiseDraws, rng: np.random.Generator
) -> Drawn:
    """A draw for every entry of `noise`, by the scheme that the table allows; `fitted_N` is the law's ln L."""
    scheme, shape = scheme_for(points), (len(noise.cell_P), len(points))
    if scheme == "simulated":
        return Drawn(fitted_N + simulate_noise(points, noise, rng), np.ones(shape))
    resample = resample_runs if scheme == "runs" else resample_cells
    return Drawn(np.broadcast_to(log_loss_N, shape), resample(points, len(noise.cell_P), rng))


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
        num = len(members)
        # One fewer than there are, each counting for more: n of n would understate a variance by (n - 1) / n (Rao, Wu
        # and Yue 1992).
        counts[:, members] = num / (num - 1) * rng.multinomial(num - 1, np.full(num, 1 / num), size=draws)
    return counts[:, cell_of_point]


def simulate_noise(points: pd.DataFrame, noise: NoiseDraws, rng: np.random.Generator) -> Array:
    """Normal noise on ln(loss), (P, N): one effect a cell, shared by its branches, and one residual a branch."""
    cell_of_point, cells = pd.factorize(points["cell"])
    effect_PC = noise.cell_P[:, None] * rng.standard_normal((len(noise.cell_P), len(cells)))
    residual_PN = noise.residual_P[:, None] * rng.standard_normal((len(noise.cell_P), len(points)))
    return noise.scale(points["params"], points["tokens"]) * (effect_PC[:, cell_of_point] + residual_PN)
