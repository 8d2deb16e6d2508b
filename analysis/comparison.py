"""Two sweeps' results side by side: what differs, and whether by more than their intervals allow.

Both sides count as measured independently of each other. Where both laws hold their refitted draws, a difference is
judged by the draws of one side less those of the other in another order; elsewhere by the two intervals, each end of
the difference as far off as the ends of both are together, in squares (Zou and Donner 2008, Statistics in Medicine
27:1693). Of sides that share runs the difference is known better than that: then an interval is too wide.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.emergence_curves import main_rows
from analysis.laws import LAWS, Array
from analysis.laws.fitted import size_exponent
from analysis.longcontext import arm_name
from analysis.wording import curve_name, data_name, saturation_tokens
from analysis.wording_inference import setting_text

Table = Mapping[str, Any]
Tabled = tuple[pd.DataFrame, Table]
Interval = Sequence[float | None]
LEVELS = (2.5, 97.5)
MACHINE = ("processor", "system", "revision")
PARTS = ("law", "saturation", "emergence", "inference", "longcontext")


@dataclass(frozen=True)
class Side:
    """One sweep's results as far as they are there, and its params, flattened."""

    name: str
    law: Tabled | None = None
    saturation: Tabled | None = None
    emergence: Tabled | None = None
    inference: Table | None = None
    longcontext: Table | None = None
    params: Mapping[str, str] = field(default_factory=dict)


def compare(here: Side, there: Side) -> dict[str, Any]:
    """Everything that differs, by part; a part that one side or both lack says `missing`. JSON as it is."""
    told: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
        "law": compare_laws, "saturation": compare_saturation, "emergence": compare_emergence,
        "inference": compare_inference, "longcontext": compare_longcontext,
    }  # fmt: skip
    found: dict[str, Any] = {"here": here.name, "there": there.name}
    for part in PARTS:
        pair = getattr(here, part), getattr(there, part)
        missing = [name for name, one in zip((here.name, there.name), pair, strict=True) if one is None]
        same = not missing and inputs_of(pair[0]) == inputs_of(pair[1])
        found[part] = {"missing": missing} if missing else {**told[part](*pair), "same_inputs": same}
    return found | {"params": varied(here.params, there.params), "provenance": varied(facts(here), facts(there))}


def inputs_of(one: Tabled | Table) -> Mapping[str, str]:
    """The digests of what a result was made from."""
    return (one[1] if isinstance(one, tuple) else one).get("inputs", {})


def difference(value: float, ends: Interval, other: float, other_ends: Interval) -> dict[str, Any]:
    """`other` less `value` with the interval of the difference, None at an end that either leaves open."""
    (low, high), (other_low, other_high) = ends, other_ends
    gap = other - value
    least = None if high is None or other_low is None else gap - math.hypot(other - other_low, high - value)
    most = None if low is None or other_high is None else gap + math.hypot(other_high - other, value - low)
    return judged(gap, least, most)


def judged(gap: float, low: float | None, high: float | None) -> dict[str, Any]:
    """A difference, its interval, and whether it leaves out zero."""
    return {"difference": gap, "ci95": [low, high], "moved": bool((low or -1) > 0 or (high or 1) < 0)}


def ratio(value: float, ends: Interval, other: float, other_ends: Interval) -> dict[str, Any]:
    """`other` over `value`, judged in logarithms: `moved` where the interval leaves out 1."""
    logs = [[None if end is None or end <= 0 else math.log(end) for end in pair] for pair in (ends, other_ends)]
    told = difference(math.log(value), logs[0], math.log(other), logs[1])
    return {
        "ratio": math.exp(told["difference"]),
        "ci95": [None if end is None else math.exp(end) for end in told["ci95"]],
        "moved": told["moved"],
    }


