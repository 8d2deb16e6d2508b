"""`fit` on a newcomer's table: the outcome is a law or one line that says what to do, never a traceback."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

QUICK = ("--bootstrap", "100")


def test_the_law_is_the_one_that_made_the_table(law, newcomers_law):
    low, high = law["exponents"]["a_ci95"]
    assert low < newcomers_law.a < high
    for name, value in newcomers_law.params.items():
        low, high = law["ci95"][name]
        assert low < value < high


def renamed(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"params": "N", "tokens": "D", "loss": "val_loss"})


def as_text(counts: pd.Series) -> list[str]:
    return [f"{count / 1e9:.9f}B" for count in counts]


def spelled_out(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(tokens=as_text(table["tokens"]), params=as_text(table["params"]))


def swapped(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"params": "tokens", "tokens": "params"})


def with_cells(table: pd.DataFrame) -> pd.DataFrame:
    cells = [f"run {row}" for row in table.index]
    flops = 6 * table["params"] * table["tokens"]
    return spelled_out(table.assign(cell=cells, size=table["params"], flops=flops, status="done"))


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        (renamed, ("--params-col", "N", "--tokens-col", "D", "--loss-col", "val_loss")),
        # A column of ours that is something else makes way for the one that was named.
        (lambda t: t.rename(columns={"loss": "val_loss"}).assign(loss=9.0), ("--loss-col", "val_loss")),
        (swapped, ("--params-col", "tokens", "--tokens-col", "params")),
        (spelled_out, ()),
        (with_cells, ()),
        (lambda t: t.assign(note="first, second", seed=0, loss_se=np.nan), ()),
    ],
)
def test_tables_that_say_the_same_give_the_same_law(change, arguments, table, newcomer, law):
    change(table).to_csv("runs.csv", index=False)
    found = newcomer.result("fit", "runs.csv", *QUICK, *arguments)
    assert found["params"] == pytest.approx(law["params"], rel=1e-5)
    assert found["num_points"] == 24


def test_parquet_is_read(table, newcomer, law):
    table.to_parquet("runs.parquet")
    assert newcomer.result("fit", "runs.parquet", *QUICK)["params"] == pytest.approx(law["params"])


def with_value(column: str, value: float | str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The table with another entry in line 5 of its file."""

    def changed(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[3, column] = value
        return table

    return changed


FORMS = {
    "other names": (
        renamed,
        "lacks the column params, tokens, loss; it has N, D, val_loss: rename one, or name it with",
    ),
    "twice": (lambda t: pd.concat([t, t.iloc[[2]]]), "line 26 repeats a run (1 such rows); drop the duplicates"),
    "billions": (lambda t: t.assign(tokens=t["tokens"] / 1e9), "write counts in full (1400000000) or as 1.4B"),
    "one size": (lambda t: t[t["params"] == t["params"].min()], "1 sizes cannot identify a law; train at least 3"),
    "three rows": (lambda t: t.iloc[[0, 7, 14]], "3 runs cannot identify 5 parameters; give at least 6"),
    "finished": (lambda t: t.assign(status="finished"), "none has status done; finish the sweep first, or drop the"),
    "flat": (lambda t: t.assign(loss=2.0), "do not identify alpha, beta of the law; widen the range of sizes"),
    "header": (lambda t: t.iloc[:0], "runs.csv has no rows; write one row a run"),
}
ENTRIES = {
    "nan": (with_value("loss", np.nan), "loss is nan in line 5 (1 such rows); give a finite number above zero or drop"),
    "infinite": (with_value("loss", np.inf), "loss is inf in line 5"),
    "zero": (with_value("loss", 0.0), "loss is 0.0 in line 5"),
    "negative": (with_value("loss", -2.5), "loss is -2.5 in line 5"),
    "negative tokens": (with_value("tokens", -1e9), "tokens is -1000000000.0 in line 5"),
    "words": (
        with_value("tokens", "20 billion"),
        "tokens is '20 billion' in line 5 (1 such rows); give a count such as",
    ),
    "no loss": (with_value("loss", "diverged"), "loss is 'diverged' in line 5 (1 such rows); give a finite number"),
}


@pytest.mark.parametrize(("change", "message"), [*FORMS.values(), *ENTRIES.values()], ids=[*FORMS, *ENTRIES])
def test_tables_without_a_law_are_refused(change, message, table, newcomer):
    change(table).to_csv("runs.csv", index=False)
    assert message in newcomer.refusal("fit", "runs.csv", *QUICK, "--json", "law.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a CSV table (No columns to parse from file); write one row a run"),
        (
            b"params;tokens;loss\n20000000;1000000000;3.9\n",
            "lacks the column params, tokens, loss; it has params;tokens",
        ),
        (b'"par\nams",tokens,loss\n20000000,1000000000,3.9\n', "lacks the column params; it has par ams, tokens, loss"),
        (b"params,tokens,loss\n1,2,3\n1,2,3,4,5\n", "is not a CSV table"),
        (np.random.default_rng(0).bytes(5000), "is not a CSV table"),
        (bytes(5000), "runs.csv"),
    ],
    ids=["empty", "semicolons", "a name of two lines", "ragged", "binary", "zeros"],
)
def test_files_without_a_table_are_refused(content, message, newcomer):
    (newcomer.path / "runs.csv").write_bytes(content)
    assert message in newcomer.refusal("fit", "runs.csv", *QUICK, "--json", "law.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.csv",), "nowhere.csv is no file; run the sweep first or give another path"),
        (("folder",), "folder is no file"),
        (("binary.parquet",), "binary.parquet is not a parquet table"),
        (("runs.csv", "--params-col", "N"), "runs.csv has no column 'N' for params; it has params, tokens, loss: name"),
        (("runs.csv", "--params-col", "tokens"), "runs.csv lacks the column tokens; it has params, tokens, loss"),
        (("runs.csv", "--delta", "0"), "--delta is 0.0: give a Huber threshold in (0, 1], usually 0.001"),
        (("runs.csv", "--delta", "nan"), "--delta is nan"),
        (("runs.csv", "--bootstrap", "3"), "--bootstrap is 3: give a whole number of at least 100"),
        (("runs.csv", "--drop-highest", "24"), "--drop-highest 24 of 24 runs: give 0 to 23"),
        (("runs.csv", "--drop-highest=-1"), "--drop-highest -1 of 24 runs"),
        (("runs.csv", "--drop-highest", "23"), "cannot identify a law; train at least 3"),
        (("runs.csv", "--law", "repeated"), "the law repeated reads unique_tokens, which the table lacks; add the"),
        (("--drop-highest", "2"), "name the table that --drop-highest"),
        (("--loss-col", "val_loss"), "name the table that --drop-highest"),
        ((), "params.yaml is not there"),
    ],
)
def test_arguments_without_a_law_are_refused(arguments, message, table, newcomer):
    table.to_csv("runs.csv", index=False)
    (newcomer.path / "binary.parquet").write_bytes(np.random.default_rng(0).bytes(5000))
    (newcomer.path / "folder").mkdir()
    assert message in newcomer.refusal("fit", *arguments)


