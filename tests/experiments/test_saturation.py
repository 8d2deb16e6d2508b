"""`scalelab saturation` on a newcomer's table: what it says, and what it says of tables that cannot be used."""

import numpy as np
import pandas as pd
import pytest

from analysis.laws import LAWS, Fitted

QUICK = ("--bootstrap", "100")
TOKENS = np.geomspace(1e7, 1e10, 8)


def runs(seed: int = 0) -> pd.DataFrame:
    """Independent runs of three sizes, each with a floor."""
    rng = np.random.default_rng(seed)
    tables = []
    for num_params in (1e5, 4e5, 1.6e6):
        truth = Fitted.of(LAWS["fixed-n"], {"B": 3e3 * (num_params / 1e5) ** 0.2, "E": 2.0, "beta": 0.5})
        loss = truth.loss(num_params, TOKENS) * np.exp(0.001 * rng.standard_normal(len(TOKENS)))
        tables.append(pd.DataFrame({"N": num_params, "D": TOKENS, "val_loss": loss}))
    return pd.concat(tables, ignore_index=True)


COLUMNS = ("--params-col", "N", "--tokens-col", "D", "--loss-col", "val_loss")


def test_a_newcomers_runs_say_where_each_size_ends(newcomer):
    runs().to_csv("runs.csv", index=False)
    found = newcomer.result("saturation", "runs.csv", *COLUMNS, *QUICK)
    assert [size["params"] for size in found["sizes"]] == [1e5, 4e5, 1.6e6]
    assert set(found["inputs"]) == {"runs.csv"}
    for size in found["sizes"]:
        factor = 3e3 * (size["params"] / 1e5) ** 0.2
        assert (size["data"], size["unique_tokens"]) == ("fresh", None)
        assert sum(size["models"].values()) == pytest.approx(1)
        first = size["d_sat"][0]
        expected = (factor * (0.5 - 0.05) / (0.05 * 2.0)) ** 2
        assert first["reached"]
        assert first["ci95"][0] < expected < first["ci95"][1]
    (law, *_) = found["law"]
    assert law["eps"] == 0.05
    assert law["ci95"]["p"][0] < 0.4 < law["ci95"]["p"][1]  # D_sat ~ B^(1 / beta)


def test_the_screen_and_the_page_say_the_same(newcomer):
    runs().to_csv("runs.csv", index=False)
    code, said, _ = newcomer.scalelab("saturation", "runs.csv", *COLUMNS, *QUICK, "--html", "page.html")
    assert code == 0
    assert "a floor" in said
    assert "D_sat ~ N^0." in said
    page = (newcomer.path / "page.html").read_text()
    assert "When does a size stop improving?" in page
    assert "a floor" in page
    assert "doubling the data then lowers the loss by less than 3.4% at eps 0.05, 2.1% at eps 0.03" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[t["D"] < 1e8], "points: 3 token counts cannot tell three forms of curve apart; train 6 or more"),
        (lambda t: t.drop(columns="N"), "has no column 'N' for params"),
        (lambda t: t.assign(val_loss=-1.0), "loss is -1.0 in line 2"),
        (lambda t: t.assign(unique_tokens="many"), "unique_tokens is 'many' in line 2"),
        (lambda t: t.assign(unique_tokens=0), "unique_tokens is 0 in line 2"),
    ],
)
def test_what_cannot_be_used_is_one_line(change, message, newcomer):
    change(runs()).to_csv("runs.csv", index=False)
    assert message in newcomer.refusal("saturation", "runs.csv", *COLUMNS, *QUICK)


def test_columns_without_a_table_are_refused(newcomer):
    assert "name the table" in newcomer.refusal("saturation", "--loss-col", "val_loss")