def compare_laws(here: Tabled, there: Tabled) -> dict[str, Any]:
    """Parameters and exponents of two laws of one form, each judged."""
    laws = here[1], there[1]
    if laws[0]["law"] != laws[1]["law"]:
        return {"forms": [law["formula"] for law in laws], "rows": [], "judged_by": "nothing: other forms"}
    drawn = [drawn_values(law) for law in laws]
    by_draws = all(drawn)
    rows = []
    for name in drawn[0] or laws[0]["params"]:
        values, ends = zip(*(value_of(law, name) for law in laws), strict=True)
        if by_draws:
            told = difference_of_draws(values, [one[name] for one in drawn if one])
        else:
            told = difference(values[0], ends[0], values[1], ends[1])
        rows.append({"name": name, "here": values[0], "there": values[1], "ends": [*map(list, ends)], **told})
    heldout = [law["heldout"] and law["heldout"]["mean_abs_rel_error"] for law in laws]
    return {"judged_by": "draws" if by_draws else "intervals", "rows": rows, "heldout_error": heldout}


def drawn_values(law: Table) -> dict[str, Array] | None:
    """The refitted draws of every parameter and exponent; None where the law holds none."""
    if not law.get("draws"):
        return None
    form = LAWS[law["law"]]
    draws_PK = np.array([[float(value) for value in row.split()] for row in law["draws"]])
    values = dict(zip(form.names, form.values(draws_PK).T, strict=True))
    if law["exponents"]:
        a_P = size_exponent(form, draws_PK)
        values |= {"a": a_P, "b": 1 - a_P}
    return values


def value_of(law: Table, name: str) -> tuple[float, Interval]:
    """A parameter or an exponent with its interval."""
    if name in law["params"]:
        return law["params"][name], law["ci95"][name]
    return law["exponents"][name], law["exponents"][f"{name}_ci95"]


def difference_of_draws(values: Sequence[float], draws: Sequence[Array]) -> dict[str, Any]:
    """As `difference`, by draws; in another order, because sweeps of one seed draw the same noise."""
    here, there = draws
    count = min(len(here), len(there))
    mixed = np.random.default_rng(0).permutation(there)[:count] - here[:count]
    low, high = np.percentile(mixed, LEVELS)
    return judged(values[1] - values[0], float(low), float(high))


def compare_saturation(here: Tabled, there: Tabled) -> dict[str, Any]:
    """D_sat by size, data and eps: how many times as many tokens, and which sizes have another curve."""
    pairs = matched(here[1]["sizes"], there[1]["sizes"], lambda size: (size["params"], size["unique_tokens"]))
    rows, curves = [], []
    for size, other in pairs["both"]:
        name = f"{size['params']:,.0f} parameters, {data_name(size)}"
        if size["verdict"] != other["verdict"]:
            curves.append({"name": name, "here": curve_name(size), "there": curve_name(other)})
        for entry in size["d_sat"]:
            same = next((one for one in other["d_sat"] if one["eps"] == entry["eps"]), None)
            if same is None or not (entry["reached"] or same["reached"]):
                continue
            if entry["tokens"] is None or same["tokens"] is None:  # beyond what the forms can tell
                told = saturation_tokens(entry, size), saturation_tokens(same, other)
                curves.append({"name": f"{name}, eps {entry['eps']:g}", "here": told[0], "there": told[1]})
            else:
                values = entry["tokens"], entry["ci95"], same["tokens"], same["ci95"]
                told = {"name": f"{name}, eps {entry['eps']:g}", "here": values[0], "there": values[2]}
                rows.append({**told, "ends": [values[1], values[3]], **ratio(*values)})
    return {"rows": rows, "curves": curves, **alone(pairs, lambda size: f"{size['params']:,.0f}, {data_name(size)}")}


def compare_emergence(here: Tabled, there: Tabled) -> dict[str, Any]:
    """Labels that changed, and thresholds that moved."""
    ours, theirs = main_rows(*here), main_rows(*there)
    labels, rows = [], []
    for name in [name for name in ours if name in theirs]:
        row, other = ours[name], theirs[name]
        if row["label"] != other["label"]:
            labels.append({"name": name, "here": row["label"], "there": other["label"]})
        if row["threshold"] and other["threshold"]:
            values = row["threshold"], row["threshold_ci95"], other["threshold"], other["threshold_ci95"]
            told = {"name": name, "here": values[0], "there": values[2], "ends": [values[1], values[3]]}
            rows.append({**told, **ratio(*values)})
    only = {"only_here": [n for n in ours if n not in theirs], "only_there": [n for n in theirs if n not in ours]}
    return {"labels": labels, "rows": rows, "num_shared": len([n for n in ours if n in theirs]), **only}


