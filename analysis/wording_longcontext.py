"""How long contexts are told: every sentence follows from the numbers, whichever way they fall."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from analysis.longcontext import (
    AT_ONCE,
    DEEPER,
    SOLVER,
    WITHOUT_CALLS,
    Comparison,
    above_chance,
    arm_name,
    arms_of,
    comparisons,
    contrast_of,
    is_baseline,
    noted_windows,
    rows_of,
    verdict,
)
from analysis.wording import plain_between, si
from analysis.wording_inference import factor

Row = Mapping[str, Any]
AT_CHANCE = {
    "shuffled_leaf": "Every call is answered about a part of another text, drawn at random: what still scores, the "
    "text was not read for.",
    "constant_leaf": "Every call is answered about the same part of another text: what still scores stands in the "
    "question or the program.",
    "regex": "The best of the rules that search without reading, chosen on other items: what it scores a task gives "
    "away.",
    "bag_of_words": "Naive Bayes over the words of question and text, in any order: the same, of words.",
}
BOUNDS = {
    "oracle_leaf": "Every call gets the right answer: what is missing, the programs lose.",
    "oracle_program": "The right program with the model's own reading: what is missing, the reading loses.",
}


def gate_name(gate: str) -> str:
    """A gate in words."""
    return gate.replace("_", " ")


def windows_text(windows: int) -> str:
    """A length, counted in windows."""
    return f"{windows:,} window{'s' * (windows != 1)}"


def difference_text(contrast: Row | None) -> str:
    """How much higher, with its paired interval; a dash where it is not told."""
    return f"{contrast['difference']:+.2f} ({plain_between(contrast['ci95'])})" if contrast else "-"


def tokens_text(ratio: float) -> str:
    """How many tokens one arm takes of what another takes."""
    return "as many tokens" if f"{ratio:.2g}" == "1" else f"{factor(ratio)} times the tokens"


def model_sentence(model: Row) -> str:
    """The one model that all arms ask."""
    read = ", ".join(f"{question} {share:.0%}" for question, share in model["reading_accuracy"].items())
    return (
        f"All arms ask the same model, {model['name']}: {si(model['params'])} parameters, trained on "
        f"{si(model['trained_tokens'])} tokens to a loss of {model['loss']:.3g} on lessons that were held out; "
        f"it reads {model['window']} at once, and of held-out questions about a few lines it answers wholly "
        f"right: {read}."
    )


def summary(table: Row, profile: str) -> str:
    """What the solver with such programs beats, at what cost, and where it gains nothing."""
    noted, longest = comparisons(table, profile)
    if not noted and not longest:
        return f"{SOLVER} was not measured at {windows_text(noted_windows(table))} or more."
    where = f"At {windows_text(noted_windows(table))} of {table['model']['window']} tokens"
    told = [standing_sentence(noted, where), no_gain_sentence(noted)] if noted else []
    told.append(at_once_sentence(table))
    if longest:
        ends = sorted({one.row["length_windows"] for one in longest})
        told.append(standing_sentence(longest, f"At the longest, {' or '.join(map(windows_text, ends))}"))
    return " ".join(filter(None, told))


def standing_sentence(found: Sequence[Comparison], where: str) -> str:
    """On how many tasks the solver scores higher than the best baseline, and lower, and at what cost."""
    told = [one for one in found if one.contrast]
    if not told:
        return f"{where}, no baseline is compared with {SOLVER}."
    count = Counter(verdict(one.contrast) for one in told if one.contrast)
    own = mean(one.row["accuracy"] for one in told)
    other = mean(one.other["accuracy"] for one in told if one.other)
    ratio = median(one.contrast["tokens_ratio"] for one in told if one.contrast)
    return (
        f"{where}, {SOLVER} scores higher than the best baseline on {count['higher']} of {len(told)} tasks, lower on "
        f"{count['lower']}, and on {count['undecided']} no difference is shown; it averages {own:.2f} against "
        f"{other:.2f} and takes {tokens_text(ratio)} (median). {guessing_sentence(told)}"
    )


def at_once_sentence(table: Row) -> str:
    """On how many tasks the model can do without recursion where the text is not long; empty where none was asked."""
    rows = rows_of(table, arm=AT_ONCE, length_windows=1)
    if not rows:
        return ""
    able = sum(map(above_chance, rows))
    told = f"Where one window holds the whole text, {AT_ONCE} is above chance on {able} of {len(rows)} tasks"
    return f"{told}." if able else f"{told}: it fails before any text is long."


def guessing_sentence(told: Sequence[Comparison]) -> str:
    """On how many tasks the best baseline guesses, so that to score higher is little."""
    guessed = [one for one in told if one.other and not above_chance(one.other)]
    won = sum(verdict(one.contrast) == "higher" for one in guessed if one.contrast)
    said = f"The best baseline is itself not above chance on {len(guessed)} of the {len(told)} tasks"
    return f"{said}, {won} of them among those on which {SOLVER} scores higher." if guessed else f"{said}."


def no_gain_sentence(found: Sequence[Comparison]) -> str:
    """The tasks on which recursion loses, and those on which no gain is shown, with the baseline that does as well."""
    named: dict[str, list[str]] = {"lower": [], "undecided": [], "higher": []}
    for one in found:
        if one.other and one.contrast:
            named[verdict(one.contrast)].append(
                f"{one.row['task']} ({arm_name(one.other)} {one.other['accuracy']:.2f}, {SOLVER} "
                f"{one.row['accuracy']:.2f} for {tokens_text(one.contrast['tokens_ratio'])})"
            )
    loses, unsure = ", ".join(named["lower"]), ", ".join(named["undecided"])
    told = [f"Recursion loses on {loses}."] * bool(loses) + [f"It shows no gain on {unsure}."] * bool(unsure)
    return " ".join(told)


def step_sentence(table: Row, found: Sequence[Comparison]) -> str:
    """What calls add to programs alone, and what another level adds to calls."""
    calls = [(one.row["task"], contrast_of(table, one.row, WITHOUT_CALLS)) for one in found]
    deeper = [
        (row["task"], contrast_of(table, row, SOLVER))
        for one in found
        for row in rows_of(table, arm=DEEPER, **{key: one.row[key] for key in ("task", "profile", "length_windows")})
    ]
    steps = (
        (calls, f"Calls of the model add to programs alone ({WITHOUT_CALLS})"),
        (deeper, f"Solvers that ask solvers ({DEEPER}) add to that"),
    )
    return " ".join(filter(None, (_step(told, what) for told, what in steps)))


def _step(told: Sequence[tuple[str, Row | None]], what: str) -> str:
    named: dict[str, list[str]] = {"higher": [], "lower": [], "undecided": []}
    for task, contrast in told:
        if contrast:
            named[verdict(contrast)].append(task)
    if not any(named.values()):
        return ""
    said = f"{what} on {len(named['higher'])} of {sum(map(len, named.values()))} tasks"
    loses, unsure = ", ".join(named["lower"]), ", ".join(named["undecided"])
    return said + f"; they lose on {loses}" * bool(loses) + f"; no gain is shown on {unsure}" * bool(unsure) + "."


def chance_sentence(found: Sequence[Comparison]) -> str:
    """Where the solver does no better than guessing."""
    guessed = [one.row["task"] for one in found if not above_chance(one.row)]
    return f"It is not above chance on {', '.join(guessed)}." if guessed else ""


def rot_sentence(table: Row, profile: str) -> str:
    """From the shortest to the noted length: means of the solver and of a baseline over the tasks that both have at
    both lengths; nothing where there are none. Of the baselines that share most such tasks, it is the one that ends
    highest."""
    ends = min(row["length_windows"] for row in table["rows"]), noted_windows(table)
    solver = scores_at(table, f"{SOLVER}, {profile}", ends)
    beside = []
    for name in arms_of(row for row in table["rows"] if is_baseline(row, profile)):
        other = scores_at(table, name, ends)
        if tasks := sorted(solver.keys() & other.keys()):
            beside.append((len(tasks), mean(other[task][1] for task in tasks), name, tasks, other))
    if not beside or ends[0] == ends[1]:
        return ""
    *_, name, tasks, other = max(beside, key=lambda one: one[:2])
    own, theirs = (
        " to ".join(f"{mean(of[task][end] for task in tasks):.2f}" for end in (0, 1)) for of in (solver, other)
    )
    return (
        f"From {windows_text(ends[0])} to {windows_text(ends[1])} the mean score over {len(tasks)} tasks goes from "
        f"{own} for {SOLVER}, from {theirs} for {name}, which ends highest of the baselines with as many such tasks."
    )


def scores_at(table: Row, name: str, ends: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """By task, an arm's scores at two lengths, where it has both."""
    own = {(r["task"], r["length_windows"]): r["accuracy"] for r in table["rows"] if arm_name(r) == name}
    tasks = dict.fromkeys(task for task, _ in own)
    return {t: (own[t, ends[0]], own[t, ends[1]]) for t in tasks if (t, ends[0]) in own and (t, ends[1]) in own}


