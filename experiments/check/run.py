"""One check: measure, compare with the baseline, and the result that is kept."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isfinite
from types import ModuleType
from typing import Any

from rich.console import Console

from experiments.check import detector, golden, inference, law
from experiments.check.baseline import (
    describe_machine,
    is_alike,
    read_baseline,
    require_clean,
    revision_to_time,
    versions,
    write_baseline,
)
from experiments.check.checkout import head, is_dirty
from experiments.check.row import KINDS, REMEDY, Kind, Row
from experiments.isolated import isolated, side_by_side

SCHEMA_VERSION = 1
STORED: dict[Kind, ModuleType] = {"golden": golden, "law": law, "detector": detector, "inference": inference}
WORKERS = 2
SECONDS = {"golden": 15, "law": 15, "detector": 15, "inference": 10, "speed": 60}  # on two cores, about
SAYS = {
    "golden": f"{len(golden.CELLS)} tiny cells trained, their losses, gradient norms and rates",
    "law": "laws fitted to three simulated tables of runs, their intervals, and results/law.json",
    "detector": "labels of simulated curves of abilities",
    "inference": "forwards, acceptance and bytes of decoding",
    "speed": "blocks of training and of decoding in turns with a worktree of the baseline's revision",
}


@dataclass(frozen=True)
class Check:
    """What is asked: which kinds, and against what; None is the committed baseline."""

    kinds: tuple[Kind, ...] = KINDS
    against: str | None = None

    @property
    def stored(self) -> list[Kind]:
        """The kinds whose numbers the baseline holds."""
        return [kind for kind in self.kinds if kind in STORED]


def describe(check: Check) -> str:
    """What would run, a line a kind; raises ValueError as the check would for a baseline that is not there."""
    lines = []
    if check.stored:
        kept = read_baseline(check.against)
        lines.append(f"baseline {kept['revision'][:12]} on {kept['machine']['processor']}")
    if "speed" in check.kinds:
        lines.append(f"speed against {revision_to_time(check.against)[:12]}")
    lines += [f"{kind}: {SAYS[kind]}, about {SECONDS[kind]} s" for kind in check.kinds]
    return "\n".join(lines)


def run(check: Check, progress: Console) -> dict[str, Any]:
    """The result: every row, and what it takes to read it later."""
    from experiments.check import speed

    began, now = datetime.now(UTC), time.perf_counter()
    kept = read_baseline(check.against) if check.stored else None
    against = revision_to_time(check.against) if "speed" in check.kinds else None
    measured, machine = measure(check.stored, progress)
    rows, launches = [], []
    if kept is not None:
        rows = compare(kept, measured, machine)
    if against is not None:
        progress.print(f"speed: in turns with {against[:12]}")
        launches = speed.measure(against)
        rows += speed.compare(launches)
    revision = head()
    failing = [row for row in rows if row.fails]
    return {
        "schema_version": SCHEMA_VERSION,
        "name": f"{began:%Y%m%dT%H%M%SZ}-{revision[:12]}",
        "time": f"{began:%Y-%m-%dT%H:%M:%SZ}",
        "revision": revision,
        "dirty": is_dirty(),
        "baseline_revision": kept["revision"] if kept is not None else against,
        "speed_against": against,
        "machine": machine,
        "versions": versions(),
        "kinds": list(check.kinds),
        "outcome": "failed" if failing else "passed",
        "failing": list(dict.fromkeys(row.kind for row in failing)),
        "rows": [told(row) for row in rows],
        "samples": speed.samples(launches),
        "seconds": time.perf_counter() - now,
    }


def told(row: Row) -> dict[str, Any]:
    """A row as the result keeps it; numbers that JSON does not have are words."""
    values = {name: getattr(row, name) for name in ("baseline", "present")}
    words = {name: str(value) for name, value in values.items() if isinstance(value, float) and not isfinite(value)}
    return asdict(row) | words | {"fails": row.fails}


def measure(kinds: Sequence[Kind], progress: Console) -> tuple[dict[Kind, Any], dict[str, Any]]:
    """The numbers of each kind, measured in a process each, and the machine."""
    found: dict[Kind, Any] = {}
    works: list[Kind] = list(kinds)
    for kind, future in side_by_side(measure_kind, works, WORKERS):
        found[kind] = future.result()
        progress.print(f"{kind}: measured")
    return found, isolated(describe_machine)


def measure_kind(kind: Kind) -> Any:
    """The numbers of a kind, in a process of its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    return STORED[kind].measure()


def compare(kept: dict[str, Any], measured: dict[Kind, Any], machine: dict[str, Any]) -> list[Row]:
    """The rows of the stored kinds, in the order of the kinds."""
    exactly = is_alike(kept, {"machine": machine, "versions": versions()})
    rows = []
    for kind, module in STORED.items():
        if kind in measured and kind in kept["kinds"]:
            rows += module.compare(kept["kinds"][kind], measured[kind], exactly)
        elif kind in measured:
            reason = f"the baseline has nothing of this kind: {REMEDY}"
            rows.append(Row(kind, kind, None, "measured", "incomparable", reason))
    return rows


def update(progress: Console) -> tuple[list[Row], str | None]:
    """Makes this revision the baseline; returns what differs from the one before, and that one's revision.

    Raises ValueError, and writes nothing, where what was measured could not be compared with later.
    """
    require_clean()
    try:
        kept = read_baseline(None)
    except ValueError as none:  # the first, or one of an older version
        progress.print(str(none))
        kept = None
    measured, machine = measure(list(STORED), progress)
    require_comparable(measured, machine)
    changed = [row for row in compare(kept, measured, machine) if row.verdict != "same"] if kept is not None else []
    write_baseline(machine, measured)
    return changed, kept["revision"] if kept is not None else None


def require_comparable(measured: dict[Kind, Any], machine: dict[str, Any]) -> None:
    """Raises ValueError where the numbers are not the same as themselves: a refused law, a loss that is no number."""
    itself = {"machine": machine, "versions": versions(), "kinds": measured}
    for row in compare(itself, measured, machine):
        if row.fails:
            why = row.reason.removesuffix(f": {REMEDY}")
            raise ValueError(f"--update: {row.kind} {row.name}: {why}: no later check could use it: mend it first")
