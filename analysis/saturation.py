"""When does a model of a given size stop improving? D_sat(N, eps), and which kind of curve the runs speak for.

For every size the loss against tokens is fitted by three forms: a power law that never ends, a power law with a floor,
and a power law that stops (laws `power`, `fixed-n`, `stops`). D_sat(N, eps) is the number of tokens at which the
elasticity -d ln L / d ln D falls below eps: doubling the data then lowers the loss by less than 0.7 eps.

Branches of a cell share a trunk, so the forms are compared by generalised least squares with a cell effect: evidence is
the Akaike weight with the small-sample correction (Burnham and Anderson 2002), and every interval comes from new losses
around the best form, each draw choosing its own form again, so that the choice's uncertainty is inside.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.optimize import root_scalar

from analysis.bootstrap import simulate_noise
from analysis.fit import Estimator, Observations, fit
from analysis.laws import LAWS, Array, Fitted, Law
from analysis.noise import Noise, noise_of

FORMS = ("power", "fixed-n", "stops")
DECISIVE = 0.95
STILL_FALLING = 0.5  # share of the elasticity that is left where a curve counts as unended
EPSILONS = (0.05, 0.03, 0.02, 0.01)
# A D_sat further out than this many times the longest run is called unreached, not extrapolated.
FURTHEST = 100.0
LEAST_SQUARES = Estimator("least-squares")
Verdict = Literal["power", "fixed-n", "stops", "undetermined"]


@dataclass(frozen=True)
class Forms:
    """The three forms fitted to one size's runs, and the weight of each."""

    fitted: dict[str, Fitted]
    weights: dict[str, float]

    @property
    def best(self) -> str:
        """The form with the greatest weight."""
        return max(self.weights, key=lambda name: self.weights[name])


def saturation_of(points: pd.DataFrame, draws: int, starts: int, seed: int) -> dict[str, Any]:
    """One entry of `sizes` in saturation.json: the runs of one size, on fresh or on repeated data.

    Columns as in points.py. Raises ValueError where there are too few token counts to tell three forms apart.
    """
    forms, noise = fit_forms(points, starts, seed)
    longest = float(points["tokens"].max())
    chosen = forms.fitted[forms.best]
    redrawn = redraw(points, forms, noise, draws, np.random.default_rng(seed))
    again = [one.fitted[one.best] for one in redrawn]
    entries = []
    for eps in EPSILONS:
        tokens = saturation_tokens(chosen, eps, longest)
        drawn = np.array([np.inf if t is None else t for t in (saturation_tokens(f, eps, longest) for f in again)])
        low, high = np.quantile(drawn, (0.025, 0.975), method="closest_observation")
        entries.append(
            {
                "eps": eps,
                "tokens": tokens,
                "ci95": [None if np.isinf(low) else float(low), None if np.isinf(high) else float(high)],
                "reached": tokens is not None and tokens <= longest,
                "reached_share": float((drawn <= longest).mean()),
            }
        )
    return {
        "params": float(points["params"].iloc[0]),
        "longest_tokens": longest,
        "d_sat": entries,
        "models": forms.weights,
        "verdict": verdict(forms, redrawn, float(points["tokens"].min()), longest),
        "verdict_share": float(np.mean([fitted.law.name == forms.best for fitted in again])),
        "fitted": {name: fitted.params for name, fitted in forms.fitted.items()},
        "noise": {"cell": noise.cell, "residual": noise.residual, "degrees": noise.degrees},
    }


def fit_forms(points: pd.DataFrame, starts: int, seed: int) -> tuple[Forms, Noise]:
    """The three forms by least squares, and the noise around the one with the least squares."""
    least = max(len(LAWS[name].coordinates) for name in FORMS) + 2
    if points["tokens"].nunique() < least:
        have = points["tokens"].nunique()
        raise ValueError(f"points: {have} token counts cannot tell three forms of curve apart; train {least} or more")
    solutions = {
        name: fit(Observations.of(points, LAWS[name]), LAWS[name], LEAST_SQUARES, starts, seed) for name in FORMS
    }
    closest = min(FORMS, key=lambda name: solutions[name].objective)
    noise = _noise(points, solutions[closest].fitted)
    fitted = {name: solution.fitted for name, solution in solutions.items()}
    return Forms(fitted, akaike_weights(points, fitted, noise)), noise


