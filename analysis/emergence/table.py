"""The table of scores: a row is one run on one task by one metric."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

REQUIRED = ("task", "metric", "compute", "seed", "value", "num_items", "chance")
NAMES = ("task", "metric")
POSITIVE = ("compute", "params", "tokens", "loss")
AXES = ("params", "tokens", "loss")
DESCRIBING = ("ability", "style", "kind")
OPTIONAL = (*AXES, "continuous", "run", *DESCRIBING)
TEXTS = (*NAMES, "run", "seed", *DESCRIBING)
OF_A_SHARE = ("value", "num_items", "chance")
NO_SHARES = ("brier", "choice_logprob", "icl_score")  # they have a chance and are no share of items


def read_scores(path: Path) -> pd.DataFrame:
    """Reads a CSV or Parquet table and refuses what `scores_of` refuses; metrics that it leaves out are there."""
    if not path.is_file():
        raise ValueError(f"scores: {path} is no file; give a CSV or Parquet table with {', '.join(REQUIRED)}")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, skipinitialspace=True)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"scores: {path} is not a table ({reason}); write one row a run and task") from error
    return _checked(table, str(path))


def scores_of(table: pd.DataFrame, source: str = "the table") -> pd.DataFrame:
    """The columns that labels and pages are made of, as numbers; `continuous` and the axes may be empty in a row.

    A value is a share of items or a mean of item scores, in [0, 1]; `continuous` is better the higher. Metrics of
    `left_out` are not in it. Raises ValueError naming the field, the value, the line and the remedy.
    """
    scores = _checked(table, source)
    return scores[~scores["metric"].isin(list(left_out(scores)))].reset_index(drop=True)


def left_out(table: pd.DataFrame) -> dict[str, int]:
    """Metrics that cannot be labelled and their rows: no share of items, or without a chance in every row."""
    counts = {
        str(metric): (len(rows), rows["chance"].isna().all()) for metric, rows in table.groupby("metric", sort=False)
    }
    return {metric: rows for metric, (rows, no_chance) in counts.items() if no_chance or metric in NO_SHARES}


def _checked(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """All rows; value, num_items and chance are checked where they are labelled, and empty where they are no number."""
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise ValueError(f"scores: {source} lacks the column {', '.join(missing)}; it has {', '.join(map(str, table))}")
    if table.empty:
        raise ValueError(f"scores: {source} has no rows; write one row a run and task")
    columns = [*REQUIRED, *(name for name in OPTIONAL if name in table)]
    scores = table[columns].reset_index(drop=True)
    for name in NAMES:
        _refuse(scores, name, scores[name].isna(), "name it in every row")
    scores = scores.assign(task=scores["task"].astype(str), metric=scores["metric"].astype(str))
    out = left_out(scores)
    judged = ~scores["metric"].isin(list(out))
    if not judged.any():
        raise ValueError(
            f"scores: {source} has no share of items with a chance: chance is empty in every row of {', '.join(out)}, "
            "or that is no share; give the score of guessing in [0, 1)"
        )
    for name in [name for name in columns if name not in TEXTS]:
        numbers = pd.to_numeric(scores[name], errors="coerce").astype(float)
        finite = numbers.abs() < np.inf
        unusable = ~finite & (scores[name].notna() | (name in REQUIRED)) & (judged | (name not in OF_A_SHARE))
        _refuse(scores, name, unusable, "give a finite number or drop the row")
        scores = scores.assign(**{name: numbers.where(finite)})
    for name in (name for name in POSITIVE if name in scores):
        _refuse(scores, name, scores[name] <= 0, "give a number above zero or drop the row")
    _check_shares(scores[judged])
    return scores.assign(num_items=scores["num_items"].round())


def _check_shares(scores: pd.DataFrame) -> None:
    """Value, number of items and chance of rows that are labelled."""
    _refuse(scores, "value", ~scores["value"].between(0, 1), "give a share of items in [0, 1], not per cent")
    _refuse(scores, "num_items", scores["num_items"] < 1, "give the number of items that the score is a mean of")
    _refuse(
        scores, "chance", ~((scores["chance"] >= 0) & (scores["chance"] < 1)), "give the score of guessing in [0, 1)"
    )
    for (task, metric), rows in scores.groupby(list(NAMES), sort=False):
        if rows["chance"].nunique() > 1:
            few, many = rows["chance"].min(), rows["chance"].max()
            raise ValueError(
                f"scores: chance of {task} {metric} is {few:g} and {many:g}; give one, or name two metrics"
            )


def _refuse(scores: pd.DataFrame, name: str, bad: "pd.Series[bool]", remedy: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        shown, line = scores[name].iloc[row], int(scores.index[row]) + 2
        shown = repr(shown) if isinstance(shown, str) else f"{shown:g}" if pd.notna(shown) else "empty"
        raise ValueError(f"scores: {name} is {shown} in line {line} ({int(bad.sum())} such rows); {remedy}")
