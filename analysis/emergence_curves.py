"""A table of scores as curves with names: an ability in a style where the table says so, else a task.

The table has the columns of emergence/table.py; `ability`, `style` and `kind` may be missing, `chance` may be empty.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.wording_emergence import METRICS

Row = Mapping[str, Any]
SAYS_ALONE = ("exact_match", "acc", "icl_score")  # metrics that say alone how good a model is
ASKED_OTHERWISE = r"_(?:generate|choice|sampled)$"  # the end of a task's name that asks the same items in another way


def with_curves(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `curve`, one task for every curve and metric.

    An ability's exact match is that of the likeliest answer; with steps it is that of the answer at the end of what a
    model writes, because the likeliest steps would have to be the expected ones word for word. Tasks of other items
    that share an ability and a style keep their own names.
    """
    names = table["task"].astype(str)
    if {"ability", "style"} <= set(table):
        style = table["style"].fillna("").astype(str)
        told = (table["ability"].astype(str) + " " + style).str.strip()
        items = table["task"].astype(str).str.replace(ASKED_OTHERWISE, "", regex=True)
        names = names.where(table["ability"].isna() | (items.groupby(told).transform("nunique") > 1), told)
    named = table.assign(curve=names)
    pairs = named[["curve", "metric", "task"]].drop_duplicates()
    judges_answers = (pairs["metric"] == "exact_match") & pairs["curve"].str.endswith(" steps")
    apart = pairs["task"].str.endswith("_generate") != judges_answers
    pairs = pairs.assign(apart=apart, length=pairs["task"].str.len()).sort_values(["apart", "length"], kind="stable")
    kept = pairs.drop_duplicates(["curve", "metric"])[["curve", "metric", "task"]]
    return named.merge(kept, on=["curve", "metric", "task"], how="inner")


def curves_of(table: pd.DataFrame, found: Mapping[str, Any]) -> list[str]:
    """The names in the table's order: of labelled curves, and of those with a metric of SAYS_ALONE."""
    curves, labelled = with_curves(table), {name for name, _ in labels_of(table, found)}
    kept = curves["curve"].isin(labelled) | curves["metric"].isin(SAYS_ALONE)
    return list(curves[kept]["curve"].unique())


def shown_metrics(table: pd.DataFrame, found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Of every curve the metrics to draw: of METRICS, in that order, and labelled ones where none of these is."""
    curves, labels, shown = with_curves(table), labels_of(table, found), {}
    for name in curves_of(table, found):
        present = curves.loc[curves["curve"] == name, "metric"].unique()
        known = [metric for metric in METRICS if metric in present]
        labelled = [metric for metric in present if (name, metric) in labels]
        shown[name] = known if set(known) & set(labelled) else known + labelled
    return shown


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
    return {curve: main[curve] for curve in curves_of(table, found) if curve in main}


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
