"""Layouts of sweeps whose law and noise are known, for simulated coverage."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import qmc

from analysis.laws import FLOPS_PER_PARAM_TOKEN, HOFFMANN, Array, Fitted
from models.ladder import Shape

SD_RANGE = 4.0  # of noise that falls with compute: its standard deviation at the least compute over that at the most
# Besiroglu et al. (2024), rounded; and a law like that of the laptop grid.
CHINCHILLA = {"A": 482.0, "B": 2085.0, "E": 1.82, "alpha": 0.348, "beta": 0.366}
LAPTOP = {"A": 53.0, "B": 2841.0, "E": 1.0, "alpha": 0.446, "beta": 0.618}
# Widths, tokens: the grid of the laptop preset when it was written down here; params.yaml may change, tables stay.
LAPTOP_GRID = (
    ((32, 48), (1_048_576, 2_097_152, 4_194_304)),
    ((64,), (1_048_576, 2_097_152, 2_883_584)),
    ((80, 96), (1_048_576, 2_097_152)),
)
NUM_SEEDS = 2


@dataclass(frozen=True)
class Design:
    """Runs without losses (size, cell, params, tokens, flops) and the law behind their losses."""

    name: str
    points: pd.DataFrame
    truth: Fitted

    @property
    def independent(self) -> bool:
        """Whether every run is a cell of its own."""
        return self.points["cell"].nunique() == len(self.points)


@dataclass(frozen=True)
class TrueNoise:
    """Standard deviations of ln(loss): of a cell's effect, shared by its branches, and of a branch.

    `falling`: both fall SD_RANGE-fold with compute over the design, log-linear, with the mean square unchanged; beyond
    the design they stay as they are at its end.
    """

    cell: float
    branch: float
    falling: bool

    def scale_N(self, flops_N: Array) -> Array:
        """What multiplies the standard deviations at each point of the design."""
        if not self.falling:
            return np.ones(len(flops_N))
        log_flops_N = np.log(flops_N)
        place_N = (log_flops_N - log_flops_N.min()) / np.ptp(log_flops_N)
        scale_N = SD_RANGE**-place_N
        return scale_N / np.sqrt(np.mean(scale_N**2))

    def draw(self, design: Design, sweeps: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Noise of every run of `sweeps` sweeps, (S, N), and of one further run at the most compute, (S,)."""
        cell_of_point, cells = pd.factorize(design.points["cell"])
        scale_N = self.scale_N(design.points["flops"].to_numpy())
        effect_SC = self.cell * rng.standard_normal((sweeps, len(cells)))
        noise_SN = effect_SC[:, cell_of_point] + self.branch * rng.standard_normal((sweeps, len(cell_of_point)))
        run_sd = np.hypot(self.cell, self.branch) * scale_N[design.points["flops"].argmax()]
        return scale_N * noise_SN, run_sd * rng.standard_normal(sweeps)


def designs() -> tuple[Design, ...]:
    """The three layouts: like Chinchilla's, our own laptop grid, a rectangle with one seed."""
    return independent_runs(), laptop_grid(), rectangle()


def independent_runs(count: int = 240) -> Design:
    """Independent runs over the ranges of the Chinchilla points: sizes and budgets even in their logarithms."""
    unit_PS = qmc.Halton(2, scramble=False).random(4 * count + 1)[1:]  # the first lies in the corner
    params, flops = np.exp(np.log([5e7, 6e18]) + unit_PS * np.log([1.6e10 / 5e7, 3e21 / 6e18])).T
    tokens = flops / (FLOPS_PER_PARAM_TOKEN * params)
    kept = np.flatnonzero((tokens >= 2e8) & (tokens <= 3e11))[:count]
    assert len(kept) == count
    runs = [(params[row], f"run-{row}", params[row], tokens[row]) for row in kept]
    return Design("independent runs", _table(runs), Fitted.of(HOFFMANN, CHINCHILLA))


def laptop_grid() -> Design:
    """The grid of the default preset: branches of a cell share its trunk."""
    runs = [
        (width, f"w{width:04d}-s{seed}", Shape(width).params_non_embedding, tokens)
        for widths, token_counts in LAPTOP_GRID
        for width in widths
        for seed in range(NUM_SEEDS)
        for tokens in token_counts
    ]
    return Design("laptop grid", _table(runs), Fitted.of(HOFFMANN, LAPTOP))


def rectangle() -> Design:
    """Six sizes by five token counts, one trunk a size."""
    sizes, token_counts = np.geomspace(3e4, 3e6, 6), np.geomspace(2e6, 2e8, 5)
    runs = [(size, f"size-{index}", size, tokens) for index, size in enumerate(sizes) for tokens in token_counts]
    return Design("rectangle", _table(runs), Fitted.of(HOFFMANN, LAPTOP))


def _table(runs: Sequence[tuple[float, str, float, float]]) -> pd.DataFrame:
    points = pd.DataFrame(runs, columns=["size", "cell", "params", "tokens"])
    return points.assign(flops=FLOPS_PER_PARAM_TOKEN * points["params"] * points["tokens"])
