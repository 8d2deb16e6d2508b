"""The analysis of results/inference.json, from its rows to what it says of them."""

from collections.abc import Mapping
from typing import Any

from analysis.inference.acceptance import acceptance_laws
from analysis.inference.compositions import verdicts
from analysis.inference.crossovers import crossovers
from analysis.inference.quality import quality_laws
from analysis.inference.speed import speed_laws


def analyse(table: Mapping[str, Any], seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """`laws`, `crossovers` and `compositions` of a table, ready for JSON.

    A table too small for a law yields the law's place with the reason why it is empty; one without a part (no
    precision rows, no compositions) yields nothing of that part. Raises ValueError for a table without rows or control.
    """
    for part in ("rows", "control"):
        if part not in table:
            raise ValueError(f"the table has no {part!r}: give what `scalelab bench inference --json` writes")
    rows, detectable = table["rows"], float(table["control"]["detectable"])
    return {
        "laws": [
            *speed_laws(rows),
            *quality_laws(table.get("precision") or []),
            *acceptance_laws(table.get("acceptance") or []),
        ],
        "crossovers": crossovers(rows, detectable, seed),
        "compositions": verdicts(table.get("compositions") or [], detectable),
    }
