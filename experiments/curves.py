"""`scalelab extrapolate`: a table of learning curves to their forecasts."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.curves.extrapolate import Forecast, extrapolate
from analysis.curves.table import KEYS, Curve, read_curves
from analysis.points import file_digest
from experiments.options import write_result


def forecast_table(path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """The JSON and the predictions, a row for every test row of the table and in its order."""
    curves = read_curves(path)
    told, rows = [], []
    for curve in curves:
        if not len(curve.test_x_T):
            continue
        began = time.process_time()
        forecast = extrapolate(curve.log_x_N, curve.log_y_N, np.log(curve.test_x_T))
        predicted = predictions(curve, forecast)
        told.append(describe(curve, forecast, predicted) | {"cpu_seconds": time.process_time() - began})
        rows.append(predicted)
    result = {
        "inputs": {path.name: file_digest(path)},
        "num_without_test_rows": len(curves) - len(told),
        "curves": told,
    }
    return result, pd.concat(rows).sort_index()


def describe(curve: Curve, forecast: Forecast, predicted: pd.DataFrame) -> dict[str, Any]:
    """One curve in the JSON."""
    farthest = predicted.iloc[int(np.argmax(curve.test_x_T))]
    return {
        **curve.keys,
        "num_train": len(curve.log_x_N),
        "num_test": len(curve.test_x_T),
        "last_train_x": curve.last_x,
        "farthest": {name: float(farthest[name]) for name in ("x", "yhat", "lo95", "hi95")},
        "rolling_rmsle": forecast.rolling_rmsle,
        "num_rolling_origins": forecast.num_rolls,
        "breaks": forecast.breaks,
        "belief": forecast.belief,
        "candidates": [asdict(candidate) for candidate in forecast.candidates],
    }


def predictions(curve: Curve, forecast: Forecast) -> pd.DataFrame:
    """The rows of the CSV, indexed by their row in the input."""
    low, high = (np.exp(forecast.log_y_T + sign * forecast.half_width_T) for sign in (-1, 1))
    columns = {"x": curve.test_x_T, "yhat": np.exp(forecast.log_y_T), "lo95": low, "hi95": high}
    return pd.DataFrame({**curve.keys, **columns}, index=curve.test_rows_T)


def write_forecasts(
    source: Path, result: dict[str, Any], rows: pd.DataFrame, json_out: Path | None, csv_out: Path | None
) -> None:
    """Writes what was asked for; neither file where one of them cannot be written."""
    if csv_out is not None and csv_out.resolve() == source.resolve():
        raise ValueError(f"--csv {csv_out} is the table of curves: name another file")
    for option, out in (("--json", json_out), ("--csv", csv_out)):
        if out is not None and out.is_dir():
            raise ValueError(f"{option} {out} is a directory: name a file in it")
    partial = None
    try:
        if csv_out is not None:
            partial = csv_out.with_name(f".{csv_out.name}.partial")
            csv_out.parent.mkdir(parents=True, exist_ok=True)
            rows.to_csv(partial, index=False)
        if json_out is not None:
            write_result(result, json_out)
        if csv_out is not None and partial is not None:
            partial.replace(csv_out)
    except OSError as error:
        raise ValueError(f"--csv {csv_out} cannot be written ({error.strerror}): name another file") from None
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def print_forecasts(result: dict[str, Any]) -> None:
    """A line a curve: the forecast farthest out, what made it, and how far off the same rule was before."""
    table = Table("curve", "train", "x", "forecast", "95% interval", "rolling error", "average of")
    for curve in result["curves"]:
        kept = [candidate["name"] for candidate in curve["candidates"] if candidate["weight"]]
        rolling = curve["rolling_rmsle"]
        farthest = curve["farthest"]
        table.add_row(
            Text(" ".join(curve[name] for name in KEYS if name in curve) or "-"),  # brackets in a name are no markup
            str(curve["num_train"]),
            f"{farthest['x']:.4g}",
            f"{farthest['yhat']:.4g}",
            f"{farthest['lo95']:.4g} to {farthest['hi95']:.4g}",
            "-" if rolling is None else f"{rolling:.2%}",
            ", ".join(kept) if len(kept) < len(curve["candidates"]) else "all",
        )
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    if result["num_without_test_rows"]:
        console.print(f"{result['num_without_test_rows']} curves have no test rows: nothing is forecast for them")
