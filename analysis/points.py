"""The one tidy table: a row is one cooldown branch, the end of one training run."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import ArrowInvalid

# A law needs these of anybody's table; the other columns are there when a sweep wrote it.
REQUIRED = ("size", "cell", "params", "tokens", "flops", "loss", "status")
# And these of a table of independent runs: see `complete`.
INDEPENDENT = ("params", "tokens", "loss")
COUNTS = ("params", "tokens", "unique_tokens")
POSITIVE = ("params", "tokens", "flops", "loss", "unique_tokens")
# Fewer parameters or tokens than this nobody trains: the column is in thousands, millions or billions.
LEAST_COUNT = 100
SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
COUNT = re.compile(r"\s*([0-9][0-9,_]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\s*([kmbgt])\s*", re.IGNORECASE)


def read_points(path: Path | str, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read a table of runs (CSV or parquet) and keep the finished ones: see `points_of`."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"points: {path} is no file; run the sweep first or give another path")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, skipinitialspace=True)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, ArrowInvalid) as error:
        reason = " ".join(str(error).split())
        kind = "parquet" if path.suffix == ".parquet" else "CSV"
        raise ValueError(f"points: {path} is not a {kind} table ({reason}); write one row a run") from error
    return points_of(table, path, columns)


def points_of(table: pd.DataFrame, source: Path | str, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The finished runs of a table from `source`, ordered by size, cell and tokens.

    `columns` says what the table calls params, tokens and loss. `attrs["num_dropped"]` counts the rows left out because
    their status is not "done". Raises ValueError naming the column, the row and the remedy when the table is empty,
    lacks a column, repeats a row or holds an impossible number.
    """
    if table.empty:
        raise ValueError(f"points: {source} has no rows; write one row a run")
    points = complete(rename(table, columns or {}, source))
    missing = [name for name in REQUIRED if name not in points]
    if missing:
        needed = REQUIRED if "cell" in points else INDEPENDENT
        missing = [name for name in needed if name not in points]
        raise ValueError(
            f"points: {source} lacks the column {', '.join(missing)}; it has {', '.join(map(str, table))}: rename one, "
            "or name it with --params-col, --tokens-col or --loss-col"
        )
    if points.empty:
        raise ValueError(f"points: {source} has a header and no rows; write one row a run")
    done = points[points["status"] == "done"]
    num_dropped = len(points) - len(done)
    if done.empty:
        raise ValueError(
            f"points: {source} has {len(points)} rows and none has status done; finish the sweep first, or drop the "
            "column status"
        )
    done = validate_points(done)
    done.attrs["num_dropped"] = num_dropped
    return done


def rename(table: pd.DataFrame, columns: Mapping[str, str], source: Path | str) -> pd.DataFrame:
    """The table under our names; raises ValueError for a column that is not there."""
    for name, theirs in columns.items():
        if theirs not in table:
            raise ValueError(
                f"points: {source} has no column {theirs!r} for {name}; it has {', '.join(map(str, table))}: name one"
            )
    # What the table itself calls params makes way for the column that was named.
    taken = [name for name in columns if name in table and name not in columns.values()]
    return table.drop(columns=taken).rename(columns={theirs: name for name, theirs in columns.items()})


def complete(points: pd.DataFrame) -> pd.DataFrame:
    """A table of independent runs from elsewhere needs params, tokens and loss; the rest follows.

    Counts may be text such as 70M or 1.4B. FLOPs are 6ND, a size is a parameter count, every row is its own cell and
    every run is done. Raises ValueError for counts that look like billions, and for a row that is there twice.
    """
    if not set(INDEPENDENT) <= set(points):
        return points
    points = points.assign(**{name: spelled_out(points[name]) for name in COUNTS if name in points})
    if "cell" in points:
        return points
    params, tokens = (pd.to_numeric(points[name], errors="coerce") for name in ("params", "tokens"))
    for name, values in (("params", params), ("tokens", tokens)):
        if 0 < values.median() < LEAST_COUNT:
            raise ValueError(
                f"points: {name} has a median of {values.median():g}; write counts in full (1400000000) or as 1.4B"
            )
    twice = points.duplicated([*INDEPENDENT]) & points["loss"].notna()
    if twice.any():
        line = points.index[twice][0] + 2
        raise ValueError(f"points: line {line} repeats a run ({int(twice.sum())} such rows); drop the duplicates")
    cells = [f"run-{row}" for row in points.index]
    derived = {"size": params, "cell": cells, "status": "done", "flops": 6.0 * params * tokens}
    return points.assign(**{name: value for name, value in derived.items() if name not in points})


def spelled_out(values: pd.Series) -> pd.Series:
    """Numbers for text such as "1.4B" and "70 M"; everything else as it is, to be refused if it is no number."""
    if pd.api.types.is_numeric_dtype(values):
        return values

    def number(value: object) -> object:
        found = COUNT.fullmatch(value) if isinstance(value, str) else None
        return float(found[1].replace(",", "").replace("_", "")) * SUFFIXES[found[2].lower()] if found else value

    return values.map(number)


def validate_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return the table ordered by size, cell and tokens, or raise ValueError for numbers no law can be fitted to."""
    if "unique_tokens" in points:  # an empty entry: no token was seen twice
        points = points.assign(unique_tokens=points["unique_tokens"].fillna(points["tokens"]))
    for name in (name for name in POSITIVE if name in points):
        values = pd.to_numeric(points[name], errors="coerce").to_numpy(dtype=float)
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            value = points[name].iloc[bad[0]]
            shown = repr(value) if isinstance(value, str) else value
            number = "a finite number above zero" if name not in COUNTS else "a count such as 1400000000 or 1.4B"
            raise ValueError(
                f"points: {name} is {shown} in line {points.index[bad[0]] + 2} ({bad.size} such rows); "
                f"give {number} or drop the row"
            )
        if not pd.api.types.is_numeric_dtype(points[name]):
            points = points.assign(**{name: values})  # numbers that stood beside text in a row now dropped
    for name in ("size", "cell"):
        bad = np.flatnonzero(points[name].isna())
        if bad.size:
            raise ValueError(
                f"points: {name} is missing in line {points.index[bad[0]] + 2} ({bad.size} such rows); fill it in, or "
                "drop both size and cell where every row is an independent run"
            )
    for name in ("size", "params"):
        per_cell = points.groupby("cell")[name].nunique()
        if (per_cell > 1).any():
            raise ValueError(
                f"points: cell {per_cell.idxmax()!r} has more than one {name}; name each trained trunk apart"
            )
    twice = points.duplicated(["cell", "tokens"])
    if twice.any():
        row = points[twice].iloc[0]
        raise ValueError(f"points: cell {row['cell']!r} has two rows at {row['tokens']} tokens; drop the duplicate")
    return points.sort_values(["size", "cell", "tokens"], kind="stable").reset_index(drop=True)


def file_digest(path: Path | str) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
