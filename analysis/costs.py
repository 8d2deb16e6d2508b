"""What everything cost, as far as the results say: tokens, FLOPs and core-seconds by size and by suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.page import Section
from analysis.wording import si

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Cost:
    """Of one piece of work; None is what the results do not say."""

    what: str
    cells: int | None
    runs: int
    tokens: float | None
    flops: float | None
    seconds: float | None


def cost_sections(
    suites: Mapping[str, pd.DataFrame],
    scores: pd.DataFrame | None = None,
    inference: Table | None = None,
    longcontext: Table | None = None,
) -> list[Section]:
    """Every piece of work in a line, then each suite whose table says seconds by size."""
    found = [total(f"training: {name}", points) for name, points in suites.items()]
    found += [scored_runs(scores)] if scores is not None else []
    found += inference_costs(inference) if inference else []
    found += longcontext_costs(longcontext) if longcontext else []
    if not found:
        return []
    rows = [(one.what, si(one.cells), si(one.runs), si(one.tokens), si(one.flops), si(one.seconds)) for one in found]
    note = (
        "A dash is what the results do not say. Of inference the seconds are those of the timed turns alone; of long "
        "contexts, of the calls that a way made, without gates."
    )
    header = ("work", "cells", "runs or rows", "tokens", "FLOPs", "core-seconds")
    sections = [Section("All of it", note, None, header, rows)]
    for name, points in suites.items():
        header = ("size", "parameters", "cells", "runs", "tokens", "FLOPs", "core-seconds", "tokens/s")
        sizes = [
            (str(row["size"]), si(row["params"]), str(row["num_cells"]), str(row["num_runs"]),
             *(si(row[key]) for key in ("tokens", "flops", "seconds", "tokens_per_second")))
            for row in cost_table(points)
        ]  # fmt: skip
        note = "All cells of a size together. The branches of a cell share its trunk, which counts once."
        sections.append(Section(f"Training by size: {name}", note, None, header, sizes))
    return sections


def total(what: str, points: pd.DataFrame) -> Cost:
    """All sizes of a suite together."""
    rows = cost_table(points)
    tokens, flops, seconds = (
        None if any(row[key] is None for row in rows) else sum(row[key] for row in rows)
        for key in ("tokens", "flops", "seconds")
    )
    return Cost(what, points["cell"].nunique(), len(points), tokens, flops, seconds)


def cost_table(points: pd.DataFrame) -> list[dict[str, Any]]:
    """Per size: cells, runs, parameters, and the tokens, FLOPs and seconds that all of them took.

    A run's seconds and speed are those of its own cooldown and of its piece of the trunk, so that a trunk counts once.
    What the table does not say comes out as None.
    """
    rows = []
    for size, runs in points.groupby("size"):
        seconds = tokens = flops = None
        if {"seconds", "tokens_per_second"} <= set(runs):
            trained = runs["seconds"] * runs["tokens_per_second"]
            seconds, tokens = float(runs["seconds"].sum()), float(trained.sum())
            flops = float((trained * runs["flops"] / runs["tokens"]).sum())
        rows.append(
            {
                "size": size,
                "params": int(runs["params"].iloc[0]),
                "num_cells": runs["cell"].nunique(),
                "num_runs": len(runs),
                "tokens": tokens,
                "flops": flops,
                "seconds": seconds,
                "tokens_per_second": tokens / seconds if tokens and seconds else None,
            }
        )
    return rows


def scored_runs(scores: pd.DataFrame) -> Cost:
    """The runs behind a table of scores, each trained by itself."""
    runs = scores.drop_duplicates(["run", "compute"])
    return Cost(
        "training: emergence", runs["run"].nunique(), len(runs), float(runs["tokens"].sum()),
        float(runs["compute"].sum()), None,
    )  # fmt: skip


def inference_costs(table: Table) -> list[Cost]:
    """The timed turns of all rows, and the students of distillation."""
    timed = [row for row in table["rows"] if row.get("seconds")]
    seconds = sum(sum(side) for row in timed for side in row["seconds"].values())
    found = [Cost("inference: timed turns", None, len(timed), None, None, seconds)]
    if table.get("distillation"):
        rows = table["distillation"]["rows"]
        flops = sum(row["flops"] + row["sampling_flops"] + row["judging_flops"] for row in rows)
        tokens = sum(row["tokens"] for row in rows)
        found.append(Cost("inference: distillation", None, len(rows), tokens, flops, None))
    return found


def longcontext_costs(table: Table) -> list[Cost]:
    """Training of the model, and all items of all rows."""
    model, rows = table["model"], table["rows"]
    asked: Sequence[float] = [sum(row[key] * row["num_items"] for row in rows) for key in ("tokens", "seconds")]
    return [
        Cost("training: policy", 1, 1, model["trained_tokens"], None, None),
        Cost("long contexts: asking", None, len(rows), asked[0], None, asked[1]),
    ]