def unanswered_sentence(rows: Sequence[Row]) -> str:
    """How many items ended without a final answer, and where most did; nothing where all had one."""
    ended = [row["failed"] + row["exhausted"] for row in rows]
    if not any(ended):
        return ""
    share, worst = max(
        zip((n / row["num_items"] for n, row in zip(ended, rows, strict=True)), rows, strict=True),
        key=lambda one: one[0],
    )
    return (
        f"Of {sum(row['num_items'] for row in rows):,} items {sum(ended):,} ended without a final answer, most often "
        f"{share:.0%} of {arm_name(worst)} on {_place(worst)} ({worst['reason']})."
    )


def gate_text(gate: str, rows: Sequence[Row]) -> str:
    """What a gate showed: how often it is at chance, or, of a bound, the mean and the least."""
    if gate in BOUNDS:
        least = min(rows, key=lambda row: row["accuracy"])
        average = mean(row["accuracy"] for row in rows)
        return f"{average:.2f} on average, least {least['accuracy']:.2f} ({_place(least)})"
    above = [row for row in rows if above_chance(row)]
    named = ", ".join(f"{_place(row)} {row['accuracy']:.2f}, chance {row['chance']:.2f}" for row in above)
    return f"at chance in {len(rows) - len(above)} of {len(rows)}" + f"; above it: {named}" * bool(above)


def _place(row: Row) -> str:
    return f"{row['task']}, {windows_text(row['length_windows'])}"
