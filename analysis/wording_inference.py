"""How speeds, checks, laws and crossovers of inference are said, on the screen, in pages and in the report.

Standard library only. A row is one of `rows` in inference.json, a law one of `laws`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.wording import plain, plain_between, si

Row = Mapping[str, Any]
AXES = {
    "params": "parameters", "tokens": "training tokens", "batch": "batch", "prompt": "prompt tokens",
    "output": "new tokens", "size_ratio": "drafter's share of the size", "constant": "constant",
}  # fmt: skip
VERDICTS = {
    "product": "the product", "more": "more than the product", "less": "less than the product",
    "undetermined": "undetermined", "incorrect": "incorrect", "unsupported": "unsupported",
}  # fmt: skip


def axis_name(axis: str) -> str:
    """An axis in words; a way of distillation is its own name."""
    return AXES.get(axis, axis)


def size_text(row: Row) -> str:
    """Whose speed: 1.18M parameters, or that its weights are random."""
    return si(row["params"]) + ", random weights" * (not row["trained"])


def setting_text(row: Row) -> str:
    """The cell of the grid: prompt and new tokens, batch."""
    return f"{row['prompt']} + {row['output']}, batch {row['batch']}"


def factor(value: float | None, ends: Sequence[float | None] | None = None) -> str:
    """A ratio with its 95% interval; a dash where there is none."""
    if value is None:
        return "-"
    return plain(value) + (f" ({plain_between(ends)})" if ends else "")


def checks_of(row: Row) -> list[Row]:
    """Every check of a row."""
    return row.get("checks") or ([row["check"]] if row.get("check") else [])


def check_text(check: Row) -> str:
    """What was compared, its figure, its limit, and whether it held."""
    return f"{check['kind']} {plain(check['value'])}, limit {plain(check['limit'])}" + ": FAILED" * (
        not check["passed"]
    )


def quality_text(row: Row) -> str:
    """What the technique costs in quality; nothing where it is exact."""
    quality = row.get("quality")
    if not quality:
        return "not asked of random weights" if row["kind"] == "precision" and not row["trained"] else ""
    return f"{quality['metric']} {quality['delta']:+.2g} ({plain_between(quality['ci95'])})"


def counted_rows(rows: Sequence[Row]) -> str:
    """Rows counted by status."""
    count = Counter(row["status"] for row in rows)
    named = {"ok": "with a speed", "incorrect": "incorrect", "unsupported": "unsupported"}
    return ", ".join(f"{count[status]} {name}" for status, name in named.items() if count[status])


def control_sentence(control: Row) -> str:
    """What the same work on both sides showed."""
    return (
        f"The same work on both sides: {control['false_alarms']} of {control['repetitions']} intervals, of as few "
        f"turns as a row may have, leave out 1; a factor below {control['detectable']:.3g} may be nothing."
    )


def machine_sentence(machine: Row) -> str:
    """The ceilings of one thread, measured in the same run."""
    flops = ", ".join(f"{si(value)} FLOP/s in {name}" for name, value in machine["flops_per_second"].items())
    return f"A thread of {machine['processor']}: {si(machine['bytes_per_second'])} bytes/s, {flops}."


def coefficient_text(entry: Row) -> str:
    """A coefficient with its 95% interval."""
    return f"{entry['value']:+.3g} ({entry['ci95'][0]:+.3g} to {entry['ci95'][1]:+.3g})"


def law_text(law: Row) -> str:
    """The law's coefficients with their 95% intervals and what it could not tell, or why there is none."""
    if law["coefficients"] is None:
        return law["reason"]
    told = [f"{axis_name(name)} {coefficient_text(entry)}" for name, entry in law["coefficients"].items()]
    return ", ".join(told + [f"{axis_name(name)} not told ({why})" for name, why in law.get("dropped", {}).items()])


def heldout_sentence(laws: Sequence[Row]) -> str:
    """How often the largest member lay inside its interval, over the laws in N that could be asked."""
    held, lossy = (
        [law["heldout"] for law in laws if law["law"] == kind and law["heldout"]] for kind in ("speed", "quality")
    )
    told = sum(one["inside"] for one in lossy)
    divergences = (
        f" Of {len(lossy)} laws of divergence {told} predict the largest member's inside their 90% interval."
        if lossy
        else ""
    )
    if not held:
        return "No law of speed has the five sizes that a prediction of the largest needs." + divergences
    inside = sum(one["inside"] for one in held)
    narrow = sum(one["inside"] and one["half_width_share"] <= 0.2 for one in held)
    return (
        f"Of {len(held)} laws of speed fitted without the largest member {inside} predict its ratio inside their 90% "
        f"interval, {narrow} of them with an interval within 20% of the prediction."
    ) + divergences


def crossing_text(line: Row) -> str:
    """Where a line passes 1, or that it does not between the points measured."""
    if not line["crossings"]:
        return line["status"]
    places = (f"{si(one['at'])} ({si_open(one['ci95'])})" for one in line["crossings"])
    return f"{line['status']} at {', '.join(places)}"


def si_open(ends: Sequence[float | None]) -> str:
    """An interval of counts; an end that is None is open."""
    low, high = ends
    if low is None or high is None:
        return "open" if low == high else f"{si(high)} or less" if low is None else f"{si(low)} or more"
    return f"{si(low)} to {si(high)}"


def line_text(line: Row) -> str:
    """What stays the same along an axis of a crossover."""
    held = [f"{si(line['params'])} parameters"] if line.get("params") is not None else []
    held += ["random weights"] if line.get("trained") is False else []
    held += [f"{axis_name(name)} {line[name]}" for name in ("prompt", "output", "batch") if line.get(name) is not None]
    other = [line[name] for name, usual in (("dtype", "float32"), ("device", "cpu")) if line[name] != usual]
    return f"{', '.join([line['technique'], *other])}: {', '.join(held)}"


def residual_text(law: Row) -> str:
    """What rows miss the law by, in per cent."""
    return f"{law['residual']:.1%}" if law.get("residual") is not None else "-"
