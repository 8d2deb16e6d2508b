"""A sweep's table of scores whose abilities behave as their names say: nine scales, three seeds, every metric."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

WIDTHS_TOKENS = (
    (8, 300_000), (8, 600_000), (12, 600_000), (16, 600_000), (16, 1_200_000),
    (32, 600_000), (32, 1_200_000), (48, 1_000_000), (48, 1_600_000),
)  # fmt: skip
NUM_ITEMS = 128


@dataclass(frozen=True)
class Simulated:
    """An ability in one style: a logistic from chance to `top` in log10(compute)."""

    name: str
    style: str
    kind: str
    midpoint: float
    width: float
    top: float
    chance: float
    has_choices: bool = False

    def score(self, x: float) -> float:
        """The true share right at x = log10(compute)."""
        return self.chance + (self.top - self.chance) / (1 + math.exp(-4.394 * (x - self.midpoint) / self.width))


ABILITIES = (
    Simulated("induction", "direct", "in-context", 10.6, 0.2, 0.97, 0.1),
    Simulated("transform", "direct", "instruction", 11.0, 2.4, 0.9, 0.02),
    Simulated("parity", "direct", "reasoning", 99.0, 1.0, 0.9, 0.5, has_choices=True),
    Simulated("parity", "steps", "reasoning", 11.2, 0.15, 0.98, 0.5),
    Simulated("addition", "direct", "reasoning", 12.0, 1.0, 0.8, 0.01),
    Simulated("addition", "steps", "reasoning", 10.9, 0.3, 0.95, 0.01),
)


def emergence_runs(num_seeds: int = 3, seed: int = 0) -> pd.DataFrame:
    """The table as emergence_scores.csv has it."""
    rng = np.random.default_rng(seed)
    rows = []
    for width, tokens in WIDTHS_TOKENS:
        params = 36 * width**2
        for number in range(num_seeds):
            name, loss = f"w{width:04d}-t{tokens}-s{number}", 2.5 - 0.1 * math.log(params)
            run = {
                "compute": 6.5 * params * tokens, "params": params, "tokens": tokens, "loss": loss, "seed": number,
                "run": name, "fingerprint": name,
            }  # fmt: skip
            for ability in ABILITIES:
                rows += [{**row, **run} for row in checkpoint_scores(ability, math.log10(run["compute"]), rng)]
    return pd.DataFrame(rows)


def checkpoint_scores(ability: Simulated, x: float, rng: np.random.Generator) -> list[dict]:
    """Every metric of one checkpoint."""
    right = rng.binomial(NUM_ITEMS, ability.score(x)) / NUM_ITEMS
    logprob = 0.2 * math.log(max(right, 0.02)) - 0.01 * rng.random()
    base, task = f"scalelab_{ability.name}_{ability.style}", {}
    verbatim = right * (0.9 if ability.style == "steps" else 1.0)  # other steps lead to the answer too
    task[base] = {"exact_match": verbatim, "logprob": 5 * logprob, "logprob_per_char": logprob}
    task[f"{base}_generate"] = {"exact_match": right, "edit_similarity": 0.3 + 0.7 * right}
    if ability.has_choices:
        task[f"{base}_choice"] = {
            "acc": right,
            "brier": 0.5 - 0.4 * (right - 0.5),
            "choice_logprob": math.log(max(right, 0.01)),
        }
    if ability.style == "steps":
        passes = {f"pass@{k}": 1 - (1 - right) ** k for k in (1, 2, 4, 8)}
        task[f"{base}_sampled"] = passes | {f"majority@{k}": min(1.0, right + 0.02 * k) for k in (4, 8)}
    liked = {(base, "exact_match"): logprob, (f"{base}_choice", "acc"): math.log(max(right, 0.01))}
    chances = {"brier": 0.5, "choice_logprob": -math.log(2)}
    bounded = ("exact_match", "acc", "majority@4", "majority@8")
    described = {"ability": ability.name, "style": ability.style, "kind": ability.kind, "num_items": NUM_ITEMS}
    return [
        {
            "task": name, **described, "metric": metric, "value": value, "se": 0.02,
            "chance": ability.chance if metric in bounded else chances.get(metric),
            "continuous": liked.get((name, metric)),
        }
        for name, metrics in task.items() for metric, value in metrics.items()
    ]  # fmt: skip
