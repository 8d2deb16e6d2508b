"""`scalelab bench fit`: our fit of Hoffmann's law against PyPI's chinchilla, the same points and the same loss."""

import platform
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from experiments.bench.optima import check_draws
from experiments.bench.peers import Peer
from experiments.pools import worker_pool
from experiments.project import COMPILE_CACHE, git_revision

if TYPE_CHECKING:
    import pandas as pd

PEER = Peer("chinchilla", "0.2.0", Path(__file__).with_name("chinchilla_peer.py"))
OURS, THEIRS = "ours", "theirs"
LEAST_RATIO = 50.0
MOST_GAIN = 1e-12  # a draw is at its optimum where scipy finds no objective lower by more


@dataclass(frozen=True)
class FitBench:
    """What is measured; a minute a round, nearly all of it the peer's."""

    rounds: int = 5
    starts: int = 48
    delta: float = 1e-3
    seed: int = 0
    draws: int = 4000
    checked_draws: int = 50
    checked_starts: int = 100


def describe(bench: FitBench, source: Path) -> str:
    """One paragraph: what would run."""
    return (
        f"{bench.rounds} rounds on {source}: our fit from {bench.starts} starts and {PEER} from PyPI "
        f"(its README's grid of starts, in an environment of its own in {PEER.environment}), both with Huber's loss of "
        f"ln L beyond {bench.delta:g}, one process each, in turns; CPU-seconds, and both results under our sum of "
        f"losses; then {bench.draws} bootstrap draws in one batch, {bench.checked_draws} of them solved again by scipy "
        f"from {bench.checked_starts} starts each"
    )


def run(bench: FitBench, source: Path, dropped: int, progress: Console) -> dict[str, Any]:
    """The table of `--json`. Raises ValueError where the points cannot be read or the peer cannot be had."""
    from experiments.fits import drop_highest, read_table

    points, inputs = read_table(str(source), {})
    points = drop_highest(points, dropped)
    PEER.install(progress)
    progress.print(describe(bench, source))
    rounds: list[dict[str, dict[str, Any]]] = []
    for index in range(bench.rounds):
        sides = {OURS: lambda: fit_ours(bench, points), THEIRS: lambda: fit_theirs(bench, points)}
        rounds.append({name: sides[name]() for name in list(sides)[:: -1 if index % 2 else 1]})
        progress.print(
            f"round {index + 1}: " + ", ".join(f"{n} {s['cpu_seconds']:.2f} s" for n, s in rounds[-1].items())
        )
    table = table_of(bench, points, rounds)
    progress.print(f"{bench.checked_draws} draws by scipy, {bench.checked_starts} starts each")
    draws = check_draws(points, bench.delta, bench.draws, bench.checked_draws, bench.checked_starts, bench.seed)
    status = table["status"] if draws["largest_gain"] <= MOST_GAIN else "missed"
    return {
        "points": source.name, "inputs": inputs, "dropped": dropped, **table, "bootstrap": draws, "status": status,
    }  # fmt: skip


def table_of(bench: FitBench, points: "pd.DataFrame", rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Medians, the ratio within rounds with its interval, and each side's highest objective over the rounds."""
    import numpy as np

    from experiments.bench.pairs import Launch, paired_ratio
    from experiments.bench.train import processor_name

    seconds = {name: [one[name]["cpu_seconds"] for one in rounds] for name in (OURS, THEIRS)}
    launches = [Launch(1, {name: [one[name]["cpu_seconds"]] for name in (OURS, THEIRS)}, {}) for one in rounds]
    ratio, interval = paired_ratio(launches, THEIRS, OURS)
    sides = {
        name: {
            "cpu_seconds": float(np.median(seconds[name])),
            "objective": max(objective(one[name]["params"], points, bench.delta) for one in rounds),
            "starts": rounds[0][name]["starts"],
            "params": rounds[0][name]["params"],
            "samples": seconds[name],
        }
        for name in (OURS, THEIRS)
    }
    enough = ratio >= LEAST_RATIO and sides[OURS]["objective"] <= sides[THEIRS]["objective"]
    return {
        "schema_version": 1,
        "num_points": len(points),
        "delta": bench.delta,
        **sides,
        "ratio": ratio,
        "ci95": interval,
        "least_ratio": LEAST_RATIO,
        "status": "ok" if enough else "missed",
        "machine": {"processor": processor_name(), "python": platform.python_version()},
        "versions": {"numpy": version("numpy"), "scipy": version("scipy"), PEER.package: PEER.version},
        "revision": git_revision(),
    }


def objective(params: dict[str, float], points: "pd.DataFrame", delta: float) -> float:
    """The sum over points of Huber's loss of the residuals of ln L; infinite where the law has no logarithm."""
    import numpy as np

    from analysis.solver import huber_sum

    log_params, log_tokens, log_loss = (np.log(points[name].to_numpy(float)) for name in ("params", "tokens", "loss"))
    predicted = params["E"] + params["A"] * np.exp(-params["alpha"] * log_params)
    predicted += params["B"] * np.exp(-params["beta"] * log_tokens)
    return float(huber_sum(np.log(predicted) - log_loss, delta)) if (predicted > 0).all() else float("inf")


def fit_ours(bench: FitBench, points: "pd.DataFrame") -> dict[str, Any]:
    """Parameters, starts and CPU-seconds of our fit, in a new process with one thread."""
    with worker_pool(1, COMPILE_CACHE) as pool:
        return pool.submit(timed_fit, bench, points).result()


def timed_fit(bench: FitBench, points: "pd.DataFrame") -> dict[str, Any]:
    """Our fit, imports left out."""
    from analysis.fit import Estimator, Observations, fit
    from analysis.laws import HOFFMANN

    began = time.process_time()
    found = fit(Observations.of(points), HOFFMANN, Estimator("huber", bench.delta), bench.starts, bench.seed)
    seconds = time.process_time() - began
    return {"params": found.fitted.params, "starts": found.starts, "cpu_seconds": seconds}


def fit_theirs(bench: FitBench, points: "pd.DataFrame", peer: Peer = PEER) -> dict[str, Any]:
    """The same of the peer's; raises RuntimeError with its last line where it fails."""
    asked = {name: points[name].tolist() for name in ("params", "tokens", "loss")}
    with tempfile.TemporaryDirectory() as directory:
        return peer.run({**asked, "delta": bench.delta, "directory": directory})


def show(result: dict[str, Any], console: Console) -> None:
    """Both sides as a table, and what follows."""
    table = Table("", "CPU-seconds", "starts", "objective", "A", "B", "E", "alpha", "beta")
    for name, called in ((OURS, OURS), (THEIRS, str(PEER))):
        side = result[name]
        params = (f"{side['params'][key]:.5g}" for key in ("A", "B", "E", "alpha", "beta"))
        seconds = f"{side['cpu_seconds']:.2f}"
        table.add_row(called, seconds, f"{side['starts']:,}", f"{side['objective']:.10g}", *params)
    console.print(table)
    low, high = result["ci95"]
    console.print(
        f"{result['num_points']} points: {result['ratio']:.0f} times fewer CPU-seconds [{low:.0f}, {high:.0f}], at "
        f"{result[OURS]['objective'] / result[THEIRS]['objective'] - 1:+.2g} of the objective: {result['status']}"
    )
    draws = result["bootstrap"]
    console.print(
        f"{draws['draws']:,} bootstrap draws in {draws['cpu_seconds']:.2f} CPU-seconds; scipy, from {draws['starts']} "
        f"starts on each of {draws['checked']}, finds at best {draws['largest_gain']:+.2g} of an objective"
    )
