"""A table of learning curves: a row is one point, to fit to (split train) or to forecast (split test)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.curves.rolling import MIN_POINTS
from analysis.laws import Array

KEYS = ("domain", "task", "model")  # those that the table has tell its curves apart
REQUIRED = ("x", "y", "split")


@dataclass(frozen=True)
class Curve:
    """One curve: its keys, its training points in ascending ln x, and where it is to be forecast."""

    keys: dict[str, str]
    log_x_N: Array
    log_y_N: Array
    last_x: float
    test_rows_T: Array  # of the table, in its order
    test_x_T: Array

    @property
    def name(self) -> str:
        """For messages."""
        return " ".join(self.keys.values()) or "the curve"


def read_curves(path: Path) -> list[Curve]:
    """The curves of a CSV or Parquet table, in the order in which they appear; y of test rows is never read.

    Points of a curve that share their x become one, at the geometric mean of their y. Raises ValueError naming the
    column, the row and the remedy when the table or a number in it cannot be used.
    """
    table = _read_text(path)
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise ValueError(f"curves: {path} lacks the column {', '.join(missing)}; it needs {', '.join(REQUIRED)}")
    keys = [name for name in KEYS if name in table]
    split = table["split"].str.strip()
    _refuse("split", table["split"], ~split.isin(["train", "test"]), "write train or test")
    for name in keys:
        _refuse(name, table[name], table[name].str.strip() == "", "name the curve of every row")
    train = split == "train"
    x = _positive("x", table["x"])
    y = _positive("y", table["y"][train])
    if train.all():
        raise ValueError(f"curves: {path} has no row with split test; add a row for every x to forecast, y left empty")
    groups = table.groupby(keys, sort=False).indices.items() if keys else [((), np.arange(len(table)))]
    curves = []
    for values, rows in groups:
        named = dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True))
        is_train = train.to_numpy()[rows]
        points = y.loc[rows[is_train]].groupby(x.loc[rows[is_train]]).agg(lambda same: np.log(same).mean())
        test = rows[~is_train]
        train_x = points.index.to_numpy(float)
        test_x = x.to_numpy(float)[test]
        last_x = float(train_x.max(initial=0))
        curves.append(_checked(Curve(named, np.log(train_x), points.to_numpy(float), last_x, test, test_x)))
    return curves


def _checked(curve: Curve) -> Curve:
    if len(curve.log_x_N) < MIN_POINTS:
        raise ValueError(
            f"curves: {curve.name} has {len(curve.log_x_N)} training points at different x; "
            f"give at least {MIN_POINTS} rows with split train, or drop the curve"
        )
    early_T = curve.test_x_T <= curve.last_x
    if early_T.any():
        raise ValueError(
            f"curves: {curve.name} has a test row at x = {curve.test_x_T[early_T][0]:g}, and training rows up to "
            f"{curve.last_x:g}; a forecast begins beyond the last training row, so drop that test row"
        )
    return curve


def _read_text(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"curves: {path} is no file; give a CSV or Parquet table with {', '.join(REQUIRED)}")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).astype(str)
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"curves: {path} is not a table ({reason}); write one row a point under a header") from error


def _positive(name: str, text: pd.Series) -> pd.Series:
    values = pd.to_numeric(text, errors="coerce").astype(float)
    _refuse(name, text, ~(np.isfinite(values) & (values > 0)), "give a finite number above zero or drop the row")
    return values


def _refuse(name: str, text: pd.Series, bad: pd.Series, remedy: str) -> None:
    if bad.any():
        row = bad.idxmax()
        raise ValueError(f"curves: {name} is {text[row]!r} in line {row + 2} ({bad.sum()} such rows); {remedy}")
