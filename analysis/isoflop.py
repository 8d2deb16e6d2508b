"""Approach 2 of Hoffmann et al. (2022): the size of least loss on each compute budget, against compute.

What a budget is and where its loss is least: profiles.py. How well that is known is measured by adding noise to its
losses; the lines through the optima weigh them by it, as Porian et al. (2024) do. Intervals are of lines refitted to
draws of that noise, enlarged where the optima lie farther from the lines than it explains. Budgets are not drawn with
replacement as well: the optima carry the noise already, and both together give intervals nearly twice too wide.

Valleys are parabolas in ln N only near their bottom, and lopsided where alpha and beta differ: a grid of sizes that is
not centred on the optimum biases it, and the exponents with it if the misplacement changes with compute.

Axes: R rows of the table, B budgets, P draws; the first of P is the estimate.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.frontier import LOSS, MIN_OPTIMA, Frontier, around_estimate, enough, fit_line, fit_losses, interval
from analysis.laws import Array
from analysis.profiles import Profile, budget_profiles, smoothness_noise

# The least standard deviation of ln N_opt, in steps of the grid of sizes, which no interpolant looks below: the factor
# is that of Porian et al. (2024).
LEAST_STD = 0.33
NUM_NAMED = 3  # budgets that a refusal names
MIN_FOUND = 0.5  # the share of draws in which a budget that counts has an optimum


@dataclass(frozen=True)
class Optima:
    """Natural logarithms of the runs of least loss; a minimum that a draw does not find is NaN.

    `weights_B` is what each is worth to the lines of N and D; to the loss, which is known far better, all are alike.
    """

    log_flops_B: Array
    log_params_PB: Array
    log_tokens_PB: Array
    log_loss_PB: Array
    weights_B: Array


@dataclass(frozen=True)
class IsoFlop:
    """Approach 2 on a table: every profile, which have an optimum, and the laws of those."""

    profiles: list[Profile]
    reasons: list[str | None]  # for each profile: why it is left out
    optima: Optima
    noise: float
    misfit: dict[str, float]
    frontier: Frontier

    def to_dict(self) -> dict:
        """The `isoflop` part of law.json's `approaches`: plain numbers, strings, lists and dicts."""
        used = [profile for profile, reason in zip(self.profiles, self.reasons, strict=True) if reason is None]
        return {
            "approach": 2,
            **self.frontier.to_dict(),
            "noise": self.noise,
            "misfit": self.misfit,
            "optima": [self._optimum(budget, profile) for budget, profile in enumerate(used)],
            "left_out": [
                {"flops": float(np.exp(profile.log_flops)), "reason": reason}
                for profile, reason in zip(self.profiles, self.reasons, strict=True)
                if reason is not None
            ],
        }

    def _optimum(self, budget: int, profile: Profile) -> dict:
        found = {
            name: np.exp(values_PB[:, budget])
            for name, values_PB in (
                ("params", self.optima.log_params_PB),
                ("tokens", self.optima.log_tokens_PB),
                ("loss", self.optima.log_loss_PB),
            )
        }
        return {
            "flops": float(np.exp(profile.log_flops)),
            **{name: float(draws_P[0]) for name, draws_P in found.items()},
            **{f"{name}_ci95": interval(draws_P[np.isfinite(draws_P)][1:]) for name, draws_P in found.items()},
            "params_log_std": float(self.optima.weights_B[budget] ** -0.5),
            "num_sizes": len(profile.log_params_S),
            "method": profile.method,
        }


def fit_isoflop(points: pd.DataFrame, draws: int = 1000, seed: int = 0, noise: float | None = None) -> IsoFlop:
    """Approach 2 on rows with params, tokens, flops and loss; `budget`, where it is a column, names their budgets.

    `noise` is the standard deviation of ln(loss) between runs that differ by their seed; without it
    `smoothness_noise` estimates it. Raises ValueError when fewer than three budgets have an optimum.
    """
    profiles = budget_profiles(points)
    reasons = [profile.reason for profile in profiles]
    refuse_few(profiles, reasons)
    if noise is None:
        noise = smoothness_noise([p.valley for p, reason in zip(profiles, reasons, strict=True) if reason is None])
    rng = np.random.default_rng(seed)
    noise_PR = np.vstack([np.zeros(len(points)), noise * run_noise(points, draws, rng)])
    minima = {}
    for budget, profile in enumerate(profiles):
        if reasons[budget] is None:
            found = profile.minima(profile.log_loss_S[:, None] + profile.mean_SR @ noise_PR.T)
            share = float(np.isfinite(found[0][1:]).mean())
            if share < MIN_FOUND:
                reasons[budget] = (
                    f"within its noise the least loss is at an end of its sizes ({1 - share:.0%} of draws)"
                )
            else:
                minima[budget] = found
    refuse_few(profiles, reasons)
    optima = optima_of([profiles[budget] for budget in minima], list(minima.values()))
    misfit = misfit_factors(optima, frontier_of(optima, seed))
    optima = spread(optima, misfit)
    return IsoFlop(profiles, reasons, optima, noise, misfit, frontier_of(optima, seed))


