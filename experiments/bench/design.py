"""`scalelab bench design`: do the runs that `design` chooses narrow a forecast more than other choices at equal cost?

Simulated sweeps of a known law on the layout of a small grid with trunks; every strategy adds three runs within the
same budget, whose losses come from the same law and the same noise; the law is refitted, and the width of its 95%
interval for a run at ten times the largest compute is compared sweep by sweep.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

from analysis.design import Candidates, candidates, choose_runs
from analysis.forecast import Forecaster
from analysis.laws import FLOPS_PER_PARAM_TOKEN, HOFFMANN, Fitted, optimal_logs
from analysis.params import FitParams
from analysis.predict import Estimate, estimate
from experiments.bench.pairs import RESAMPLES

STRATEGIES = ("design", "random", "largest", "spread")
FAR_AHEAD = 10.0


@dataclass(frozen=True)
class DesignBench:
    """What is simulated; a few minutes on one core."""

    sweeps: int = 200
    runs: int = 3
    budget_share: float = 0.5  # of what the sweep itself cost
    cell_noise: float = 0.004
    branch_noise: float = 0.002
    bootstrap: int = 300
    truth: tuple[float, float, float, float, float] = (53.0, 2841.0, 1.0, 0.446, 0.618)  # A, B, E, alpha, beta

    @property
    def law(self) -> Fitted:
        """The law behind the losses: that of the default grid, rounded."""
        return Fitted.of(HOFFMANN, dict(zip(HOFFMANN.names, self.truth, strict=True)))


SIZES = (37_600, 84_500, 151_000, 233_000, 332_000)
TOKENS = (1_048_576, 2_097_152, 4_194_304)


def describe(bench: DesignBench) -> str:
    """One paragraph: what would run."""
    return (
        f"{bench.sweeps} simulated sweeps of {len(SIZES)} sizes and {len(TOKENS)} token counts, one seed each; "
        f"{bench.runs} more runs for {bench.budget_share:.0%} of their cost, chosen by {', '.join(STRATEGIES)}; "
        f"widths of the prediction interval at {FAR_AHEAD:g} times the largest compute"
    )


def run(bench: DesignBench, progress: Console) -> dict[str, Any]:
    """The table of `--json`: median widths over today's by strategy, and how much design narrows beyond each."""
    widths: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for seed in track(range(bench.sweeps), "simulating", console=progress, transient=True):
        for name, width in one_sweep(bench, seed).items():
            widths[name].append(width)
    return {"schema_version": 1, "bench": vars(bench), "strategies": summary(widths), "relative_widths": widths}


def one_sweep(bench: DesignBench, seed: int) -> dict[str, float]:
    """Width of the forecast interval after each strategy's runs, over the width before them."""
    rng = np.random.default_rng([seed, 0])
    points = simulate(bench, grid(), rng)
    params = FitParams(starts=8, bootstrap=bench.bootstrap)
    before = forecaster_of(points, estimate(points, params))
    flops = FAR_AHEAD * before.ranges["flops"][1]
    budget = bench.budget_share * float(points["flops"].sum())
    found = {}
    for name in STRATEGIES:
        chosen = choose(name, before, flops, budget, bench.runs, np.random.default_rng([seed, 1]))
        added = simulate(bench, chosen, np.random.default_rng([seed, 2]))
        grown = pd.concat([points, added.assign(cell=[f"{name}-{i}" for i in range(len(added))])], ignore_index=True)
        after = forecaster_of(grown, estimate(grown, params))
        found[name] = interval_width(after, flops) / interval_width(before, flops)
    return found


def grid() -> pd.DataFrame:
    """The sweep that is there already."""
    sizes, tokens = np.meshgrid(SIZES, TOKENS, indexing="ij")
    return pd.DataFrame({"params": sizes.ravel().astype(float), "tokens": tokens.ravel().astype(float)})


