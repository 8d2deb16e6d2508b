"""A table of curves is read whole or refused in one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.curves.table import read_curves

HEADER = "domain,task,model,x,y,split"


def curve_rows(model: str = "a", num: int = 12, floor: float = 0.2) -> list[str]:
    """A power law with a floor; its two test rows have no y."""
    rows = [f"D,T,{model},{2.0**k},{floor + 2.0 ** (-k / 3)},train" for k in range(num)]
    return [*rows, f"D,T,{model},{2.0 ** (num - 0.5)},,test", f"D,T,{model},{2.0**num},,test"]


def test_parquet_and_a_table_without_names(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": 2.0 ** np.arange(8), "y": 0.2 + 2.0 ** -np.arange(8), "split": ["train"] * 7 + ["test"]})
    table.to_parquet(tmp_path / "curves.parquet")
    table.to_csv(tmp_path / "curves.csv", index=False)
    (binary,), (text,) = read_curves(tmp_path / "curves.parquet"), read_curves(tmp_path / "curves.csv")
    assert binary.keys == text.keys == {}
    assert (binary.log_y_N == text.log_y_N).all()
    assert len(binary.log_x_N) == 7


def test_points_at_one_x_are_averaged(tmp_path: Path) -> None:
    rows = curve_rows("a", num=6)
    twice = [rows[0].replace("1.2", "1.8"), rows[0].replace("1.2", "0.8")]
    (tmp_path / "a.csv").write_text("\n".join([HEADER, *twice, *rows[1:]]))
    (curve,) = read_curves(tmp_path / "a.csv")
    assert len(curve.log_x_N) == 6
    assert curve.log_y_N[0] == pytest.approx(np.log(1.8 * 0.8) / 2)


BAD = {
    "lacks the column split": lambda rows: [row.rpartition(",")[0] for row in [HEADER, *rows]],
    "x is 'many' in line 2 (1 such rows); give a finite number above zero": lambda rows: [
        HEADER,
        rows[0].replace(",1.0,", ",many,"),
        *rows[1:],
    ],
    "x is '-1.0' in line 2": lambda rows: [HEADER, rows[0].replace(",1.0,", ",-1.0,"), *rows[1:]],
    "y is '0' in line 2": lambda rows: [HEADER, rows[0].replace(",1.2,", ",0,"), *rows[1:]],
    "y is '' in line 2": lambda rows: [HEADER, rows[0].replace(",1.2,", ",,"), *rows[1:]],
    "split is 'valid' in line 2": lambda rows: [HEADER, rows[0].replace("train", "valid"), *rows[1:]],
    "model is '' in line 2": lambda rows: [HEADER, rows[0].replace(",a,", ",,"), *rows[1:]],
    "D T a has 3 training points at different x; give at least 4": lambda rows: [HEADER, *rows[:3], *rows[-2:]],
    "D T a has 0 training points": lambda rows: [HEADER, *rows[-2:]],
    "has no row with split test": lambda rows: [HEADER, *rows[:-2]],
    "D T a has a test row at x = 1 and training rows up to 2048": lambda rows: [HEADER, *rows, "D,T,a,1.0,,test"],
    "is not a table (No columns to parse from file)": lambda rows: [],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_tables_are_refused(tmp_path: Path, message: str) -> None:
    (tmp_path / "curves.csv").write_text("\n".join(BAD[message](curve_rows())))
    with pytest.raises(ValueError) as refused:
        read_curves(tmp_path / "curves.csv")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
