"""Budgets of equal compute: losses over sizes, where they are least, and how smooth they are.

The minimum of a budget is that of the Akima interpolant of ln L over ln N (Porian et al. 2024), or of the parabola
through the three sizes around the least loss where there are fewer than five. A budget whose least loss is at an end of
its sizes has no optimum.

Compute is what the runs used: a budget's is the mean of its sizes', and each size's loss is moved to it along the slope
of the least losses in compute, which at an optimum is the slope at a fixed size too. (Sizes 2% apart in compute would
otherwise move a minimum by 7%; so they move it by less than 1%.)

Axes: R rows of the table, S sizes of one budget, P draws, G points of an interpolant.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from analysis.laws import Array

TOLERANCE = 0.1  # runs of one budget lie within this of a common compute, relatively
SIZE_TOLERANCE = (
    0.03  # and runs of one size of a common size: an interpolant swings wildly between two that nearly agree
)
MIN_SIZES = 3
MIN_SIZES_AKIMA = 5
STEPS = 25  # between neighbouring sizes, where the least of an interpolant is looked for
WINDOW = 4  # neighbouring sizes whose losses should lie on a parabola
NORMAL_MEDIAN = 0.6745  # of the size of a standard normal number
COLUMNS = ("params", "tokens", "flops", "loss")


@dataclass(frozen=True)
class Valley:
    """Mean ln(loss) of the runs of each size at one compute, from the smallest size."""

    log_params_S: Array
    log_loss_S: Array
    num_runs_S: Array


@dataclass(frozen=True)
class Profile:
    """One budget: natural logarithms by size, from the smallest; runs of one size are averaged by `mean_SR`."""

    log_flops_S: Array
    log_params_S: Array
    log_tokens_S: Array
    log_loss_S: Array
    mean_SR: Array

    @property
    def log_flops(self) -> float:
        """Of the budget: the mean over its sizes."""
        return float(self.log_flops_S.mean())

    @property
    def valley(self) -> Valley:
        """What `smoothness_noise` looks at."""
        return Valley(self.log_params_S, self.log_loss_S, 1 / (self.mean_SR**2).sum(axis=1))

    @property
    def method(self) -> Literal["akima", "quadratic"]:
        """How its minimum is found."""
        return "akima" if len(self.log_params_S) >= MIN_SIZES_AKIMA else "quadratic"

    @property
    def reason(self) -> str | None:
        """Why it has no optimum, or None."""
        if len(self.log_params_S) < MIN_SIZES:
            return f"{len(self.log_params_S)} sizes, at least {MIN_SIZES} are needed"
        least = int(self.log_loss_S.argmin())
        if least in (0, len(self.log_params_S) - 1):
            return f"the least loss is at its {'largest' if least else 'smallest'} size"
        return None

    def curve(self, log_loss_SP: Array) -> tuple[Array, Array]:
        """ln N and ln L of the interpolants through the losses, (G,) and (G, P)."""
        if self.method == "quadratic":
            return self.log_params_S, log_loss_SP
        place_S, num_sizes = np.arange(len(self.log_params_S)), len(self.log_params_S)
        log_params_G = np.interp(np.linspace(0, num_sizes - 1, (num_sizes - 1) * STEPS + 1), place_S, self.log_params_S)
        return log_params_G, Akima1DInterpolator(self.log_params_S, log_loss_SP)(log_params_G)

    def minima(self, log_loss_SP: Array) -> tuple[Array, Array, Array]:
        """ln N, ln D and ln L at the minima, (P,) each; NaN where the least loss is at an end."""
        x_G, y_GP = self.curve(log_loss_SP)
        least_P, columns = y_GP.argmin(axis=0), np.arange(y_GP.shape[1])
        inside_P = (least_P > 0) & (least_P < len(x_G) - 1)
        middle_P = np.clip(least_P, 1, len(x_G) - 2)
        x_3P = x_G[middle_P + np.array([[-1], [0], [1]])]
        y_3P = y_GP[middle_P + np.array([[-1], [0], [1]]), columns]
        log_params_P, log_loss_P = vertex(x_3P, y_3P)
        log_tokens_P = np.interp(log_params_P, self.log_params_S, self.log_tokens_S)
        edge_P = np.where(inside_P, 0.0, np.nan)
        return log_params_P + edge_P, log_tokens_P + edge_P, log_loss_P + edge_P


def vertex(x_3P: Array, y_3P: Array) -> tuple[Array, Array]:
    """The lowest points of the parabolas through three points whose middle one is the lowest."""
    left_P, right_P = ((y_3P[k] - y_3P[1]) / (x_3P[k] - x_3P[1]) for k in (0, 2))  # slopes of the two chords
    bend_P = (right_P - left_P) / (x_3P[2] - x_3P[0])
    slope_P = left_P + bend_P * (x_3P[1] - x_3P[0])  # in the middle
    step_P = np.divide(-slope_P, 2 * bend_P, out=np.zeros_like(bend_P), where=bend_P > 0)
    return x_3P[1] + step_P, y_3P[1] - bend_P * step_P**2


def budget_profiles(points: pd.DataFrame) -> list[Profile]:
    """Budgets from the least to the most compute; rows belong together by their `budget`, or else by their FLOPs.

    Raises ValueError for a missing column, a number that is not above zero, or named budgets that are too wide or
    overlap.
    """
    logs = log_columns(points, COLUMNS)
    profiles = [_profile(logs, rows) for rows in _budgets(points, logs["flops"])]
    found = [profile for profile in profiles if profile.reason is None]
    if len(found) < 2:
        return profiles
    log_flops_B = np.array([profile.log_flops for profile in found])
    center = float(log_flops_B.mean())
    least_B = [profile.log_loss_S.min() for profile in found]
    slope = np.polyder(np.polyfit(log_flops_B - center, least_B, min(2, len(found) - 1)))
    return [_moved(profile, float(np.polyval(slope, profile.log_flops - center))) for profile in profiles]


def smoothness_noise(valleys: list[Valley]) -> float:
    """Standard deviation of one run's ln(loss) around smooth valleys.

    From every window of four neighbouring sizes that holds the least loss of its valley: the combination of their
    losses that vanishes on a parabola, in units of one run (pseudo-residuals, Gasser et al. 1986). Their typical size
    is a median, for some windows reach up a slope that is no parabola. Raises ValueError where there is no window.
    """
    contrasts = []
    for valley in valleys:
        least, num_sizes = int(valley.log_loss_S.argmin()), len(valley.log_loss_S)
        for first in range(max(0, least - WINDOW + 1), min(num_sizes - WINDOW, least) + 1):
            sizes = slice(first, first + WINDOW)
            x_S = valley.log_params_S[sizes] - valley.log_params_S[least]
            contrast_S = np.linalg.svd(np.vander(x_S, 3).T)[2][-1]  # orthogonal to every parabola
            scale = np.sqrt((contrast_S**2 / valley.num_runs_S[sizes]).sum())
            contrasts.append(contrast_S @ valley.log_loss_S[sizes] / scale)
    if not contrasts:
        raise ValueError("points: nowhere do four sizes share a compute, so the noise is unknown; train more sizes")
    return float(np.median(np.abs(contrasts))) / NORMAL_MEDIAN


def log_columns(points: pd.DataFrame, columns: tuple[str, ...]) -> dict[str, Array]:
    """Natural logarithms by column, or ValueError."""
    logs = {}
    for name in columns:
        if name not in points:
            raise ValueError(f"points: lacks the column {name}; give {', '.join(columns)}")
        values = pd.to_numeric(points[name], errors="coerce").to_numpy(dtype=float)
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"points: {name} holds a value that is not finite and above zero; drop that row")
        logs[name] = np.log(values)
    return logs


def _budgets(points: pd.DataFrame, log_flops_R: Array) -> list[NDArray[np.intp]]:
    """The rows of each budget, ordered by compute."""
    if "budget" not in points:
        return _clusters(log_flops_R, TOLERANCE)
    if points["budget"].isna().any():
        raise ValueError("points: budget is missing in some rows; fill it in or drop the column")
    order = np.argsort(log_flops_R, kind="stable")
    names = points["budget"].to_numpy()[order]
    named = {name: order[names == name] for name in dict.fromkeys(names)}
    last_name, last = None, -np.inf
    for name, rows in named.items():
        low, high = log_flops_R[rows[0]], log_flops_R[rows[-1]]
        if high - low > _width(TOLERANCE):
            raise ValueError(
                f"points: budget {name} runs from {np.exp(low):.3g} to {np.exp(high):.3g} FLOPs; keep its rows within "
                f"{TOLERANCE:.0%} of one compute"
            )
        if low <= last:
            raise ValueError(f"points: budgets {last_name} and {name} overlap in FLOPs; give them one name")
        last_name, last = name, high
    return list(named.values())


def _clusters(log_values_R: Array, tolerance: float) -> list[NDArray[np.intp]]:
    """Rows that belong together, in the order of their values, from the least value up."""
    order = np.argsort(log_values_R, kind="stable")
    clusters, first = [], 0
    for place in range(1, len(order) + 1):
        if place == len(order) or log_values_R[order[place]] - log_values_R[order[first]] > _width(tolerance):
            clusters.append(order[first:place])
            first = place
    return clusters


def _width(tolerance: float) -> float:
    """How far apart, in ln, two values may lie that are both within the tolerance of one between them."""
    return 2 * float(np.log1p(tolerance)) + 1e-9


def _profile(logs: dict[str, Array], rows: NDArray[np.intp]) -> Profile:
    sizes = _clusters(logs["params"][rows], SIZE_TOLERANCE)
    mean_SR = np.zeros((len(sizes), len(logs["params"])))
    for size, members in enumerate(sizes):
        mean_SR[size, rows[members]] = 1 / len(members)
    flops_S, params_S, tokens_S, loss_S = (mean_SR @ logs[name] for name in ("flops", "params", "tokens", "loss"))
    return Profile(flops_S, params_S, tokens_S, loss_S, mean_SR)


def _moved(profile: Profile, slope: float) -> Profile:
    """Every size at the budget's compute, which at a fixed size changes the tokens by the same factor."""
    by_S = profile.log_flops - profile.log_flops_S
    return replace(
        profile,
        log_flops_S=profile.log_flops_S + by_S,
        log_tokens_S=profile.log_tokens_S + by_S,
        log_loss_S=profile.log_loss_S + slope * by_S,
    )