def simulate(bench: DesignBench, runs: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The runs with losses of the law: one effect a size, as its branches share a trunk, and one a branch."""
    cell_of_run, cells = pd.factorize(runs["params"])
    noise = bench.cell_noise * rng.standard_normal(len(cells))[cell_of_run]
    noise += bench.branch_noise * rng.standard_normal(len(runs))
    flops = FLOPS_PER_PARAM_TOKEN * runs["params"] * runs["tokens"]
    loss = bench.law.loss(runs["params"], runs["tokens"]) * np.exp(noise)
    return runs.assign(
        size=runs["params"], cell=[f"cell-{c}" for c in cell_of_run], flops=flops, loss=loss, status="done"
    )


def choose(
    strategy: str, forecaster: Forecaster, flops: float, budget: float, num_runs: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Params and tokens of that many runs within the budget."""
    if strategy == "design":
        return pd.DataFrame(choose_runs(forecaster, flops, budget, num_runs))[["params", "tokens"]]
    if strategy == "largest":
        log_params, log_tokens = optimal_logs(
            forecaster.fitted.law, forecaster.fitted.theta_K[None], np.log([budget / num_runs] * num_runs)
        )
        return pd.DataFrame({"params": np.exp(log_params[0]), "tokens": np.exp(log_tokens[0])})
    among = candidates(forecaster)
    if strategy == "spread":
        share = np.flatnonzero(np.isclose(among.flops_C, budget / num_runs, rtol=0.5))
        places = share[np.linspace(0, len(share) - 1, num_runs).astype(int)]
        return scaled_to(among, places, budget)
    while True:
        places = rng.choice(len(among.log_params_C), num_runs, replace=False)
        if among.flops_C[places].sum() <= budget:
            return scaled_to(among, places, budget)


def scaled_to(among: Candidates, places: np.ndarray, budget: float) -> pd.DataFrame:
    """Those candidates, all with more or fewer tokens by one factor, so that they cost the whole budget."""
    factor = budget / among.flops_C[places].sum()
    tokens = np.exp(among.log_tokens_C[places]) * factor
    return pd.DataFrame({"params": np.exp(among.log_params_C[places]), "tokens": tokens})


def forecaster_of(points: pd.DataFrame, fitted: Estimate) -> Forecaster:
    """What `fit` and `forecast` would say of the table, without its hold-outs."""
    ranges = {name: (float(points[name].min()), float(points[name].max())) for name in ("params", "tokens", "flops")}
    return Forecaster(fitted.solution.fitted, fitted.theta_draws_PK, fitted.noise_draws, 1.0, 0, ranges)


def interval_width(forecaster: Forecaster, flops: float) -> float:
    """Width of the 95% interval of the best run's loss, over the loss."""
    found = forecaster.best(flops)
    return (found["pi95"][1] - found["pi95"][0]) / found["loss"]


def summary(widths: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Per strategy the median relative width, and how much more than it design narrows, with 95% intervals."""
    rng = np.random.default_rng(0)
    table = {name: np.array(values) for name, values in widths.items()}
    draws = rng.integers(0, len(table["design"]), (RESAMPLES, len(table["design"])))
    found = {}
    for name, values in table.items():
        narrowing = 1 - np.median(values[draws], axis=1)
        of_design = 1 - np.median(table["design"][draws], axis=1)
        more = of_design / narrowing - 1
        found[name] = {
            "median_width": float(np.median(values)),
            "narrowing": float(1 - np.median(values)),
            "narrowing_ci95": np.percentile(narrowing, (2.5, 97.5)).tolist(),
            "design_narrows_more_by": float((1 - np.median(table["design"])) / (1 - np.median(values)) - 1),
            "design_narrows_more_ci95": np.percentile(more, (2.5, 97.5)).tolist(),
        }
    return found


def show(result: dict[str, Any], console: Console) -> None:
    """The result as a table."""
    table = Table("strategy", "narrows the interval by", "95% interval", "design narrows more by")
    for name, row in result["strategies"].items():
        low, high = row["narrowing_ci95"]
        more = "-" if name == "design" else f"{row['design_narrows_more_by']:+.0%}"
        table.add_row(name, f"{row['narrowing']:.0%}", f"{low:.0%} to {high:.0%}", more)
    console.print(table)
