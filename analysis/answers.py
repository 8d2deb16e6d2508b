"""What a reader in a hurry is told of each question: a number with its interval, and a sentence about it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import pandas as pd

from analysis.emergence_curves import main_rows
from analysis.longcontext import SOLVER, Comparison, arm_name, comparisons, noted_windows, profiles_of
from analysis.wording import doubling_gain, percent, plain, plain_between, si, si_between
from analysis.wording_emergence import counted, interval
from analysis.wording_inference import size_text
from analysis.wording_longcontext import windows_text

Table = Mapping[str, Any]
TENFOLD = 10.0
MOST_NAMED = 4


@dataclass(frozen=True)
class Answer:
    """A question's main number, what stands beneath it, and one sentence."""

    value: str
    beneath: str
    sentence: str


def law_answer(law: Table) -> Answer:
    """How far the law foresees, and what it says of a larger budget."""
    p, held = law["params"], law["heldout"]
    formula = f"L = {law['formula']}"
    if law["law"] == "hoffmann":
        formula = f"{plain(p['E'], 4)} + {plain(p['A'])} / N^{p['alpha']:.2f} + {plain(p['B'])} / D^{p['beta']:.2f}"
    told = [f"Loss follows {formula}, N parameters and D tokens."]
    if law["exponents"]:
        size, ends = law["exponents"]["a"], law["exponents"]["a_ci95"]
        larger, (low, high) = TENFOLD**size, (TENFOLD**end for end in ends)
        told.append(
            f"Ten times the compute is best spent on a model {plain(larger, 2)} times as large ({plain(low, 2)} to "
            f"{plain(high, 2)})."
        )
    if not held:
        return Answer(f"{law['num_points']} runs", f"of {law['num_sizes']} sizes", " ".join(told))
    told.append(
        f"A fit that never saw the {held['num_cells']} largest cells has {held['num_inside']} of their "
        f"{held['num_runs']} runs inside its 95% prediction intervals."
    )
    spread = f"mean error on unseen larger models; at most {percent(held['max_abs_rel_error'])}"
    return Answer(percent(held["mean_abs_rel_error"]), spread, " ".join(told))


def saturation_answer(found: Table) -> Answer:
    """Where the largest size on fresh data stops gaining much from more of it."""
    eps = max(found["eps"])
    fresh = [size for size in found["sizes"] if size["unique_tokens"] is None] or found["sizes"]
    if not fresh:
        return Answer("-", "", "No size has runs enough to say.")
    size = max(fresh, key=lambda one: one["params"])
    entry = next(one for one in size["d_sat"] if one["eps"] == eps)
    reached = [one for one in fresh if next(e for e in one["d_sat"] if e["eps"] == eps)["reached"]]
    gain = f"doubling the data lowers the loss by less than {doubling_gain(eps)}"
    if not entry["reached"]:
        return Answer(
            f"> {si(size['longest_tokens'])}", "tokens",
            f"The largest size, of {si(size['params'])} parameters, had not stopped improving by its longest run; "
            f"{len(reached)} of {len(fresh)} sizes reach the point from which {gain}.",
        )  # fmt: skip
    return Answer(
        f"{si(entry['tokens'])} tokens", f"{si_between(entry['ci95'])} (95%)",
        f"From there on, {si(entry['tokens'] / size['params'])} tokens a parameter, {gain} for the largest size, of "
        f"{si(size['params'])} parameters; {len(reached)} of {len(fresh)} sizes reach that point.",
    )  # fmt: skip


def emergence_answer(table: pd.DataFrame, found: Table) -> Answer:
    """How many abilities emerge, which, and from what compute."""
    rows = main_rows(table, found)
    emergent = {name: row for name, row in rows.items() if row["label"] == "emergent"}
    named = [
        f"{name}, at {si(row['threshold'])} FLOPs ({interval(row['threshold_ci95'])})" for name, row in emergent.items()
    ]
    told = f"Emergent: {listed(named)}. " * bool(named)
    told += f"Of {len(rows)} abilities {counted(row['label'] for row in rows.values())}."
    mirages = [name for name, row in rows.items() if row["label"] == "mirage"]
    if mirages:
        told += f" The rise of {listed(mirages)} is the metric's, not the model's."
    return Answer(f"{len(emergent)} of {len(rows)}", "abilities emerge", told)


