"""Results of checks as `scalelab check` writes them."""

from typing import Any


def row(kind: str, name: str, baseline: Any, present: Any, verdict: str = "same") -> dict[str, Any]:
    fails = verdict in ("regressed", "changed", "incomparable")
    told = {"kind": kind, "name": name, "baseline": baseline, "present": present}
    return {**told, "verdict": verdict, "reason": "because", "fails": fails}


def result(day: int, *rows: dict[str, Any]) -> dict[str, Any]:
    failing = list(dict.fromkeys(row["kind"] for row in rows if row["fails"]))
    return {
        "schema_version": 1,
        "name": f"202601{day:02}T040000Z-{day:012}",
        "time": f"2026-01-{day:02}T04:00:00Z",
        "revision": f"{day:040}",
        "dirty": False,
        "baseline_revision": "b" * 40,
        "speed_against": None,
        "machine": {"processor": "a processor"},
        "versions": {"torch": "2"},
        "kinds": list(dict.fromkeys(row["kind"] for row in rows)),
        "outcome": "failed" if failing else "passed",
        "failing": failing,
        "rows": list(rows),
        "samples": [],
        "seconds": 60.0,
    }


# Three checks: one that passed, one in which a loss rose, one with more errors and slower code.
HISTORY = [
    result(5, row("golden", "text/w0032-s0/t1", 3.0, 3.0), row("detector", "errors/flat", 2, 2)),
    result(12, row("golden", "text/w0032-s0/t1", 3.0, 3.03, "regressed"), row("golden", "data/text", "x", "x")),
    result(
        19,
        row("law", "checkout", None, None, "skipped"),
        row("inference", "prefix/share found", 0.5, 0.5),
        row("speed", "train/seconds_per_step", 0.1, 0.125, "regressed"),
        row("detector", "errors/flat", 0, 9, "regressed"),
    ),
]
