"""`scalelab extrapolate`: what it writes, what it says, what it refuses, and what it never reads."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from experiments.curves import forecast_table

HEADER = "domain,task,model,x,y,split"


def curve_rows(model: str = "a", num: int = 12, floor: float = 0.2) -> list[str]:
    """A power law with a floor; its two test rows have no y."""
    rows = [f"D,T,{model},{2.0**k},{floor + 2.0 ** (-k / 3)},train" for k in range(num)]
    return [*rows, f"D,T,{model},{2.0 ** (num - 0.5)},,test", f"D,T,{model},{2.0**num},,test"]


def test_y_of_test_rows_is_never_read(tmp_path: Path) -> None:
    """Garbage in its place changes no bit of what is written."""
    results = []
    for number, y in enumerate(["", "garbage", "-7e9", "nan"]):
        rows = [row.replace(",,test", f",{y},test") for row in (*curve_rows("a"), *curve_rows("b", num=9))]
        path = tmp_path / str(number) / "curves.csv"
        path.parent.mkdir()
        path.write_text("\n".join([HEADER, *rows]))
        told, predicted = forecast_table(path)
        for curve in told["curves"]:
            del curve["cpu_seconds"]
        results.append((told["curves"], predicted))
    for told, predicted in results[1:]:
        assert told == results[0][0]
        pd.testing.assert_frame_equal(predicted, results[0][1], check_exact=True)


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = curve_rows("a")
    (tmp_path / "up.csv").write_text("\n".join([HEADER, *rows]))
    (tmp_path / "down.csv").write_text("\n".join([HEADER, *rows[::-1]]))
    (_, up), (_, down) = forecast_table(tmp_path / "up.csv"), forecast_table(tmp_path / "down.csv")
    pd.testing.assert_frame_equal(up, down[::-1].set_index(up.index), check_exact=True)


@pytest.fixture
def scalelab(tmp_path: Path, root: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """The real command line in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "160"}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "experiments", "extrapolate", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_files_and_screen(tmp_path: Path, scalelab: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    (tmp_path / "curves.csv").write_text("\n".join([HEADER, *curve_rows("a"), *curve_rows("b", floor=0.1)]))
    done = scalelab("curves.csv", "--json", "out.json", "--csv", "pred.csv")
    assert done.returncode == 0, done.stderr
    assert "D T a" in done.stdout
    with (tmp_path / "pred.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["a", "a", "b", "b"]
    assert list(rows[0]) == ["domain", "task", "model", "x", "yhat", "lo95", "hi95"]
    assert all(float(row["lo95"]) < float(row["yhat"]) < float(row["hi95"]) for row in rows)
    assert float(rows[1]["yhat"]) == pytest.approx(0.2 + 2.0**-4, rel=0.02)
    told = json.loads((tmp_path / "out.json").read_text())
    (first, _) = told["curves"]
    assert sum(candidate["weight"] for candidate in first["candidates"]) == pytest.approx(1)
    assert first["farthest"]["yhat"] == pytest.approx(float(rows[1]["yhat"]))
    m2 = next(candidate for candidate in first["candidates"] if candidate["name"] == "M2")
    assert m2["exponent"] == pytest.approx(1 / 3, abs=0.02)
    assert m2["limit"] == pytest.approx(0.2, abs=0.02)
    printed = scalelab("curves.csv", "--json", "-")
    same = json.loads(printed.stdout)
    for curve in (*told["curves"], *same["curves"]):
        assert 0 < curve.pop("cpu_seconds") < 1
    assert same == told


def test_refusals_on_the_command_line(
    tmp_path: Path, scalelab: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    """One line, exit code 2, and nothing written."""
    (tmp_path / "good.csv").write_text("\n".join([HEADER, *curve_rows()]))
    (tmp_path / "bad.csv").write_text("\n".join([HEADER, *curve_rows()[:3], *curve_rows()[-2:]]))
    (tmp_path / "bad.parquet").write_text("not parquet")
    (tmp_path / "folder").mkdir()
    for message, arguments in {
        "none.csv is no file": ("none.csv", "--json", "out.json"),
        "3 training points": ("bad.csv", "--json", "out.json", "--csv", "pred.csv"),
        "bad.parquet is not a table": ("bad.parquet", "--csv", "pred.csv"),
        "--csv folder is a directory": ("good.csv", "--json", "out.json", "--csv", "folder"),
        "--json folder is a directory": ("good.csv", "--json", "folder", "--csv", "pred.csv"),
    }.items():
        before = sorted(tmp_path.rglob("*"))
        done = scalelab(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("scalelab: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr
        assert sorted(tmp_path.rglob("*")) == before