def optima_of(profiles: list[Profile], minima: list[tuple[Array, Array, Array]]) -> Optima:
    """The minima as optima, with their weights."""
    log_params_PB, log_tokens_PB, log_loss_PB = (np.column_stack([found[k] for found in minima]) for k in range(3))
    log_flops_B = np.array([profile.log_flops for profile in profiles])
    step_B = np.array([np.diff(profile.log_params_S).mean() for profile in profiles])
    found_B = np.isfinite(log_params_PB[1:]).mean(axis=0)
    std_B = np.maximum(np.nanstd(log_params_PB[1:], axis=0), LEAST_STD * step_B) / found_B
    return Optima(log_flops_B, log_params_PB, log_tokens_PB, log_loss_PB, std_B**-2)


def frontier_of(optima: Optima, seed: int) -> Frontier:
    """The lines through the optima, by the same estimator for every draw."""
    kept_P = enough(np.isfinite(optima.log_params_PB))
    log_flops_PB, params_PB, tokens_PB = np.broadcast_arrays(
        optima.log_flops_B, optima.log_params_PB[kept_P], optima.log_tokens_PB[kept_P]
    )
    weights_PB = np.isfinite(params_PB) * optima.weights_B
    return Frontier(
        optima.log_flops_B,
        fit_line(log_flops_PB, params_PB, weights_PB),
        fit_line(log_flops_PB, tokens_PB, weights_PB),
        fit_losses(optima.log_flops_B, optima.log_loss_PB[kept_P], seed),
    )


def misfit_factors(optima: Optima, frontier: Frontier) -> dict[str, float]:
    """How many times farther from the three lines the optima lie than their noise explains, at least one.

    The root of the mean square of the residuals over that of the noise: pooled, for a budget whose grid happens to pin
    its minimum would otherwise claim too much.
    """
    log_flops_B = optima.log_flops_B
    lines = [
        ("params", optima.log_params_PB, frontier.params.at(log_flops_B)[0], 2),
        ("tokens", optima.log_tokens_PB, frontier.tokens.at(log_flops_B)[0], 2),
    ]
    if frontier.theta_PK is not None:
        fitted_B = np.log(frontier.loss(np.exp(log_flops_B)).value_B)
        lines.append(("loss", optima.log_loss_PB, fitted_B, len(LOSS.names)))
    factors = {}
    for name, values_PB, fitted_B, num_free in lines:
        residual = float(((values_PB[0] - fitted_B) ** 2).sum()) / max(1, len(log_flops_B) - num_free)
        noise = float(np.nanvar(values_PB[1:], axis=0).mean())
        factors[name] = max(1.0, float(np.sqrt(residual / max(noise, 1e-24))))
    return factors


def spread(optima: Optima, misfit: dict[str, float]) -> Optima:
    """Draws around the estimate, as much farther from it as `misfit_factors` says."""
    return replace(
        optima,
        log_params_PB=around_estimate(optima.log_params_PB, misfit["params"]),
        log_tokens_PB=around_estimate(optima.log_tokens_PB, misfit["tokens"]),
        log_loss_PB=around_estimate(optima.log_loss_PB, misfit.get("loss", 1.0)),
    )


def run_noise(points: pd.DataFrame, draws: int, rng: np.random.Generator) -> Array:
    """Standard normal noise (draws, R), half of whose variance the rows of one `cell`, which share a trunk, share.

    Half is the least share of the cell that `noise_of` allows too.
    """
    noise_PR = rng.standard_normal((draws, len(points)))
    if "cell" not in points:
        return noise_PR
    cell_of_row, cells = pd.factorize(points["cell"])
    return np.sqrt(0.5) * (noise_PR + rng.standard_normal((draws, len(cells)))[:, cell_of_row])


def refuse_few(profiles: list[Profile], reasons: list[str | None]) -> None:
    """Raise ValueError where fewer than MIN_OPTIMA budgets have an optimum, naming some of the others."""
    num_found = reasons.count(None)
    if num_found >= MIN_OPTIMA:
        return
    left_out = [
        f"{np.exp(profile.log_flops):.3g} FLOPs: {reason}"
        for profile, reason in zip(profiles, reasons, strict=True)
        if reason is not None
    ]
    more = [f"{len(left_out) - NUM_NAMED} more"] * (len(left_out) > NUM_NAMED)
    named = "; ".join(left_out[:NUM_NAMED] + more) or "there are no others"
    raise ValueError(
        f"points: {num_found} budgets have their least loss between their sizes ({named}) and "
        f"{MIN_OPTIMA} are needed; add sizes on both sides of the optimum, or budgets"
    )
