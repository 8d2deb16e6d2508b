import hashlib

import numpy as np
import pytest

from analysis.points import file_digest, read_points, validate_points


def test_unfinished_runs_are_dropped_and_counted(sweep, tmp_path):
    table = sweep.copy()
    table.loc[3, ["status", "loss"]] = ["diverged", np.nan]
    table.loc[5, "status"] = "failed"
    table.to_csv(tmp_path / "points.csv", index=False)
    points = read_points(tmp_path / "points.csv")
    assert len(points) == len(sweep) - 2
    assert points.attrs["num_dropped"] == 2
    assert set(points["status"]) == {"done"}


def test_table_survives_the_file(sweep, tmp_path):
    sweep.sample(frac=1, random_state=1).to_csv(tmp_path / "points.csv", index=False)
    points = read_points(tmp_path / "points.csv")
    assert points["cell"].tolist() == sweep["cell"].tolist()
    np.testing.assert_allclose(points["loss"], sweep["loss"], rtol=1e-14)


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, np.inf])
@pytest.mark.parametrize("column", ["params", "tokens", "flops", "loss"])
def test_impossible_numbers_are_named(sweep, column, value):
    table = sweep.astype({column: float})
    table.loc[4, column] = value
    with pytest.raises(ValueError, match=f"points: {column} is .* line 6 .*drop the row"):
        validate_points(table)


def test_text_where_a_number_belongs_is_named(sweep):
    table = sweep.astype({"loss": object})
    table.loc[4, "loss"] = "oops"
    with pytest.raises(ValueError, match="loss is 'oops' in line 6"):
        validate_points(table)


@pytest.mark.parametrize("column", ["size", "cell"])
def test_a_row_without_its_cell_is_named(sweep, column):
    table = sweep.astype({column: object})
    table.loc[4, column] = np.nan
    with pytest.raises(ValueError, match=f"{column} is missing in line 6"):
        validate_points(table)


def test_a_run_must_not_occur_twice(sweep):
    table = sweep.copy()
    table.loc[1, "tokens"] = table.loc[0, "tokens"]
    with pytest.raises(ValueError, match="two rows at 1000000 tokens"):
        validate_points(table)


def test_a_cell_has_one_size(sweep):
    table = sweep.assign(cell="same", tokens=np.arange(1, len(sweep) + 1))
    with pytest.raises(ValueError, match="more than one size"):
        validate_points(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "not a CSV table"), ("size,cell\n1,a\n", "lacks the column params, tokens, flops, loss, status")],
)
def test_a_table_that_is_none(tmp_path, text, message):
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_points(tmp_path / "points.csv")


def test_nothing_finished_and_nothing_there(sweep, tmp_path):
    sweep.assign(status="failed").to_csv(tmp_path / "points.csv", index=False)
    with pytest.raises(ValueError, match="none has status done"):
        read_points(tmp_path / "points.csv")
    with pytest.raises(ValueError, match="is no file"):
        read_points(tmp_path / "nowhere.csv")


def test_whole_numbers_of_real_models_do_not_overflow(tmp_path):
    (tmp_path / "runs.csv").write_text("params,tokens,loss\n1000000000,20000000000,2.6\n400000000,8000000000,2.9\n")
    assert read_points(tmp_path / "runs.csv")["flops"].tolist() == [1.92e19, 1.2e20]


def test_digest_is_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"law")
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"law").hexdigest()
