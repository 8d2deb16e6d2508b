"""What inference costs in quality, who is accepted, what multiplies and what load does: parts of pages_inference.py."""

from collections.abc import Mapping
from typing import Any

from analysis.figures_serving import (
    CONTRASTS,
    acceptance_against_size,
    distilled,
    divergence_against_size,
    load,
    loaded_row,
    products,
)
from analysis.page import Section
from analysis.wording import plain_between, si
from analysis.wording_inference import (
    VERDICTS,
    axis_name,
    check_text,
    checks_of,
    coefficient_text,
    factor,
    law_text,
    residual_text,
    setting_text,
    size_text,
)

Table = Mapping[str, Any]


def acceptance_section(table: Table) -> list[Section]:
    """Acceptance against the drafter's size and how it was made."""
    figure = acceptance_against_size(table)
    if figure is None:
        return []
    rows = []
    for law in table["laws"]:
        if law["law"] == "acceptance":
            told, of = law["coefficients"] or {}, (law["suite"] or "-", law["rate"])
            rows += [(*of, axis_name(name), coefficient_text(entry)) for name, entry in told.items()]
            rows += [(*of, axis_name(name), why) for name, why in law["dropped"].items()]
            rows += [(*of, "law", law["reason"])] if law["reason"] else []
    note = (
        f"Of {len(table['acceptance'])} pairs of a target and a drafter. On the logit scale a constant at equal size, "
        "a slope by the logarithm of the drafter's share and an offset a way of distillation, a suite each; in "
        "brackets 95% intervals that leave out whole members."
    )
    header = ("suite", "rate", "coefficient", "estimate")
    return [Section("How often a drafter is accepted", note, figure, header, rows)]


def divergence_section(table: Table) -> list[Section]:
    """Divergence of lossy techniques against parameters and tokens."""
    figure = divergence_against_size(table)
    if figure is None:
        return []
    rows = [
        (law["technique"], law_text(law), residual_text(law)) for law in table["laws"] if law["law"] == "quality-pooled"
    ]
    branches = {row["model"] for row in table["precision"]}
    note = (
        f"{len(branches)} branches. ln KL = constant + b ln N + c ln D around the means of ln N and ln D, "
        "with 95% intervals that leave out whole members."
    )
    header = ("technique", "law of ln KL", "residual")
    return [Section("What lossy techniques cost, by size and data", note, figure, header, rows)]


def composition_section(table: Table) -> list[Section]:
    """Whether two gains multiply."""
    rows = [
        (f"{row['first']} with {row['second']}", f"{si(row['params'])} parameters, {setting_text(row)}",
         f"{factor(row.get('ratio_first'))} x {factor(row.get('ratio_second'))} = {factor(row.get('product'))}",
         factor(row.get("ratio_both")), factor(row.get("synergy"), row.get("synergy_ci95")),
         VERDICTS[row["verdict"]], row["reason"] or "; ".join(map(check_text, checks_of(row))))
        for row in table.get("compositions") or []
    ]  # fmt: skip
    if not rows:
        return []
    note = (
        "The product: the whole interval of measured over product lies within what the control cannot tell from 1. "
        "More, less: the interval leaves out 1 and the figure is beyond that. Else the turns do not decide."
    )
    header = ("both", "cell", "product", "measured", "measured / product", "verdict", "check or reason")
    return [Section("Do two gains multiply?", note, products(table), header, rows)]


def load_section(table: Table) -> list[Section]:
    """Throughput and latency of serving policies by arrival rate."""
    drawn = loaded_row(table)
    if drawn is None:
        return []
    rows = [
        (size_text(row), setting_text(row), entry["policy"], f"{entry['load']:.3g}",
         f"{entry['requests_per_second']:.3g}", f"{entry['tokens_per_second']:.4g}",
         percentiles(entry["seconds_to_first_token"]), percentiles(entry["seconds_per_token"]))
        for row in table["rows"] if row["status"] == "ok"
        for entry in row.get("load") or []
    ]  # fmt: skip
    note = (
        f"Requests that arrive as a Poisson process, in the figure at {drawn['model']} ({size_text(drawn)}) with at "
        f"most {drawn['batch']} at a time: solid lines are medians, dotted ones 95th percentiles. The load is requests "
        "a second over what one after another can bear. A static batch ends with its longest request, and another "
        "begins then; a continuous one takes a request up as soon as a row is free. One run of arrivals each."
    )
    header = (
        "parameters", "setting", "policy", "load", "requests/s", "tokens/s", "first token, s (p50, p95)",
        "token, s (p50, p95)",
    )  # fmt: skip
    return [Section("Under load", note, load(table), header, rows)]


def percentiles(seconds: Mapping[str, float]) -> str:
    """Median and 95th percentile; a dash where no request had any."""
    return ", ".join(f"{seconds[level]:.3g}" for level in ("p50", "p95")) if seconds else "-"


def distillation_section(table: Table) -> list[Section]:
    """Small members made from large ones, against training on data alone."""
    found = table.get("distillation")
    if not found:
        return []
    rows = [
        (row["way"], str(row["size"]), besides(found, row), *(change(row[name]) for name, _ in CONTRASTS))
        for row in found["contrasts"]
    ]
    seeds = len({row["seed"] for row in found["rows"]})
    note = (
        f"{len(found['rows'])} students over {seeds} seeds, each way against training on data alone with as many "
        f"optimiser steps; what a teacher's samples or logits cost comes on top of the student's FLOPs. "
        f"{found['how']}. A lower loss and a higher score and acceptance are gains."
    )
    header = ("way", "width", "FLOPs besides the student's", *(title for _, title in CONTRASTS))
    return [Section("Small members distilled from large ones", note, distilled(table), header, rows)]


def besides(found: Table, contrast: Mapping[str, Any]) -> str:
    """What sampling and a teacher's logits cost the students of a way and size, over what their own training did."""
    own = [row for row in found["rows"] if (row["way"], row["size"]) == (contrast["way"], contrast["size"])]
    return f"{sum(row['sampling_flops'] + row['judging_flops'] for row in own) / sum(row['flops'] for row in own):+.0%}"


def change(contrast: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    return f"{contrast['difference']:+.3g} ({plain_between(contrast['ci95'])})"
