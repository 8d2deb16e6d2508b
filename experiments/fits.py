"""`fit`, `forecast` and `design` on anyone's runs: tables and law files in, tables on the screen and JSON out."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from analysis.params import FitParams
from experiments.project import PARAMS, Project
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd

MLFLOW = "mlflow:"
FAR_AHEAD = 10.0  # a forecast without a budget looks at ten times the largest compute of the fit


def read_table(source: str, columns: Mapping[str, str]) -> "tuple[pd.DataFrame, dict[str, str]]":
    """Runs from a CSV or parquet file or from `mlflow:EXPERIMENT`, and the digest of the file behind them."""
    from analysis.points import file_digest, points_of, read_points

    if source.startswith(MLFLOW):
        from experiments.mlflow_table import runs_table

        return points_of(runs_table(source.removeprefix(MLFLOW), columns), source, columns), {}
    points = read_points(source, columns)
    return points, {Path(source).name: file_digest(source)}


def fit_params(changes: Mapping[str, Any]) -> FitParams:
    """The fit part of params.yaml where there is one, else the defaults, with what the command line asked for."""
    start = Project.here().params.fit if PARAMS.exists() else FitParams()
    try:
        return replace(start, **{name: value for name, value in changes.items() if value is not None})
    except ValueError as error:
        raise ValueError(str(error).replace("fit.", "--", 1)) from None


def drop_highest(points: "pd.DataFrame", count: int) -> "pd.DataFrame":
    """The table without its `count` highest losses; raises ValueError where nothing would be left."""
    if not 0 <= count < len(points):
        raise ValueError(f"--drop-highest {count} of {len(points)} runs: give 0 to {len(points) - 1}")
    kept = points.drop(points["loss"].nlargest(count).index).reset_index(drop=True)
    kept.attrs = points.attrs
    return kept


def fit_table(
    source: str, columns: Mapping[str, str], settings: FitParams, dropped: int
) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Fits anyone's table of runs without its `dropped` highest losses; returns the runs and what law.json says."""
    from analysis.scaling import fit_law

    points, inputs = read_table(source, columns)
    points = drop_highest(points, dropped)
    return points, fit_law(points, settings, inputs)


def read_forecaster(path: Path) -> Any:
    """The law file as a forecaster; raises ValueError where it is none."""
    from analysis.forecast import Forecaster

    if not path.is_file():
        raise ValueError(f"law: {path} is no file; write one with `scalelab fit POINTS.csv --json LAW.json`")
    try:
        law = store.read_json(path)
    except ValueError:  # a table of runs, for one
        law = None
    if not isinstance(law, dict):
        raise ValueError(f"law: {path} holds no law; write one with `scalelab fit POINTS.csv --json LAW.json`")
    return Forecaster.of(law)


def forecast(path: Path, flops: float | None, params: float | None, tokens: float | None, served: float | None) -> Any:
    """What the law says: the best run of a budget, that run when tokens are served too, or a run of given N and D."""
    for name, value in (("--flops", flops), ("--params", params), ("--tokens", tokens), ("--tokens-served", served)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} is {value}: give a number above 0")
    forecaster = read_forecaster(path)
    if params is not None and tokens is not None and flops is None and served is None:
        found = forecaster.at(params, tokens)
    elif flops is None:
        raise ValueError("--flops is missing: give a budget, or a run by --params and --tokens")
    elif served is not None:
        if params is not None or tokens is not None:
            raise ValueError("--tokens-served chooses size and tokens itself: leave --params and --tokens out")
        found = forecaster.served(flops, served)
    elif params is not None or tokens is not None:
        from analysis.laws import FLOPS_PER_PARAM_TOKEN

        if params is not None and tokens is not None:
            raise ValueError("--flops, --params and --tokens say one thing too many: leave one out")
        other = flops / FLOPS_PER_PARAM_TOKEN / (params or tokens or 1.0)
        found = {"flops": flops} | forecaster.at(params or other, tokens or other)
    else:
        found = forecaster.best(flops)
    return found | {"warnings": forecaster.warnings(found)}


def print_forecast(found: dict[str, Any]) -> None:
    """One forecast in a line or two."""
    console = Console(soft_wrap=True, highlight=False)
    low, high = found["pi95"]
    console.print(
        f"loss {found['loss']:.4f} ({low:.4f} to {high:.4f}, 95% of further runs) at {found['params']:.4g} parameters "
        f"and {found['tokens']:.4g} tokens ({found['tokens_per_param']:.3g} a parameter)"
    )
    for name in ("params", "tokens"):
        if f"{name}_ci95" in found:
            low, high = found[f"{name}_ci95"]
            console.print(f"best {name}: {found[name]:.4g} ({low:.4g} to {high:.4g})")
    for warning in found["warnings"]:
        console.print(f"warning: {warning}")


def design(path: Path, budget: float, runs: int, flops: float | None) -> dict[str, Any]:
    """The next runs that narrow the forecast at `flops` most, within `budget` FLOPs in all."""
    from analysis.design import choose_runs

    for name, value in (("--budget", budget), ("--runs", runs), ("--flops", flops)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} is {value}: give a number above 0")
    forecaster = read_forecaster(path)
    target = flops or FAR_AHEAD * forecaster.ranges["flops"][1]
    chosen = choose_runs(forecaster, target, budget, runs)
    return {"forecast_flops": target, "budget": budget, "runs": chosen}


def print_design(found: dict[str, Any]) -> None:
    """The chosen runs as a table."""
    table = Table("run", "parameters", "tokens", "FLOPs", "forecast's spread left")
    for number, run in enumerate(found["runs"], start=1):
        spread = f"{run['remaining_sd']:.0%}"
        table.add_row(str(number), f"{run['params']:.3g}", f"{run['tokens']:.3g}", f"{run['flops']:.3g}", spread)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"to narrow the forecast at {found['forecast_flops']:.3g} FLOPs:")
    console.print(table)
