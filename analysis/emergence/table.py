"""The table of scores: a row is one run on one task by one metric."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

REQUIRED = ("task", "metric", "compute", "seed", "value", "num_items", "chance")
NAMES = ("task", "metric")
POSITIVE = ("compute", "params", "tokens", "loss")
AXES = ("params", "tokens", "loss")
OPTIONAL = (*AXES, "continuous", "run")


def read_scores(path: Path) -> pd.DataFrame:
    """Reads a CSV or Parquet table; see `scores_of`."""
    if not path.is_file():
        raise ValueError(f"scores: {path} is no file; give a CSV or Parquet table with {', '.join(REQUIRED)}")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, skipinitialspace=True)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"scores: {path} is not a table ({reason}); write one row a run and task") from error
    return scores_of(table, str(path))


def scores_of(table: pd.DataFrame, source: str = "the table") -> pd.DataFrame:
    """The columns that labels are made of, as numbers; `continuous` and the axes may be empty in a row.

    A value is a share of items or a mean of item scores, in [0, 1]; `continuous` is better the higher. Raises
    ValueError naming the field, the value, the line and the remedy.
    """
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise ValueError(f"scores: {source} lacks the column {', '.join(missing)}; it has {', '.join(map(str, table))}")
    if table.empty:
        raise ValueError(f"scores: {source} has no rows; write one row a run and task")
    columns = [*REQUIRED, *(name for name in OPTIONAL if name in table)]
    scores = table[columns].reset_index(drop=True)
    for name in NAMES:
        _refuse(scores, name, scores[name].isna(), "name it in every row")
    for name in [name for name in columns if name not in (*NAMES, "run", "seed")]:
        numbers = pd.to_numeric(scores[name], errors="coerce").astype(float)
        unusable = ~(numbers.abs() < np.inf) & (scores[name].notna() | (name in REQUIRED))
        _refuse(scores, name, unusable, "give a finite number or drop the row")
        scores = scores.assign(**{name: numbers})
    for name in (name for name in POSITIVE if name in scores):
        _refuse(scores, name, scores[name] <= 0, "give a number above zero or drop the row")
    _refuse(scores, "value", ~scores["value"].between(0, 1), "give a share of items in [0, 1], not per cent")
    _refuse(scores, "num_items", scores["num_items"] < 1, "give the number of items that the score is a mean of")
    _refuse(
        scores, "chance", ~((scores["chance"] >= 0) & (scores["chance"] < 1)), "give the score of guessing in [0, 1)"
    )
    _same_chance(scores)
    return scores.assign(num_items=scores["num_items"].round(), task=scores["task"].astype(str))


def _same_chance(scores: pd.DataFrame) -> None:
    for (task, metric), rows in scores.groupby(list(NAMES), sort=False):
        if rows["chance"].nunique() > 1:
            few, many = rows["chance"].min(), rows["chance"].max()
            raise ValueError(
                f"scores: chance of {task} {metric} is {few:g} and {many:g}; give one, or name two metrics"
            )


def _refuse(scores: pd.DataFrame, name: str, bad: "pd.Series[bool]", remedy: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        shown = scores[name].iloc[row]
        shown = repr(shown) if isinstance(shown, str) else f"{shown:g}" if pd.notna(shown) else "empty"
        raise ValueError(f"scores: {name} is {shown} in line {row + 2} ({int(bad.sum())} such rows); {remedy}")
