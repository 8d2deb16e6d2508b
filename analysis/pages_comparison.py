"""Two sweeps side by side on a page: what `compare` found, in words, tables and figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.answers import MOST_NAMED, Answer, listed
from analysis.comparison import PARTS, Side
from analysis.figures_comparison import against_each_other, frontiers, laws_by_size
from analysis.page import Section
from analysis.pages_law import MEANINGS
from analysis.report import Group
from analysis.wording import percent, plain, plain_between, si

Found = Mapping[str, Any]
TITLES = {
    "law": "Law", "saturation": "Saturation", "emergence": "Emergence", "inference": "Inference",
    "longcontext": "Long contexts",
}  # fmt: skip
QUESTIONS = {
    "law": "Is the law another?", "saturation": "Does more data stop helping elsewhere?",
    "emergence": "Do other abilities emerge?", "inference": "Do accelerations gain more or less?",
    "longcontext": "Are long contexts answered better or worse?",
}  # fmt: skip
JUDGED = {
    "draws": "Judged by the difference of the refitted draws of both laws, as of sweeps that share no run.",
    "intervals": "A law without refitted draws is judged by its intervals.",
}
BY_INTERVALS = (
    "Judged by the two intervals, as of independent measurements: each end of the difference is as far off as the ends "
    "of both are together, in squares."
)


def comparison_groups(here: Side, there: Side, found: Found) -> list[Group]:
    """A chapter a part, and one of what was asked otherwise."""
    told: dict[str, Callable[[Side, Side, Found], list[Section]]] = {
        "law": law_parts, "saturation": saturation_parts, "emergence": emergence_parts, "inference": inference_parts,
        "longcontext": longcontext_parts,
    }  # fmt: skip
    groups = []
    for part in PARTS:
        one = found[part]
        if "missing" in one:
            lacking = f"{listed(one['missing'])} {'has' if len(one['missing']) == 1 else 'have'} no results of it."
            sections, answer = [Section("Not compared", lacking)], Answer("-", "", lacking)
        else:
            sections, answer = told[part](here, there, one), answer_of(one)
        groups.append(Group(part, TITLES[part], sections, QUESTIONS[part], answer))
    return [*groups, Group("settings", "Settings", setting_parts(found), "What was asked or made otherwise?")]


def answer_of(one: Found) -> Answer:
    """How many numbers moved, and what changed besides."""
    if "forms" in one:
        return Answer("-", "", f"The laws have other forms: {listed(one['forms'])}.")
    moved = [row["name"] for row in one["rows"] if row["moved"]]
    said = f"Moved beyond their intervals: {first_of(moved)}." if moved else "No number moved beyond its interval."
    for key, what in (("labels", "labels"), ("curves", "curves"), ("statuses", "rows")):
        changed = [f"{row['name']} ({row['here']}, now {row['there']})" for row in one.get(key, ())]
        said += f" Other {what}: {first_of(changed)}." if changed else ""
    alone = [f"{len(one.get(f'only_{side}', ()))} only {side}" for side in ("here", "there") if one.get(f"only_{side}")]
    said += " Both are made from the same inputs." * one["same_inputs"]
    return Answer(f"{len(moved)} of {len(one['rows'])}", "numbers moved", said + f" {', '.join(alone)}." * bool(alone))


def first_of(names: Sequence[str]) -> str:
    """The first few of names that hold commas themselves."""
    more = len(names) - MOST_NAMED
    return "; ".join(names[:MOST_NAMED]) + f"; and {more} more" * (more > 0)


def law_parts(here: Side, there: Side, one: Found) -> list[Section]:
    """Both tables in one, and the laws overlaid."""
    assert here.law is not None
    assert there.law is not None
    names, sides = (here.name, there.name), (here.law, there.law)
    rows: list[Sequence[str]] = [
        (MEANINGS.get(row["name"]) or row["name"], value_text(row, 0, 4), value_text(row, 1, 4),
         f"{plain(row['difference'])} ({plain_between(row['ci95'])})", "yes" if row["moved"] else "no")
        for row in one["rows"]
    ]  # fmt: skip
    if one.get("heldout_error") and all(one["heldout_error"]):
        rows.append(["mean error on held-out cells", *map(percent, one["heldout_error"]), "-", "-"])
    note = f"{JUDGED.get(one['judged_by'], '')} Where they share runs, the intervals of the difference are too wide."
    header = ("", *names, "difference (95%)", "leaves out 0")
    sections = [Section("Both laws", note, None, header, rows)] if rows else []
    sections.append(Section("Compute-optimal loss of both", "Runs, and the best of each law.", frontiers(names, sides)))
    by_size = laws_by_size(names, sides)
    return sections + [Section("Loss against tokens, size by size", "Sizes that both have.", by_size)] * (
        by_size is not None
    )


def saturation_parts(here: Side, there: Side, one: Found) -> list[Section]:
    """D_sat that moved, curves that changed."""
    figure = against_each_other((here.name, there.name), one["rows"], "D_sat", True)
    changed = changed_section("Curves that changed", here, there, one["curves"])
    return [moved_section("D_sat", here, there, one, figure, si), *changed, *alone_section(one)]


def emergence_parts(here: Side, there: Side, one: Found) -> list[Section]:
    """Labels that changed, thresholds that moved."""
    figure = against_each_other((here.name, there.name), one["rows"], "threshold, FLOPs", True)
    changed = changed_section("Labels that changed", here, there, one["labels"])
    return [*changed, moved_section("Thresholds, FLOPs", here, there, one, figure, si), *alone_section(one)]


def inference_parts(here: Side, there: Side, one: Found) -> list[Section]:
    """Gains that moved, rows with another status."""
    figure = against_each_other((here.name, there.name), one["rows"], "times faster", True)
    changed = changed_section("Rows with another status", here, there, one["statuses"])
    return [moved_section("Times faster", here, there, one, figure, plain), *changed, *alone_section(one)]


def longcontext_parts(here: Side, there: Side, one: Found) -> list[Section]:
    """Scores that moved."""
    figure = against_each_other((here.name, there.name), one["rows"], "score", False)
    return [moved_section("Scores", here, there, one, figure, plain), *alone_section(one)]


def moved_section(
    title: str, here: Side, there: Side, one: Found, figure: Any, say: Callable[[float | None], str]
) -> Section:
    """What moved, all of it drawn."""
    rows = [
        (row["name"], value_text(row, 0, say=say), value_text(row, 1, say=say),
         f"{plain(row.get('ratio', row.get('difference')))} ({plain_between(row['ci95'])})")
        for row in one["rows"] if row["moved"]
    ]  # fmt: skip
    said = f"{len(rows)} of {len(one['rows'])} moved." if one["rows"] else "Both sides have none in common."
    kind = "times" if any("ratio" in row for row in one["rows"]) else "difference"
    return Section(title, f"{said} {BY_INTERVALS}", figure, ("", here.name, there.name, f"{kind} (95%)"), rows)


def value_text(row: Found, side: int, digits: int = 3, say: Callable[[float | None], str] | None = None) -> str:
    """A side's number with its interval."""
    value, ends = row[("here", "there")[side]], row["ends"][side]
    if say is None or say is plain:
        return f"{plain(value, digits)} ({plain_between(ends, digits)})"
    low, high = ("open" if end is None else say(end) for end in ends)
    return f"{say(value)} ({low} to {high})"


def changed_section(title: str, here: Side, there: Side, rows: Sequence[Found]) -> list[Section]:
    """What is said otherwise."""
    told = [(row["name"], row["here"], row["there"]) for row in rows]
    return [Section(title, "", None, ("", here.name, there.name), told)] if told else []


def alone_section(one: Found) -> list[Section]:
    """What only one side measured."""
    rows = [(name, side) for side in ("here", "there") for name in one[f"only_{side}"]]
    return [Section("Measured on one side alone", "", None, ("", "side"), rows)] if rows else []


def setting_parts(found: Found) -> list[Section]:
    """Params and provenance, as far as they differ."""
    sections = []
    for key, title in (("params", "Params that differ"), ("provenance", "Provenance that differs")):
        rows = [(row["name"], row["here"] or "-", row["there"] or "-") for row in found[key]]
        note = "" if rows else "Nothing differs."
        sections.append(Section(title, note, None, ("", found["here"], found["there"]) if rows else (), rows))
    return sections
