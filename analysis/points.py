"""The one tidy table: a row is one cooldown branch, the end of one training run."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

# A law needs these of anybody's table; the other columns are there when a sweep wrote it.
REQUIRED = ("size", "cell", "params", "tokens", "flops", "loss", "status")
# And these of a table of independent runs: see `complete`.
INDEPENDENT = ("params", "tokens", "loss")
POSITIVE = ("params", "tokens", "flops", "loss")


def read_points(path: Path | str) -> pd.DataFrame:
    """Read points.csv and keep its finished runs, ordered by size, cell and tokens.

    `attrs["num_dropped"]` counts the rows left out because their status is not "done". Raises ValueError naming the
    column, the row and the remedy when the table is missing, empty, lacks a column or holds an impossible number.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"points: {path} is no file; run the sweep first or give another path")
    try:
        points = pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"points: {path} is not a CSV table ({reason}); write one row a run under a header") from error
    points = complete(points)
    missing = [name for name in REQUIRED if name not in points]
    if missing:
        needed = REQUIRED if "cell" in points else INDEPENDENT
        missing = [name for name in needed if name not in points]
        raise ValueError(f"points: {path} lacks the column {', '.join(missing)}; it needs {', '.join(needed)}")
    done = points[points["status"] == "done"]
    num_dropped = len(points) - len(done)
    if done.empty:
        raise ValueError(f"points: {path} has {len(points)} rows and none has status done; finish the sweep first")
    done = validate_points(done)
    done.attrs["num_dropped"] = num_dropped
    return done


def complete(points: pd.DataFrame) -> pd.DataFrame:
    """A table of independent runs from elsewhere needs params, tokens and loss; the rest follows.

    FLOPs are 6ND, a size is a parameter count, every row is its own cell and every run is done.
    """
    if not set(INDEPENDENT) <= set(points) or "cell" in points:
        return points
    params, tokens = (pd.to_numeric(points[name], errors="coerce") for name in ("params", "tokens"))
    cells = [f"run-{row}" for row in points.index]
    derived = {"size": params, "cell": cells, "status": "done", "flops": 6.0 * params * tokens}
    return points.assign(**{name: value for name, value in derived.items() if name not in points})


def validate_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return the table ordered by size, cell and tokens, or raise ValueError for numbers no law can be fitted to."""
    for name in POSITIVE:
        values = pd.to_numeric(points[name], errors="coerce").to_numpy(dtype=float)
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            value = points[name].iloc[bad[0]]
            shown = repr(value) if isinstance(value, str) else value
            raise ValueError(
                f"points: {name} is {shown} in line {points.index[bad[0]] + 2} ({bad.size} such rows); "
                "give a finite number above zero or drop the row"
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
