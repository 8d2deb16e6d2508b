"""Saturation on a page: a table of D_sat and its figures, for `--html` and for the report."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.figures_saturation import FIGURES
from analysis.page import Section
from analysis.wording import curve_name, data_name, doubling_gain, saturation_law, saturation_tokens, si, si_between

QUESTION = "When does a size stop improving?"


def saturation_page(points: pd.DataFrame, found: Mapping[str, Any]) -> tuple[str, list[Section]]:
    """What `scalelab saturation --html` writes of a table of runs and what was found in it."""
    return QUESTION, saturation_sections(points, found)


def saturation_sections(points: pd.DataFrame, found: Mapping[str, Any]) -> list[Section]:
    """D_sat of every size and kind of data, then curves, elasticities, and D_sat against size."""
    rows = []
    for size in found["sizes"]:
        told = [f"{saturation_tokens(entry, size)} ({si_between(entry['ci95'])})" for entry in size["d_sat"]]
        longest = f"{si(size['longest_tokens'])} ({si(size['longest_tokens'] / size['params'])} a parameter)"
        rows.append((f"{size['params']:,.0f}", data_name(size), longest, curve_name(size), *told))
    gains = ", ".join(f"{doubling_gain(eps)} at eps {eps:g}" for eps in found["eps"])
    note = (
        "D_sat is the number of tokens from which the elasticity of the loss, -d ln L / d ln D, stays below eps: "
        f"doubling the data then lowers the loss by less than {gains}. In brackets are 95% intervals of "
        f"{found['bootstrap']['draws']} draws, each of which chose its form again; > means that the longest run had "
        "not reached it, < that the shortest had. Three forms are weighed by their evidence: no end (a power law), a "
        "floor, or stops; one is undecided where its weight is not decisive. Of "
        f"{', '.join(found['inputs']) or 'the runs'}."
    )
    header = ("parameters", "data", "longest run", "curve", *(f"D_sat, eps {eps:g}" for eps in found["eps"]))
    drawn = [Section(title, caption, draw(points, dict(found)), name=name) for name, draw, title, caption in FIGURES]
    return [Section("D_sat, size by size", note, None, header, rows), *drawn, *law_sections(found)]


def law_sections(found: Mapping[str, Any]) -> list[Section]:
    """How D_sat grows with size, where sizes enough reached it."""
    rows = [(saturation_law(law),) for law in found["law"]]
    note = "Laws of three sizes or more, with 95% intervals of the exponent."
    return [Section("How D_sat grows with size", note, None, ("",), rows)] if rows else []
