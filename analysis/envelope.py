"""Approach 1 of Hoffmann et al. (2022): the lower envelope of training curves over sizes, against compute.

At each of a grid of compute values the runs that span it are interpolated, the sizes compared, and the best one taken,
if it is neither the smallest nor the largest size there: next to nothing it might only be the best of what was tried.

What a point of a curve is decides what is estimated. The loss in the middle of a schedule is not what a run that had
ended there would have reached: its decay was still to come, and an envelope of such losses is another estimand than one
of finished runs, as is one that takes the luckiest of several seeds. Give the ends of cooldown branches, or of runs
whose schedules were matched to their ends; runs of one size are averaged here, never picked from.

Axes: R runs, S sizes, G compute values, P draws; the first of P is the estimate.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from analysis.frontier import MIN_OPTIMA, Frontier, Optima, fit_frontier
from analysis.laws import Array
from analysis.profiles import COLUMNS, Valley, log_columns, smoothness_noise

NUM_COMPUTE = 100  # grid values over the whole range of compute


@dataclass(frozen=True)
class Curve:
    """The runs of one size: ln(loss) and ln(tokens) at each compute value, NaN where a run does not reach it."""

    log_params: float
    log_loss_RG: Array
    log_tokens_RG: Array

    @property
    def num_runs_G(self) -> Array:
        """How many runs span each compute value."""
        return np.isfinite(self.log_loss_RG).sum(axis=0)

    def mean(self, values_RG: Array) -> Array:
        """Over the runs that span each compute value, (G,); NaN where there is none."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(values_RG), values_RG, 0.0).sum(axis=0) / self.num_runs_G

    def moved(self, effects_PR: Array) -> Array:
        """Mean ln(loss) when every run lies higher by its effect, (P, G)."""
        with np.errstate(invalid="ignore"):
            moves_PG = effects_PR @ np.isfinite(self.log_loss_RG).astype(float) / self.num_runs_G
        return self.mean(self.log_loss_RG) + moves_PG


@dataclass(frozen=True)
class Envelope:
    """Approach 1 on a table: its curves, the best size at each compute value, and the laws of those."""

    log_flops_G: Array
    curves: list[Curve]  # from the smallest size
    optima: Optima
    num_sizes: int  # that are best somewhere
    noise: float
    frontier: Frontier

    def to_dict(self) -> dict:
        """The `envelope` part of law.json's `approaches`: plain numbers, strings, lists and dicts."""
        found = {
            "flops": self.optima.log_flops_B,
            "params": self.optima.log_params_PB[0],
            "tokens": self.optima.log_tokens_PB[0],
            "loss": self.optima.log_loss_PB[0],
        }
        columns = zip(*(np.exp(values_B).tolist() for values_B in found.values()), strict=True)
        return {
            "approach": 1,
            **self.frontier.to_dict(),
            "noise": self.noise,
            "num_sizes": self.num_sizes,
            "optima": [dict(zip(found, row, strict=True)) for row in columns],
        }


