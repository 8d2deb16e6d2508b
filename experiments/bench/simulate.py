"""Many simulated sweeps through the engine as one batch: which of its intervals hold what they are about?"""

from dataclasses import dataclass

import numpy as np

from analysis.bootstrap import draw_data
from analysis.diagnostics import floor_unidentified, loose
from analysis.fit import Estimator, Observations, Solution
from analysis.forecast import Forecaster
from analysis.laws import Array, Fitted
from analysis.noise import noise_of
from analysis.predict import Estimate
from analysis.scaling import RANGES, exponents, intervals_of_parameters
from experiments.bench.designs import Design, TrueNoise

TARGETS = ("alpha", "beta", "E", "a", "forecast")
BEYOND = 10.0  # times the most compute of the design: the budget of the forecast
STARTS = 6


@dataclass(frozen=True)
class Outcome:
    """One sweep, by target: did its interval hold the truth, how wide was it, did the engine call it unidentified?"""

    inside: tuple[bool, ...]
    width: tuple[float, ...]
    warned: tuple[bool, ...]


def simulate(design: Design, noise: TrueNoise, sweeps: int, draws: int, seed: list[int]) -> list[Outcome]:
    """`sweeps` sweeps of the design, each with `draws` refitted draws; the same seed gives the same outcomes."""
    rng = np.random.default_rng(seed)
    noise_SN, further_S = noise.draw(design, sweeps, rng)
    true_loss_N = design.truth.loss(design.points["params"], design.points["tokens"])
    points = design.points.assign(loss=true_loss_N)
    observations = Observations.of(points)
    log_loss_SN = observations.log_loss_N + noise_SN
    solutions = fit_all(observations, log_loss_SN, design, seed[0])
    fitted = refit_all(design, observations, log_loss_SN, solutions, draws, rng)
    return [judge(one, design, further) for one, further in zip(fitted, further_S, strict=True)]


def fit_all(observations: Observations, log_loss_SN: Array, design: Design, seed: int) -> list[Solution]:
    """The point estimate of every sweep: the best of a few starts, as fit.py makes them."""
    law = design.truth.law
    unit_PS = np.random.default_rng(seed).random((STARTS, law.num_shapes))
    starts_PK = [law.starting_points(observations.logs, np.exp(of_sweep_N), unit_PS) for of_sweep_N in log_loss_SN]
    repeated_PN = np.repeat(log_loss_SN, STARTS, axis=0)
    theta_PK, objective_P = Estimator().solve(law, observations.logs, repeated_PN, np.concatenate(starts_PK))
    objective_SP, sweeps = objective_P.reshape(-1, STARTS), np.arange(len(log_loss_SN))
    best_S = objective_SP.argmin(axis=1)
    theta_SK = theta_PK.reshape(len(sweeps), STARTS, -1)[sweeps, best_S]
    objective_S = objective_SP[sweeps, best_S]
    return [Solution(Fitted(law, t_K), float(o), STARTS, STARTS) for t_K, o in zip(theta_SK, objective_S, strict=True)]


def refit_all(
    design: Design, observations: Observations, log_loss_SN: Array, solutions: list[Solution], draws: int,
    rng: np.random.Generator,
) -> list[Estimate]:  # fmt: skip
    """Noise and draws of every sweep by the engine's own functions, all draws refitted together."""
    law, logs = design.truth.law, observations.logs
    expansion = law.expand(np.stack([solution.fitted.theta_K for solution in solutions]), logs)
    noises, noise_draws, drawn = [], [], []
    for of_sweep_N, fitted_N, jacobian_NK in zip(
        log_loss_SN, expansion.log_loss_PN, expansion.jacobian_PNK, strict=True
    ):
        noises.append(noise_of(design.points, of_sweep_N - fitted_N, jacobian_NK))
        noise_draws.append(noises[-1].draw(draws, rng))
        drawn.append(draw_data(design.points, of_sweep_N, fitted_N, noise_draws[-1], rng))
    log_loss_PN = np.concatenate([one.log_loss_PN for one in drawn])
    weights_PN = np.concatenate([one.weights_PN for one in drawn])
    theta_PK = np.repeat([solution.fitted.theta_K for solution in solutions], draws, axis=0)
    theta_PK, _ = Estimator().solve(law, logs, log_loss_PN, theta_PK, weights_PN)
    theta_SPK = theta_PK.reshape(len(solutions), draws, -1)
    return [Estimate(*parts) for parts in zip(solutions, noises, noise_draws, theta_SPK, strict=True)]


def judge(fitted: Estimate, design: Design, further: float) -> Outcome:
    """The engine's intervals against the truth; `further` is the noise of the run that the forecast is about."""
    truth, ends = design.truth, intervals_of_parameters(fitted)
    found = forecaster(fitted, design).best(BEYOND * float(design.points["flops"].max()))
    run = float(truth.loss(found["params"], found["tokens"])) * np.exp(further)
    true = {**truth.params, "a": truth.a, "forecast": run}
    ends |= {"a": exponents(fitted)["a_ci95"], "forecast": found["pi95"]}
    wide = loose(fitted)
    warned = {name: name in wide for name in TARGETS} | {
        "E": floor_unidentified(fitted) is not None,
        "a": bool(wide),
    }
    return Outcome(
        tuple(bool(ends[name][0] <= true[name] <= ends[name][1]) for name in TARGETS),
        tuple(ends[name][1] - ends[name][0] for name in TARGETS),
        tuple(warned[name] for name in TARGETS),
    )


def forecaster(fitted: Estimate, design: Design) -> Forecaster:
    """What Forecaster.of makes of the law file of this estimate, but for the factor of rolling hold-outs.

    That factor, at least 1, guards against a form that is wrong beyond the runs; here the form is right.
    """
    ranges = {name: (float(design.points[name].min()), float(design.points[name].max())) for name in RANGES}
    return Forecaster(fitted.solution.fitted, fitted.theta_draws_PK, fitted.noise_draws, 1.0, 0, ranges)