def test_a_shell_sees_the_same_refusal(table, newcomer):
    with_value("loss", np.nan)(table).to_csv("runs.csv", index=False)
    done = newcomer.shell("fit", "runs.csv", "--json", "law.json")
    message = "scalelab: points: loss is nan in line 5 (1 such rows); give a finite number above zero or drop the row\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert [path.name for path in newcomer.path.iterdir()] == ["runs.csv"]


def test_unique_tokens_that_are_no_number_are_refused(table, newcomer):
    table.assign(unique_tokens="lots").to_csv("runs.csv", index=False)
    said = newcomer.refusal("fit", "runs.csv", "--law", "repeated")
    assert "unique_tokens is 'lots' in line 2 (24 such rows); give a count such as 1400000000 or 1.4B" in said


@pytest.mark.parametrize(("option", "choice"), [("--law", "interaction"), ("--estimator", "least-squares")])
def test_an_unknown_choice_lists_those_there_are(option, choice, table, newcomer):
    table.to_csv("runs.csv", index=False)
    code, out, err = newcomer.scalelab("fit", "runs.csv", option, "chinchilla")
    assert (code, out) == (2, "")
    assert "'chinchilla' is not one of" in err
    assert choice in err
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--json", "--html"])
@pytest.mark.parametrize("place", ["folder", "runs.csv/law.json", "/proc/nowhere/law.json"])
def test_a_law_that_cannot_be_written_is_on_the_screen_all_the_same(option, place, table, newcomer):
    table.to_csv("runs.csv", index=False)
    (newcomer.path / "folder").mkdir()
    code, out, err = newcomer.scalelab("fit", "runs.csv", *QUICK, option, place)
    assert code == 2
    assert "alpha" in out
    assert err.startswith(f"scalelab: {option} {place} cannot be written")
    assert err.endswith("name another file\n")
    assert {path.name for path in newcomer.path.rglob("*")} == {"runs.csv", "folder"}


def test_only_json_is_printed_when_asked(law_path, newcomer):
    fitted = newcomer.shell("fit", str(law_path.parent / "runs.csv"), *QUICK, "--json", "-")
    asked = newcomer.shell("forecast", str(law_path), "--flops", "1e22", "--json", "-")
    for done in (fitted, asked):
        assert (done.returncode, done.stderr) == (0, "")
        assert isinstance(json.loads(done.stdout), dict)
    assert list(newcomer.path.iterdir()) == []