def fit_envelope(points: pd.DataFrame, draws: int = 1000, seed: int = 0, noise: float | None = None) -> Envelope:
    """Approach 1 on rows along runs: cell (which run), params, tokens, flops and loss; a run needs two rows.

    `noise` is the standard deviation of ln(loss) between runs that differ by their seed, which moves a run as a whole;
    without it `smoothness_noise` estimates it. Intervals are of `draws` envelopes with other noise. Raises ValueError
    when fewer than three sizes win between a smaller and a larger one.
    """
    log_flops_G, curves = training_curves(points)
    if noise is None:
        noise = smoothness_noise(_valleys(curves))
    rng = np.random.default_rng(seed)
    log_loss_SPG = []
    for curve in curves:
        effects_PR = noise * rng.standard_normal((draws + 1, len(curve.log_loss_RG)))
        effects_PR[0] = 0.0
        log_loss_SPG.append(curve.moved(effects_PR))
    winner_PG, log_loss_PG = winners(np.stack(log_loss_SPG))
    used_G = winner_PG[0] >= 0
    sizes = np.unique(winner_PG[0, used_G])
    if len(sizes) < MIN_OPTIMA:
        raise ValueError(
            f"points: {len(sizes)} sizes are best between a smaller and a larger one, {MIN_OPTIMA} are needed; "
            "train more sizes, with enough tokens that their curves cross"
        )
    won_PB = winner_PG[:, used_G]
    log_tokens_SB = np.stack([curve.mean(curve.log_tokens_RG) for curve in curves])[:, used_G]
    optima = Optima(
        log_flops_G[used_G],
        np.where(won_PB >= 0, np.array([curve.log_params for curve in curves])[won_PB], np.nan),
        np.where(won_PB >= 0, log_tokens_SB[won_PB, np.arange(used_G.sum())], np.nan),
        np.where(won_PB >= 0, log_loss_PG[:, used_G], np.nan),
        np.ones(used_G.sum()),
    )
    return Envelope(log_flops_G, curves, optima, len(sizes), noise, fit_frontier(optima, seed))


def training_curves(points: pd.DataFrame) -> tuple[Array, list[Curve]]:
    """The grid of compute values, ln, and the curves of every size on it."""
    if "cell" not in points:
        raise ValueError("points: lacks the column cell; approach 1 needs to know which rows are of one run")
    logs = pd.DataFrame(log_columns(points, COLUMNS)).assign(cell=points["cell"].to_numpy())
    logs = logs[logs.groupby("cell")["cell"].transform("size") > 1].sort_values("flops", kind="stable")
    if logs.empty:
        raise ValueError("points: no cell has two rows, so there are no curves; give rows along each run")
    if logs.duplicated(["cell", "flops"]).any():
        raise ValueError("points: a cell has two rows at the same FLOPs; drop the duplicate")
    log_flops_G = np.linspace(logs["flops"].min(), logs["flops"].max(), NUM_COMPUTE)
    curves = []
    for log_params, of_size in logs.groupby("params"):
        runs = [run for _, run in of_size.groupby("cell")]
        log_loss_RG, log_tokens_RG = (
            np.stack([PchipInterpolator(run["flops"], run[name], extrapolate=False)(log_flops_G) for run in runs])
            for name in ("loss", "tokens")
        )
        curves.append(Curve(float(log_params), log_loss_RG, log_tokens_RG))  # type: ignore[arg-type]
    return log_flops_G, curves


def winners(log_loss_SPG: Array) -> tuple[NDArray[np.intp], Array]:
    """Which size has the least loss, -1 where it is the smallest or the largest one there, and that loss, (P, G)."""
    there_SPG = np.isfinite(log_loss_SPG)
    filled_SPG = np.where(there_SPG, log_loss_SPG, np.inf)
    winner_PG = filled_SPG.argmin(axis=0)
    smallest_PG = there_SPG.argmax(axis=0)
    largest_PG = len(there_SPG) - 1 - there_SPG[::-1].argmax(axis=0)
    inside_PG = (winner_PG > smallest_PG) & (winner_PG < largest_PG)
    return np.where(inside_PG, winner_PG, -1), filled_SPG.min(axis=0)


def _valleys(curves: list[Curve]) -> list[Valley]:
    """The losses over sizes at each compute value."""
    log_params_S = np.array([curve.log_params for curve in curves])
    log_loss_SG = np.stack([curve.mean(curve.log_loss_RG) for curve in curves])
    num_runs_SG = np.stack([curve.num_runs_G for curve in curves])
    return [
        Valley(log_params_S[there_S], log_loss_S[there_S], num_runs_S[there_S])
        for log_loss_S, num_runs_S in zip(log_loss_SG.T, num_runs_SG.T, strict=True)
        if (there_S := num_runs_S > 0).any()
    ]
