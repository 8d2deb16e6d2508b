"""A table of scores as curves with names: an ability in a style where the table says so, else a task.

The table has the columns of emergence/table.py; `ability`, `style` and `kind` may be missing, `chance` may be empty.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.wording_emergence import METRICS

Row = Mapping[str, Any]


def with_curves(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `curve`, one task for every curve and metric.

    An ability's exact match is that of the likeliest answer; with steps it is that of the answer at the end of what a
    model writes, because the likeliest steps would have to be the expected ones word for word.
    """
    names = table["task"].astype(str)
    if {"ability", "style"} <= set(table):
        style = table["style"].fillna("").astype(str)
        names = names.where(table["ability"].isna(), (table["ability"].astype(str) + " " + style).str.strip())
    named = table.assign(curve=names)
    pairs = named[["curve", "metric", "task"]].drop_duplicates()
    judges_answers = (pairs["metric"] == "exact_match") & pairs["curve"].str.endswith(" steps")
    apart = pairs["task"].str.endswith("_generate") != judges_answers
    pairs = pairs.assign(apart=apart, length=pairs["task"].str.len()).sort_values(["apart", "length"], kind="stable")
    kept = pairs.drop_duplicates(["curve", "metric"])[["curve", "metric", "task"]]
    return named.merge(kept, on=["curve", "metric", "task"], how="inner")


def shown_metrics(curves: pd.DataFrame) -> list[str]:
    """The metrics of METRICS that the table has, in that order; all of them where it has none of these."""
    present = [metric for metric in METRICS if (curves["metric"] == metric).any()]
    return present or list(curves["metric"].unique())


def curves_of(table: pd.DataFrame) -> list[str]:
    """The names in the table's order; of ours those with a metric that says alone how good a model is."""
    curves = with_curves(table)
    ours = curves[curves["metric"].isin(["exact_match", "acc", "icl_score"])]
    return list((curves if ours.empty else ours)["curve"].unique())


def labels_of(table: pd.DataFrame, found: Mapping[str, Any]) -> dict[tuple[str, str], Row]:
    """Rows of emergence.json by curve and metric."""
    curves = with_curves(table)[["curve", "task", "metric"]].drop_duplicates()
    rows = {(row["task"], row["metric"]): row for row in found["rows"]}
    keys = curves.itertuples(index=False)
    return {(str(c), str(m)): rows[t, m] for c, t, m in keys if (t, m) in rows}


def main_rows(table: pd.DataFrame, found: Mapping[str, Any]) -> dict[str, Row]:
    """One labelled row a curve: of exact match, else of accuracy, else of what the table has first."""
    labels = labels_of(table, found)
    ranked = ["exact_match", "acc", *dict.fromkeys(metric for _, metric in labels)]
    main: dict[str, Row] = {}
    for curve, metric in sorted(labels, key=lambda key: ranked.index(key[1])):
        main.setdefault(curve, labels[curve, metric])
    return {curve: main[curve] for curve in curves_of(table) if curve in main}


def steps_minus_direct(table: pd.DataFrame, metric: str = "exact_match") -> pd.DataFrame:
    """What writing the steps gains over answering at once, a row a run: ability, compute, run or seed, difference."""
    if not {"ability", "style"} <= set(table):
        return pd.DataFrame(columns=["ability", "compute", "run", "difference"])
    curves = with_curves(table)
    rows = curves[curves["metric"] == metric]
    key = "run" if "run" in rows else "seed"
    wide = rows.pivot_table(index=["ability", "compute", key], columns="style", values="value")
    if not {"steps", "direct"} <= set(wide):
        return pd.DataFrame(columns=["ability", "compute", "run", "difference"])
    gain = (wide["steps"] - wide["direct"]).dropna().rename("difference")
    return gain.reset_index().rename(columns={key: "run"})


def at_largest_scale(gains: pd.DataFrame) -> dict[str, Sequence[float]]:
    """By ability the mean, the least and the greatest difference over the runs of most compute."""
    found = {}
    for ability, rows in gains.groupby("ability", sort=False):
        largest = rows.loc[rows["compute"] == rows["compute"].max(), "difference"]
        found[str(ability)] = (float(largest.mean()), float(largest.min()), float(largest.max()))
    return found