def akaike_weights(points: pd.DataFrame, fitted: dict[str, Fitted], noise: Noise) -> dict[str, float]:
    """exp(-AICc / 2), normalised: chi-squared under the noise's covariance plus twice the parameters, corrected."""
    cell_of_point, names = pd.factorize(points["cell"])
    member_NC = np.eye(len(names))[cell_of_point]
    covariance_NN = noise.cell**2 * member_NC @ member_NC.T + noise.residual**2 * np.eye(len(points))
    if len(names) == len(points):
        covariance_NN = noise.cell**2 * np.eye(len(points))
    scores = {}
    for name, law in fitted.items():
        residual_N = _residual(points, law)
        num = len(law.theta_K)
        correction = 2 * num * (num + 1) / max(1, len(points) - num - 1)
        scores[name] = residual_N @ np.linalg.solve(covariance_NN, residual_N) + 2 * num + correction
    least = min(scores.values())
    mass = {name: float(np.exp(-0.5 * (score - least))) for name, score in scores.items()}
    return {name: value / sum(mass.values()) for name, value in mass.items()}


def redraw(points: pd.DataFrame, forms: Forms, noise: Noise, draws: int, rng: np.random.Generator) -> list[Forms]:
    """What other seeds might have given: new losses around the best form, all forms refitted and weighed."""
    chosen = forms.fitted[forms.best]
    logs = Observations.of(points, chosen.law).logs
    noise_PN = simulate_noise(points, noise.draw(draws, rng), rng)
    log_loss_PN = chosen.law.log_loss(chosen.theta_K[None], logs)[0] + noise_PN
    refitted: dict[str, Array] = {}
    for name, fitted in forms.fitted.items():
        start_PK = np.tile(fitted.theta_K, (draws, 1))
        refitted[name] = LEAST_SQUARES.solve(fitted.law, logs, log_loss_PN, start_PK)[0]
    found = []
    for draw in range(draws):
        table = points.assign(loss=np.exp(log_loss_PN[draw]))
        candidates = {name: Fitted(LAWS[name], theta_PK[draw]) for name, theta_PK in refitted.items()}
        found.append(Forms(candidates, akaike_weights(table, candidates, noise)))
    return found


def verdict(forms: Forms, redrawn: list[Forms], shortest: float, longest: float) -> Verdict:
    """Which curve the runs speak for, or undetermined.

    A floor or a stop needs a decisive weight. A power law is inside both, so that no weight can be decisive for it: it
    needs the greatest weight, and a floor that other seeds might have shown must have left, at the longest run, most of
    the elasticity that there was at the shortest.
    """
    if forms.best != "power":
        return forms.best if forms.weights[forms.best] >= DECISIVE else "undetermined"  # pyright: ignore[reportReturnType]
    left = [
        elasticity(one.fitted["fixed-n"], longest) / max(elasticity(one.fitted["fixed-n"], shortest), 1e-12)
        for one in redrawn
    ]
    return "power" if float(np.quantile(left, 1 - DECISIVE)) > STILL_FALLING else "undetermined"


def elasticity(fitted: Fitted, tokens: float) -> float:
    """-d ln L / d ln D, by central difference of the law."""
    step = 1e-4
    logs = {"tokens": np.log(tokens) + np.array([-step, step])}
    low, high = fitted.law.log_loss(fitted.theta_K[None], logs)[0]
    return float((low - high) / (2 * step))


def saturation_tokens(fitted: Fitted, eps: float, longest: float) -> float | None:
    """The tokens from which the elasticity stays below eps; None where they are FURTHEST times the longest run."""
    low, high = 1.0, FURTHEST * longest
    if elasticity(fitted, high) >= eps:
        return None
    if elasticity(fitted, low) <= eps:
        return low
    root = root_scalar(
        lambda x: elasticity(fitted, float(np.exp(x))) - eps, bracket=(np.log(low), np.log(high)), method="brentq"
    )
    return float(np.exp(root.root))


def _noise(points: pd.DataFrame, fitted: Fitted) -> Noise:
    law: Law = fitted.law
    expansion = law.expand(fitted.theta_K[None], Observations.of(points, law).logs)
    return noise_of(points, _residual(points, fitted), expansion.jacobian_PNK[0])


def _residual(points: pd.DataFrame, fitted: Fitted) -> Array:
    observations = Observations.of(points, fitted.law)
    return observations.log_loss_N - fitted.law.log_loss(fitted.theta_K[None], observations.logs)[0]
