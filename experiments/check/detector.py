"""Labels of the emergence detector on fixed simulated curves whose truth is known."""

from collections import Counter

from analysis.regression import LEAST_ERRORS, error_test
from experiments.check.row import REMEDY, Row, missing_rows

CURVES = 18  # of each kind
# What a right label is, by kind of curve; at the boundary, a decade wide, any but `emergent` is.
TRUTHS = {
    **dict.fromkeys(("flat",), "flat"),
    **dict.fromkeys(("linear", "power", "convex", "2"), "smooth"),
    **dict.fromkeys(("1",), "boundary"),
    **dict.fromkeys(("0.75", "0.5", "0.25", "0", "jump 5", "jump 20"), "emergent"),
    **dict.fromkeys(("mirage 5", "mirage 20"), "mirage"),
}
LIKELIHOOD = ("mirage 5", "mirage 20", "jump 5", "jump 20")
# Of a truth's curves, how many labels another processor may move: a p-value beside its threshold.
MOVED_ELSEWHERE = 0.02


def measure() -> dict[str, str]:
    """The labels of the curves of each kind, one after the other; some ten seconds."""
    import numpy as np

    from analysis.emergence import label_curve
    from experiments.bench.emergence_truth import CHANCE_ZERO, DESIGNS, draw, table_of

    found = {}
    designs = [(DESIGNS[0], False), (DESIGNS[2], False), (CHANCE_ZERO[0], True)]
    for index, (design, has_likelihood) in enumerate(designs):
        for place, kind in enumerate(TRUTHS):
            if (kind in LIKELIHOOD) == has_likelihood:
                rng = np.random.default_rng([0, index, place])
                labels = [label_curve(table_of(design, draw(design, kind, rng)), n)["label"] for n in range(CURVES)]
                found[f"{design.name}: {kind}"] = " ".join(labels)
    return found


def is_wrong(truth: str, label: str) -> bool:
    """Whether a curve of that truth may not have the label."""
    return label == "emergent" if truth == "boundary" else label != truth


def compare(kept: dict[str, str], now: dict[str, str], exactly: bool) -> list[Row]:
    """A row a truth: its curves' errors now and at the baseline.

    exactly: the baseline was measured on such a processor, with such libraries.
    """
    rows = missing_rows("detector", kept, now)
    pairs: dict[str, list[tuple[str, str]]] = {}
    for name in (name for name in kept if name in now):
        was, labels = kept[name].split(), now[name].split()
        if len(was) != len(labels):
            reason = f"the baseline has {len(was)} of these curves, now there are {len(labels)}: {REMEDY}"
            rows.append(Row("detector", name, len(was), len(labels), "incomparable", reason))
            continue
        pairs.setdefault(TRUTHS[name.partition(": ")[2]], []).extend(zip(was, labels, strict=True))
    return rows + [judge(truth, pairs[truth], exactly) for truth in dict.fromkeys(TRUTHS.values()) if truth in pairs]


def judge(truth: str, labels: list[tuple[str, str]], exactly: bool) -> Row:
    """More errors, by McNemar's test and by enough of the curves, are a regression; other labels a change."""
    test = error_test([is_wrong(truth, was) for was, _ in labels], [is_wrong(truth, now) for _, now in labels])
    was_wrong, now_wrong = (sum(is_wrong(truth, pair[side]) for pair in labels) for side in (0, 1))
    moved = Counter(pair for pair in labels if pair[0] != pair[1])
    told = ", ".join(f"{count} from {was} to {now}" for (was, now), count in moved.most_common())
    name = f"errors/{truth}"
    if test.worse:
        reason = (
            f"{test.newly_wrong} newly wrong, {test.newly_right} newly right of {test.num_cases} (p = "
            f"{test.p_value:.2g}, more than {LEAST_ERRORS:.0%} of them): {told}: {REMEDY}"
        )
        return Row("detector", name, was_wrong, now_wrong, "regressed", reason)
    if moved.total() > (0 if exactly else MOVED_ELSEWHERE * len(labels)):
        return Row("detector", name, was_wrong, now_wrong, "changed", f"labels moved, {told}: {REMEDY}")
    return Row(
        "detector", name, was_wrong, now_wrong, "same", f"of {len(labels)} curves" + f"; moved: {told}" * bool(moved)
    )
