"""Which rows of longcontext.json stand beside each other: arms, lengths, opponents and their contrasts.

A row is of a task, a length and an arm. An arm that runs programs is another arm in another profile, sealed or open:
no number here is of both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]
Verdict = Literal["higher", "lower", "undecided"]
SOLVER, WITHOUT_CALLS, DEEPER, AT_ONCE = "rlm-1", "rlm-0", "rlm-2", "direct"
ARMS = (
    "direct", "truncation", "bm25", "dense", "agentic", "summary", "map-reduce", "offload",
    WITHOUT_CALLS, SOLVER, DEEPER,
)  # fmt: skip
NOTED_WINDOWS = 64  # the length at which arms are compared, besides the longest
MATCHED = 2.0  # times the other arm's tokens that the solver takes at most where tokens are called matched


@dataclass(frozen=True)
class Comparison:
    """A row of the solver, that of the best baseline, and their contrast where it is told."""

    row: Row
    other: Row | None
    contrast: Row | None


def rows_of(table: Row, **shared: Any) -> list[Row]:
    """The rows with these values."""
    return [row for row in table["rows"] if all(row[name] == value for name, value in shared.items())]


def tasks_of(table: Row) -> list[str]:
    """Every task, in the order of the rows."""
    return list(dict.fromkeys(row["task"] for row in table["rows"]))


def arm_name(row: Row) -> str:
    """The arm, and the profile of its programs where it runs any."""
    return ", ".join(filter(None, (row["arm"], row["profile"])))


def arms_of(rows: Iterable[Row]) -> list[str]:
    """The names of the arms, those that recurse last, sealed programs first."""
    known = {arm: place for place, arm in enumerate(ARMS)}
    found = sorted((known.get(row["arm"], len(ARMS)), row["profile"] == "open", arm_name(row)) for row in rows)
    return list(dict.fromkeys(name for *_, name in found))


def profiles_of(table: Row) -> list[str]:
    """In which the solver was measured, sealed first."""
    return sorted({row["profile"] for row in rows_of(table, arm=SOLVER)}, key=lambda profile: profile != "sealed")


def noted_windows(table: Row) -> int:
    """64 windows, or the longest length of a table that has no such rows."""
    lengths = {row["length_windows"] for row in table["rows"]}
    return NOTED_WINDOWS if NOTED_WINDOWS in lengths else max(lengths)


def shared_windows(table: Row) -> int | None:
    """The longest length at which every arm has rows; None where there is none."""
    arms = arms_of(table["rows"])
    lengths = {row["length_windows"] for row in table["rows"]}
    return max((one for one in lengths if arms_of(rows_of(table, length_windows=one)) == arms), default=None)


def comparisons(table: Row, profile: str) -> tuple[list[Comparison], list[Comparison]]:
    """The solver in a profile against the best baseline of every task: at the noted length, and at the longest of a
    task where that is longer."""
    noted, longest = [], []
    for task in tasks_of(table):
        own = {row["length_windows"]: row for row in rows_of(table, task=task, arm=SOLVER, profile=profile)}
        if noted_windows(table) in own:
            noted.append(compared(table, own[noted_windows(table)]))
        if own and max(own) > noted_windows(table):
            longest.append(compared(table, own[max(own)]))
    return noted, longest


def compared(table: Row, row: Row) -> Comparison:
    """A row beside the best baseline of the same items; of equals, the one of fewest tokens.

    An arm that took no tokens failed before it was answered once: it is compared with none.
    """
    alike = rows_of(table, **{name: row[name] for name in ("task", "length_windows", "num_items")})
    others = [other for other in alike if is_baseline(other, row["profile"]) and other["tokens"]]
    best = max(others, key=lambda other: (other["accuracy"], -other["tokens"]), default=None)
    return Comparison(row, best, best and contrast_of(table, row, best["arm"]))


def is_baseline(row: Row, profile: str) -> bool:
    """Whether it is of no recursive model, and runs no programs in another profile."""
    return not row["arm"].startswith("rlm-") and row["profile"] in (None, profile)


def contrast_of(table: Row, row: Row, against: str) -> Row | None:
    """The contrast of a row against another arm, whichever way round it is told; None where it is not."""
    for one in table["contrasts"]:
        if _place(one) == _place(row) and one["profile"] == row["profile"]:
            if (one["arm"], one["against"]) == (row["arm"], against):
                return one
            if (one["against"], one["arm"]) == (row["arm"], against):
                return _turned(one)
    return None


def matched(table: Row) -> list[Row]:
    """The contrasts in which the solver takes at most MATCHED times the other arm's tokens."""
    return [one for one in table["contrasts"] if one["arm"] == SOLVER and one["tokens_ratio"] <= MATCHED]


def _place(row: Row) -> tuple[str, int]:
    return row["task"], row["length_windows"]


def _turned(contrast: Row) -> Row:
    low, high = contrast["ci95"]
    turned = {"arm": contrast["against"], "against": contrast["arm"], "tokens_ratio": 1 / contrast["tokens_ratio"]}
    if "tokens_ratio_ci95" in contrast:
        least, most = contrast["tokens_ratio_ci95"]
        turned["tokens_ratio_ci95"] = [1 / most, 1 / least]
    return {**contrast, **turned, "difference": -contrast["difference"], "ci95": [-high, -low]}


def verdict(contrast: Row) -> Verdict:
    """Which arm scores higher, as far as the paired interval tells."""
    low, high = contrast["ci95"]
    return "higher" if low > 0 else "lower" if high < 0 else "undecided"


def above_chance(row: Row) -> bool:
    """Whether the interval leaves out what guessing scores."""
    return row["ci95"][0] > row["chance"]
