"""What a check says: one row a value, with the baseline's value, the present one, a verdict and the reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# regressed: worse than what the kind allows. changed: other than the baseline's and not shown to be worse; a change of
# numbers is promoted knowingly, so it fails too. incomparable: the baseline does not say. faster and skipped pass.
Verdict = Literal["same", "regressed", "changed", "incomparable", "faster", "skipped"]
Kind = Literal["golden", "law", "detector", "inference", "speed"]
KINDS: tuple[Kind, ...] = ("golden", "law", "detector", "inference", "speed")
FAILING: tuple[Verdict, ...] = ("regressed", "changed", "incomparable")
REMEDY = "if it is meant, `scalelab check --update` makes it the baseline"
Value = float | int | str | None


@dataclass(frozen=True)
class Row:
    """One compared value."""

    kind: Kind
    name: str
    baseline: Value
    present: Value
    verdict: Verdict
    reason: str

    @property
    def fails(self) -> bool:
        """Whether the check fails for it."""
        return self.verdict in FAILING


def missing_rows(kind: Kind, baseline: Iterable[str], present: Iterable[str]) -> list[Row]:
    """A row for every name that only one of the two sides has."""
    kept, now = set(baseline), set(present)
    told = [(name, "measured", None, "the baseline does not have it") for name in sorted(now - kept)]
    told += [(name, None, "kept", "it is not measured any more") for name in sorted(kept - now)]
    return [Row(kind, name, there, here, "incomparable", f"{reason}: {REMEDY}") for name, here, there, reason in told]


def failing_first(rows: Sequence[Row]) -> list[Row]:
    """Regressed rows, then changed and incomparable ones, then the rest, each as they came."""
    order = {verdict: place for place, verdict in enumerate(FAILING)}
    return sorted(rows, key=lambda row: order.get(row.verdict, len(order)))


def value_text(value: Any) -> str:
    """A value as a table shows it."""
    return "-" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value)
