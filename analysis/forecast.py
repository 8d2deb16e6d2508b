"""What a fitted law says of budgets that were not spent: loss, best size and tokens, with prediction intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize_scalar

from analysis.laws import FLOPS_PER_PARAM_TOKEN, LAWS, Array, Fitted, Law, optimal_logs
from analysis.noise import Compute, NoiseDraws
from analysis.predict import widened

SERVING_FLOPS_PER_PARAM_TOKEN = 2.0  # a forward pass
FAR = 100.0  # times the largest compute of the fit: beyond that nobody has checked a law
KEYS = ("law", "params", "draws", "noise", "bootstrap", "range")
RANGES = ("params", "tokens", "flops")


@dataclass(frozen=True)
class Forecaster:
    """A law.json as a forecast reads it."""

    fitted: Fitted
    theta_draws_PK: Array
    noise_draws: NoiseDraws
    misfit: float  # seen in rolling hold-outs: what multiplies the intervals of predictions
    seed: int
    ranges: Mapping[str, tuple[float, float]]

    @staticmethod
    def of(law: Mapping[str, Any]) -> "Forecaster":
        """Raises ValueError where the object is no law.json, or its law shares no budget between size and data."""
        missing = [key for key in KEYS if key not in law]
        if missing or law["law"] not in list(LAWS):
            named = f"the law {law['law']!r}" if not missing else f"no {', '.join(missing)}"
            raise ValueError(f"law: the file has {named}: give one that `scalelab fit --json` wrote")
        form = LAWS[law["law"]]
        if set(form.columns) != {"params", "tokens"}:
            raise ValueError(
                f"law: {form.name} is no law of params and tokens alone: fit hoffmann, kaplan or interaction"
            )
        try:
            return Forecaster._read(form, law)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"law: the file is damaged ({error!r}): write it again with `scalelab fit --json`"
            ) from error

    @staticmethod
    def _read(form: Law, law: Mapping[str, Any]) -> "Forecaster":
        noise = law["noise"]
        draws_PK = np.array([[float(value) for value in row.split()] for row in law["draws"]])
        ranges = {name: (float(law["range"][name][0]), float(law["range"][name][1])) for name in RANGES}
        if draws_PK.shape != (len(draws_PK), len(form.coordinates)):
            raise ValueError(f"draws of {len(form.coordinates)} numbers each are missing")
        noise_P3 = np.array([[float(value) for value in row.split()] for row in noise["draws"]])
        if noise_P3.shape != (len(draws_PK), 3):
            raise ValueError("a draw of the noise for every draw of the law is missing")
        with np.errstate(all="ignore"):  # logarithms of what is not above zero are not finite
            fitted, log_ranges = Fitted.of(form, law["params"]), np.log([*ranges.values()])
        numbers = (fitted.theta_K, draws_PK, noise_P3, noise["log_work"], [noise["misfit"]], log_ranges)
        if not all(np.isfinite(part).all() for part in numbers):
            raise ValueError("a number is not finite")
        noise_draws = NoiseDraws(noise_P3[:, 0], noise_P3[:, 1], noise_P3[:, 2], Compute(*noise["log_work"]))
        return Forecaster(fitted, draws_PK, noise_draws, noise["misfit"], int(law["bootstrap"]["seed"]), ranges)

    def at(self, params: float, tokens: float) -> dict[str, Any]:
        """The loss of one further run of that size and data: estimate and 95% prediction interval."""
        logs = {"params": np.log([params]), "tokens": np.log([tokens])}
        middle_1 = self.fitted.law.log_loss(self.fitted.theta_K[None], logs)[0]
        drawn_P1 = self.fitted.law.log_loss(self.theta_draws_PK, logs)
        rng = np.random.default_rng([self.seed, 2])
        scatter_P1 = self.noise_draws.run([params], [tokens]) * rng.standard_normal(drawn_P1.shape)
        low_1, high_1 = widened(middle_1, drawn_P1 + scatter_P1, self.misfit)
        return {
            "params": float(params),
            "tokens": float(tokens),
            "loss": float(np.exp(middle_1[0])),
            "pi95": [float(np.exp(low_1[0])), float(np.exp(high_1[0]))],
            "tokens_per_param": float(tokens / params),
            "beyond_fit": float(FLOPS_PER_PARAM_TOKEN * params * tokens / self.ranges["flops"][1]),
        }

    def best(self, flops: float) -> dict[str, Any]:
        """The compute-optimal run of a budget C = 6ND, with intervals of its size and tokens."""
        law, log_flops = self.fitted.law, np.log(flops)
        log_params, log_tokens = optimal_logs(law, self.fitted.theta_K[None], log_flops)
        drawn = optimal_logs(law, self.theta_draws_PK, log_flops)
        found = {"flops": float(flops)} | self.at(float(np.exp(log_params[0])), float(np.exp(log_tokens[0])))
        for name, middle, draws in zip(("params", "tokens"), (log_params, log_tokens), drawn, strict=True):
            ends = widened(middle, draws[:, None], self.misfit)
            found[f"{name}_ci95"] = [float(np.exp(end[0])) for end in ends]
        return found

    def served(self, flops: float, tokens_served: float) -> dict[str, Any]:
        """The run of least loss where training and serving share the budget: 6 N D + 2 N S = C (Sardana et al. 2024).

        The more tokens S are to be served, the smaller the model and the longer it trains. Raises ValueError where the
        smallest model of the fit, served so often, would cost the whole budget.
        """
        smallest = SERVING_FLOPS_PER_PARAM_TOKEN * self.ranges["params"][0] * tokens_served
        if smallest >= flops:
            raise ValueError(
                f"--tokens-served {tokens_served:.3g} cost {smallest:.3g} FLOPs with the smallest model of the fit: "
                "give larger --flops or serve less"
            )

        def tokens_of(log_params: float) -> float:
            served = SERVING_FLOPS_PER_PARAM_TOKEN * tokens_served
            return (flops / np.exp(log_params) - served) / FLOPS_PER_PARAM_TOKEN

        def loss(log_params: float) -> float:
            return float(self.fitted.loss(np.exp(log_params), tokens_of(log_params)))

        # At the upper end serving alone takes the whole budget.
        highest = np.log(flops / (SERVING_FLOPS_PER_PARAM_TOKEN * tokens_served)) - 1e-9
        bounds = (min(0.0, highest - 1.0), highest)
        best: OptimizeResult = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
        served = {"tokens_served": float(tokens_served), "flops": float(flops)}
        return served | self.at(float(np.exp(best["x"])), float(tokens_of(best["x"])))

    def warnings(self, forecast: Mapping[str, Any]) -> list[str]:
        """What to know of this forecast: how far beyond the runs it reaches."""
        said = []
        if forecast["beyond_fit"] > FAR:
            said.append(
                f"{forecast['beyond_fit']:.3g} times the largest compute of the fit: no law was checked so far out"
            )
        for name in ("params", "tokens"):
            low, high = self.ranges[name]
            if not low / 10 <= forecast[name] <= high * 10:
                said.append(
                    f"{name} {forecast[name]:.3g} are more than ten times outside the fitted {low:.3g} to {high:.3g}"
                )
        return said
