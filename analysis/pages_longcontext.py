"""Long contexts on a page: the summary, figures, comparisons and honesty gates of longcontext.json, for the report."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, get_args

from analysis.figures_longcontext import score_against_length, score_against_tokens
from analysis.longcontext import (
    DEEPER,
    MATCHED,
    SOLVER,
    WITHOUT_CALLS,
    Comparison,
    Verdict,
    arm_name,
    comparisons,
    contrast_of,
    matched,
    noted_windows,
    profiles_of,
    rows_of,
    shared_windows,
    tasks_of,
    verdict,
)
from analysis.page import Section
from analysis.wording import si
from analysis.wording_inference import factor
from analysis.wording_longcontext import (
    AT_CHANCE,
    BOUNDS,
    chance_sentence,
    difference_text,
    gate_name,
    gate_text,
    model_sentence,
    rot_sentence,
    step_sentence,
    summary,
    unanswered_sentence,
    windows_text,
)

Table = Mapping[str, Any]
Row = Mapping[str, Any]
VERDICTS = get_args(Verdict)
INTERVALS = (
    "Intervals are 95%, over items, of one model that was trained once: Wilson's where an answer is right or wrong and "
    "Tango's for paired differences; where it is graded, the bootstrap, paired for differences, with one item more at "
    "the end of the scale, so that scores that do not vary have a width too."
)
STEPS = {
    WITHOUT_CALLS: f"{WITHOUT_CALLS} runs programs without calls.",
    DEEPER: f"{DEEPER} lets them ask solvers that ask the model.",
}
QUESTION = "What answers questions about a text that no window holds?"


def longcontext_sections(table: Table) -> list[Section]:
    """The whole content of longcontext.json; programs that are sealed and programs that are open stand apart."""
    parts = (
        summary_sections, length_section, cost_section, comparison_section, matched_section, gate_section,
        gate_row_section,
    )  # fmt: skip
    return [section for part in parts for section in part(table)]


def summary_sections(table: Table) -> list[Section]:
    """What beats what, in words, a profile each."""
    profiles = profiles_of(table)
    if not profiles:
        return [Section(QUESTION, f"No row is of {SOLVER}: {len(table['rows'])} rows are of other arms alone.")]
    return [Section(f"{QUESTION} Programs: {profile}", summary(table, profile)) for profile in profiles]


def length_section(table: Table) -> list[Section]:
    """Scores against length."""
    note = (
        f"A panel a task, with how much of n lines it takes to answer. The dotted line is what guessing scores. "
        f"{model_sentence(table['model'])} {INTERVALS} {profile_sentence(table)} "
        f"{by_profile(table, lambda one: rot_sentence(table, one))} {unanswered_sentence(table['rows'])}"
    )
    return [Section("Scores as texts grow", " ".join(note.split()), score_against_length(table))]


def profile_sentence(table: Table) -> str:
    """What programs may do, of the profiles that the figure has."""
    drawn = {row["profile"] for row in table["rows"]}
    sealed = "Sealed programs cannot look at the text, only ask the model about it" * ("sealed" in drawn)
    opened = "open ones (dashed) may" if sealed else "Programs are open (dashed): they may look at the text"
    return "; ".join(filter(None, (sealed, opened * ("open" in drawn)))) + "." * bool(drawn & {"sealed", "open"})


def by_profile(table: Table, say: Callable[[str], str]) -> str:
    """What is to be said of each profile."""
    told = [(profile, say(profile)) for profile in profiles_of(table)]
    return " ".join(f"{profile.capitalize()} programs: {text}" for profile, text in told if text)


def cost_section(table: Table) -> list[Section]:
    """Scores against tokens."""
    noted, shared = noted_windows(table), shared_windows(table)
    others = f", crosses {windows_text(shared)}, the longest that all arms have" if shared not in (None, noted) else ""
    note = (
        f"Tokens that the model reads and writes for an item. Circles are {windows_text(noted)}{others}"
        + "; hollow where programs are open" * any(row["profile"] == "open" for row in table["rows"])
        + ". The mean is over the tasks that all arms have at that length."
    )
    return [Section("What a right answer costs", note, score_against_tokens(table))]


def comparison_section(table: Table) -> list[Section]:
    """The solver against the best baseline of each task, and against itself with a level of calls less or more."""
    found = {profile: comparisons(table, profile) for profile in profiles_of(table)}
    rows = [comparison_cells(table, one) for both in found.values() for part in both for one in part]
    told = by_profile(
        table, lambda one: f"{step_sentence(table, found[one][0])} {chance_sentence(found[one][0])}".strip()
    )
    note = (
        f"At {windows_text(noted_windows(table))} and at the longest of each task. Baselines are all arms that are no "
        "recursive model; the best is chosen on the same items, which favours it; chance is what guessing scores. "
        f"Differences are {SOLVER} less the other on the same items, with paired 95% intervals, each for itself; "
        "tokens are how many times the baseline's, with the interval of the paired bootstrap. "
        + " ".join(
            filter(None, [*(STEPS[arm] * any(row["arm"] == arm for row in table["rows"]) for arm in STEPS), told])
        )
    )
    header = (
        "task", "programs", "reads", "windows", "chance", SOLVER, "best baseline", "difference", "tokens, times",
        f"less {WITHOUT_CALLS}", f"less {DEEPER}", "calls", "seconds",
    )  # fmt: skip
    told_columns = [place for place, cells in enumerate(zip(*rows, strict=True)) if set(cells) != {"-"}]
    header, rows = ([tuple(line[place] for place in told_columns) for line in lines] for lines in ([header], rows))
    return [Section(f"{SOLVER} against the best baseline", note, None, header[0], rows)] if rows else []


def comparison_cells(table: Table, one: Comparison) -> Sequence[str]:
    """A line of the table."""
    row, other, contrast = one.row, one.other, one.contrast
    return (
        row["task"], row["profile"], row["reading"], f"{row['length_windows']:,}", f"{row['chance']:.2f}",
        score_text(row), f"{arm_name(other)} {score_text(other)}" if other else "-", difference_text(contrast),
        factor(contrast["tokens_ratio"], contrast.get("tokens_ratio_ci95")) if contrast else "-",
        *(difference_text(contrast_of(table, row, arm)) for arm in (WITHOUT_CALLS, DEEPER)),
        si(row["calls"]), si(row["seconds"]),
    )  # fmt: skip


def score_text(row: Row) -> str:
    """A mean score with its interval."""
    return factor(row["accuracy"], row["ci95"])


def matched_section(table: Table) -> list[Section]:
    """The solver against each arm, where it takes as many tokens, or not many more."""
    against: dict[tuple[str, str], list[Row]] = {}
    for one in matched(table):
        against.setdefault((one["against"], one["profile"]), []).append(one)
    rows = [
        (arm, profile, str(len(own)), *(str(list(map(verdict, own)).count(said)) for said in VERDICTS),
         f"{median(one['difference'] for one in own):+.2f}", factor(median(one["tokens_ratio"] for one in own)))
        for (arm, profile), own in against.items()
    ]  # fmt: skip
    note = (
        f"Tasks and lengths at which {SOLVER} takes, in the mean over items, at most {MATCHED:g} times the tokens of "
        "another arm, and on how many of them it scores higher, lower, or neither is shown."
    )
    header = (
        "against", "programs", "tasks and lengths", *VERDICTS, "difference, median", "tokens, times, median",
    )  # fmt: skip
    return [Section(f"For at most {MATCHED:g} times the tokens", note, None, header, rows)] if rows else []


def gate_section(table: Table) -> list[Section]:
    """What each gate means, and what it showed."""
    rows = [
        (gate_name(gate), meaning, gate_text(gate, table["gates"][gate]))
        for gate, meaning in (AT_CHANCE | BOUNDS).items()
        if table["gates"].get(gate)
    ]
    note = (
        "Does a score mean that the text was read? What does not read has to fall to chance; what is always right "
        "tells what the programs and the reading lose."
    )
    return [Section("Honesty gates", note, None, ("gate", "what it means", "as measured"), rows)] if rows else []


def gate_row_section(table: Table) -> list[Section]:
    """Every gate beside the results of the same task and length."""
    gates = [gate for gate in AT_CHANCE | BOUNDS if table["gates"].get(gate)]
    found = {(r["task"], r["length_windows"], gate): r for gate in gates for r in table["gates"][gate]}
    tasks, profiles = tasks_of(table), profiles_of(table)
    rows = []
    for task, windows in sorted({place[:2] for place in found}, key=lambda place: (tasks.index(place[0]), place[1])):
        own = [rows_of(table, task=task, length_windows=windows, arm=SOLVER, profile=profile) for profile in profiles]
        entries = [found.get((task, windows, gate)) for gate in gates]
        chance = next(entry["chance"] for entry in entries if entry)
        results = (score_text(one[0]) if one else "-" for one in own)
        rows.append((task, f"{windows:,}", *results, f"{chance:.2f}", *map(gate_cell, entries)))
    header = ("task", "windows", *(f"{SOLVER}, {one}" for one in profiles), "chance", *map(gate_name, gates))
    return [Section("Gates beside the results", "", None, header, rows)] if rows else []


def gate_cell(entry: Row | None) -> str:
    """A gate's score, and which rule reached it."""
    if entry is None:
        return "-"
    return score_text(entry) + (f", {entry['name']}" if "name" in entry else "")