def compare_inference(here: Table, there: Table) -> dict[str, Any]:
    """Speeds of the same work on checkpoints of one name or size, and rows that won or lost theirs."""
    keys = ("technique", "against", "params", "trained", "dtype", "device", "prompt", "output", "batch")
    pairs = matched(here["rows"], there["rows"], lambda row: tuple(row.get(key) for key in keys))
    rows, statuses = [], []
    for row, other in pairs["both"]:
        if row["status"] != other["status"]:
            statuses.append({"name": speed_name(row), "here": row["status"], "there": other["status"]})
        elif row["status"] == "ok":
            values = row["ratio"], row["ci95"], other["ratio"], other["ci95"]
            told = {"name": speed_name(row), "here": values[0], "there": values[2], "ends": [values[1], values[3]]}
            rows.append({**told, **ratio(*values)})
    return {"rows": rows, "statuses": statuses, **alone(pairs, speed_name)}


def speed_name(row: Table) -> str:
    """What was measured, in a line."""
    return f"{row['technique']} over {row.get('against') or '-'}, {row['params']:,.0f} parameters, {setting_text(row)}"


def compare_longcontext(here: Table, there: Table) -> dict[str, Any]:
    """Scores of the same way, task and length."""
    keys = ("task", "length_windows", "arm", "profile")
    pairs = matched(here["rows"], there["rows"], lambda row: tuple(row[key] for key in keys))
    rows = []
    for row, other in pairs["both"]:
        values = row["accuracy"], row["ci95"], other["accuracy"], other["ci95"]
        told = {"name": score_name(row), "here": values[0], "there": values[2], "ends": [values[1], values[3]]}
        rows.append({**told, **difference(*values)})
    return {"rows": rows, **alone(pairs, score_name)}


def score_name(row: Table) -> str:
    """Which score, in a line."""
    return f"{arm_name(row)} on {row['task']}, {row['length_windows']:,} windows"


def matched(ours: Sequence[Table], theirs: Sequence[Table], key: Callable[[Table], Hashable]) -> dict[str, list[Any]]:
    """Pairs of rows with one key, and the rows that only one side has."""
    first, second = ({key(row): row for row in rows} for rows in (ours, theirs))
    return {
        "both": [(row, second[name]) for name, row in first.items() if name in second],
        "here": [row for name, row in first.items() if name not in second],
        "there": [row for name, row in second.items() if name not in first],
    }


def alone(pairs: Mapping[str, Any], name: Callable[[Table], str]) -> dict[str, list[str]]:
    """What only one side measured."""
    return {f"only_{side}": [name(row) for row in pairs[side]] for side in ("here", "there")}


def varied(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[dict[str, Any]]:
    """The names whose values differ; None where a side has none."""
    names = dict.fromkeys([*ours, *theirs])
    return [
        {"name": name, "here": ours.get(name), "there": theirs.get(name)}
        for name in names
        if ours.get(name) != theirs.get(name)
    ]


def facts(side: Side) -> dict[str, str]:
    """Where a side's results come from: revisions, libraries, machines and inputs."""
    found: dict[str, str] = {}
    for part, tabled in (("law", side.law), ("saturation", side.saturation)):
        for name in ("revision", "torch", "transformers", "device", "precision"):
            if tabled is not None and name in tabled[0]:
                found[f"{part}: {name}"] = ", ".join(sorted(set(map(str, tabled[0][name]))))
    for part, table in (("inference", side.inference), ("longcontext", side.longcontext)):
        machine = (table or {}).get("machine", {})
        found |= {f"{part}: {name}": str(machine[name]) for name in MACHINE if name in machine}
    for part in PARTS:
        one = getattr(side, part)
        found |= {f"{part}: {name}": digest for name, digest in (inputs_of(one) if one else {}).items()}
    return found