def inference_answer(table: Table) -> Answer:
    """The largest gain, and how many techniques gain or lose beyond what the control cannot tell from nothing."""
    rows = [row for row in table["rows"] if row["status"] == "ok"]
    if not rows:
        return Answer("-", "", "No technique has a speed: every check failed, or this machine cannot run them.")
    detectable = table["control"]["detectable"]
    verdicts: dict[str, set[str]] = {}
    for row in rows:
        verdicts.setdefault(row["technique"], set()).add(verdict_of(row, detectable))
    gaining = [row for row in rows if verdict_of(row, detectable) == "gain"]
    gains = [name for name, said in verdicts.items() if said - {"unclear"} == {"gain"}]
    losses = [name for name, said in verdicts.items() if said - {"unclear"} == {"loss"}]
    mixed = [name for name, said in verdicts.items() if {"gain", "loss"} <= said]
    told = [f"Faster beyond doubt: {listed(gains)}."] if gains else []
    told += [f"Slower: {listed(losses)}."] if losses else []
    told += [f"Either, by size or setting: {listed(mixed)}."] if mixed else []
    told.append(
        f"All {len(rows)} speeds stand behind checks of what is decoded; on this machine a factor below "
        f"{plain(detectable)} may be nothing."
    )
    if not gaining:
        return Answer(
            f"0 of {len(verdicts)}", "techniques gain", " ".join(["Nothing measured gains beyond doubt.", *told])
        )
    best = max(gaining, key=lambda row: row["ci95"][0])
    surest = f"The surest gain is {best['technique']} over {best['against']}, at {size_text(best)} parameters."
    return Answer(f"{plain(best['ratio'])} times", f"{plain_between(best['ci95'])} (95%)", " ".join([surest, *told]))


def verdict_of(row: Table, detectable: float) -> str:
    """Whether a speed is a gain or a loss, its whole interval and beyond what may be nothing."""
    low, high = row["ci95"]
    if low > 1 and row["ratio"] > detectable:
        return "gain"
    return "loss" if high < 1 and row["ratio"] < 1 / detectable else "unclear"


def longcontext_answer(table: Table) -> Answer:
    """How the solver scores at the noted length, and how much more than the best baseline of each task."""
    profile = next(iter(profiles_of(table)), None)
    found = comparisons(table, profile)[0] if profile else []
    told = [one for one in found if one.contrast and one.other]
    if not told:
        return Answer("-", "", f"{SOLVER} was compared with no baseline at {windows_text(noted_windows(table))}.")
    own, spread = mean_with_ends([(one.row["accuracy"], one.row["ci95"]) for one in told])
    gain, ends = mean_with_ends([(one.contrast["difference"], one.contrast["ci95"]) for one in told if one.contrast])
    baselines = {arm_name(one.other) for one in told if one.other}
    where = f"{windows_text(noted_windows(table))} of {table['model']['window']} tokens"
    sentence = (
        f"At {where} the recursive solver averages {own:.2f} over {len(told)} tasks, {gain:+.2f} "
        f"({plain_between(ends, 2)}) against the best of the other ways on each ({listed(sorted(baselines))}). "
        f"{times_sentence(told)}"
    )
    return Answer(f"{own:.2f} of 1", f"mean score; {spread[0]:.2f} to {spread[1]:.2f} (95%)", sentence)


def times_sentence(told: Sequence[Comparison]) -> str:
    """What the solver takes for it."""
    ratios = [one.contrast["tokens_ratio"] for one in told if one.contrast]
    low, high = min(ratios), max(ratios)
    return f"It takes {plain(low)} to {plain(high)} times their tokens."


def mean_with_ends(entries: Sequence[tuple[float, Sequence[float]]]) -> tuple[float, tuple[float, float]]:
    """The mean of independent values and its interval, each end as far off as theirs are together, in squares
    (Zou and Donner 2008, Statistics in Medicine 27:1693)."""
    values = [value for value, _ in entries]
    middle = mean(values)
    below, above = (math.dist(values, [ends[side] for _, ends in entries]) / len(values) for side in (0, 1))
    return middle, (middle - below, middle + above)


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them, the first few of many."""
    if len(names) > MOST_NAMED:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
