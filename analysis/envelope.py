"""Approach 1 of Hoffmann et al. (2022): the lower envelope of training curves over sizes, against compute.

At each of a grid of compute values the runs that span it are interpolated, the sizes compared, and the best one taken,
if it is neither the smallest nor the largest size there: next to nothing it might only be the best of what was tried.
A size that wins is best over a stretch of compute, and the lines of N and D go through the middles of the stretches:
through all the points of such a staircase of S steps the slope would be too small by one part in S^2.

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

from analysis.frontier import MIN_OPTIMA, Frontier, around_estimate, enough, fit_line, fit_losses
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
class Wins:
    """Where each size is the best one: its share of the compute values, and mean ln C and ln D there, (P, S)."""

    share_PS: Array
    log_flops_PS: Array
    log_tokens_PS: Array


@dataclass(frozen=True)
class Envelope:
    """Approach 1 on a table: the curves of its sizes from the smallest, where each is the best, the laws of those."""

    log_flops_G: Array
    curves: list[Curve]
    wins: Wins
    noise: float
    frontier: Frontier

    def to_dict(self) -> dict:
        """The `envelope` part of law.json's `approaches`: plain numbers, strings, lists and dicts."""
        share_S, log_flops_S, log_tokens_S = (
            values_PS[0] for values_PS in (self.wins.share_PS, self.wins.log_flops_PS, self.wins.log_tokens_PS)
        )
        return {
            "approach": 1,
            **self.frontier.to_dict(),
            "noise": self.noise,
            "optima": [
                {
                    "flops": float(np.exp(log_flops_S[size])),
                    "params": float(np.exp(self.curves[size].log_params)),
                    "tokens": float(np.exp(log_tokens_S[size])),
                    "share": float(share_S[size]),
                }
                for size in np.flatnonzero(share_S)
            ],
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
    wins = wins_of(winner_PG, log_flops_G, curves)
    num_winners = int((wins.share_PS[0] > 0).sum())
    if num_winners < MIN_OPTIMA:
        raise ValueError(
            f"points: {num_winners} sizes are best between a smaller and a larger one, {MIN_OPTIMA} are needed; "
            "train more sizes, with enough tokens that their curves cross"
        )
    return Envelope(
        log_flops_G, curves, wins, noise, _frontier(wins, winner_PG, log_flops_G, log_loss_PG, curves, seed)
    )


def wins_of(winner_PG: NDArray[np.intp], log_flops_G: Array, curves: list[Curve]) -> Wins:
    """Where each size wins; NaN where it does not."""
    share_PS, log_flops_PS, log_tokens_PS = (np.zeros((len(winner_PG), len(curves))) for _ in range(3))
    for size, curve in enumerate(curves):
        won_PG = winner_PG == size
        share_PS[:, size] = won_PG.mean(axis=1)
        with np.errstate(invalid="ignore"):
            log_flops_PS[:, size] = won_PG @ log_flops_G / won_PG.sum(axis=1)
            log_tokens_PS[:, size] = won_PG @ np.nan_to_num(curve.mean(curve.log_tokens_RG)) / won_PG.sum(axis=1)
    return Wins(share_PS, log_flops_PS, log_tokens_PS)


def _frontier(
    wins: Wins, winner_PG: NDArray[np.intp], log_flops_G: Array, log_loss_PG: Array, curves: list[Curve], seed: int
) -> Frontier:
    """Lines through the middles of the winning sizes, each worth its share; the loss at every compute value."""
    kept_P, used_G = enough(wins.share_PS > 0), winner_PG[0] >= 0
    share_PS, log_flops_PS = wins.share_PS[kept_P], wins.log_flops_PS[kept_P]
    log_params_PS = np.broadcast_to([curve.log_params for curve in curves], share_PS.shape)
    log_loss_PB = np.where(winner_PG >= 0, log_loss_PG, np.nan)[kept_P][:, used_G]
    return Frontier(
        log_flops_G[used_G],
        fit_line(log_flops_PS, log_params_PS, share_PS),
        fit_line(log_flops_PS, wins.log_tokens_PS[kept_P], share_PS),
        fit_losses(log_flops_G[used_G], around_estimate(log_loss_PB), seed),
    )


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
    for _, of_size in logs.groupby("params"):
        runs = [run for _, run in of_size.groupby("cell")]
        log_loss_RG, log_tokens_RG = (
            np.stack([PchipInterpolator(run["flops"], run[name], extrapolate=False)(log_flops_G) for run in runs])
            for name in ("loss", "tokens")
        )
        curves.append(Curve(float(of_size["params"].iloc[0]), log_loss_RG, log_tokens_RG))
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
