"""A table of learning curves: a row is one point, to fit to (split train) or to forecast (split test)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from analysis.curves.rolling import MIN_POINTS
from analysis.laws import Array

KEYS = ("domain", "task", "model")  # those that the table has tell its curves apart
REQUIRED = ("x", "y", "split")
Text = NDArray[np.str_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """One curve: its keys, its training points in ascending ln x, and where it is to be forecast."""

    keys: dict[str, str]
    log_x_N: Array
    log_y_N: Array
    last_x: float
    test_rows_T: NDArray[np.intp]  # of the table, counted from 0 and in its order
    test_x_T: Array


def read_curves(path: Path) -> list[Curve]:
    """The curves of a CSV or Parquet table, in the order in which they appear; y of test rows is never read.

    Points of a curve that share their x become one, at the geometric mean of their y. Raises ValueError naming the
    column, the row and the remedy when the table or a number in it cannot be used.
    """
    columns = _read_text(path)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ValueError(f"curves: {path} lacks the column {', '.join(missing)}; it needs {', '.join(REQUIRED)}")
    keys = [name for name in KEYS if name in columns]
    _refuse("split", columns["split"], ~np.isin(columns["split"], ["train", "test"]), "write train or test")
    for name in keys:
        _refuse(name, columns[name], columns[name] == "", "name the curve of every row")
    train = columns["split"] == "train"
    x = _positive("x", columns["x"], np.ones_like(train))
    y = _positive("y", columns["y"], train)
    if train.all():
        raise ValueError(f"curves: {path} has no row with split test; add one for every x to forecast, y left empty")
    curves: dict[tuple[str, ...], list[int]] = {}
    for row in range(len(train)):
        curves.setdefault(tuple(str(columns[name][row]) for name in keys), []).append(row)
    return [_curve(dict(zip(keys, key, strict=True)), np.array(rows), train, x, y) for key, rows in curves.items()]


def _curve(keys: dict[str, str], rows: NDArray[np.intp], train: Flags, x: Array, y: Array) -> Curve:
    """One curve from its rows; raises ValueError where it cannot be continued."""
    name = " ".join(keys.values()) or "the table"
    fit, test = rows[train[rows]], rows[~train[rows]]
    train_x, at = np.unique(x[fit], return_inverse=True)
    if len(train_x) < MIN_POINTS:
        raise ValueError(
            f"curves: {name} has {len(train_x)} training points at different x; "
            f"give at least {MIN_POINTS} rows with split train, or drop the curve"
        )
    early_T = x[test] <= train_x[-1]
    if early_T.any():
        raise ValueError(
            f"curves: {name} has a test row at x = {x[test][early_T][0]:g} and training rows up to {train_x[-1]:g}; "
            "a forecast begins beyond the last training row, so drop that test row"
        )
    log_y_N = np.bincount(at, weights=np.log(y[fit])) / np.bincount(at)
    return Curve(keys, np.log(train_x), log_y_N, float(train_x[-1]), test, x[test])


def _read_text(path: Path) -> dict[str, Text]:
    if not path.is_file():
        raise ValueError(f"curves: {path} is no file; give a CSV or Parquet table with {', '.join(REQUIRED)}")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"curves: {path} is not a table ({reason}); write one row a point under a header") from error
    wanted = [name for name in (*KEYS, *REQUIRED) if name in table]
    return {name: np.char.strip(table[name].to_numpy().astype(str)) for name in wanted}


def _positive(name: str, text: Text, wanted: Flags) -> Array:
    """The numbers of the wanted rows, not a number elsewhere."""
    values = np.full(len(text), np.nan)
    values[wanted] = pd.to_numeric(text[wanted], errors="coerce")
    bad = wanted & ~(np.isfinite(values) & (values > 0))
    _refuse(name, text, bad, "give a finite number above zero or drop the row")
    return values


def _refuse(name: str, text: Text, bad: Flags, remedy: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"curves: {name} is {str(text[row])!r} in line {row + 2} ({bad.sum()} such rows); {remedy}")
