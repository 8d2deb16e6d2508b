"""A check on the screen: what fails first, and in a line how the rest went."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.check.row import Row, failing_first, value_text


def show(result: dict[str, Any], console: Console) -> None:
    """The failing rows as a table, the failing kinds named before it; without any, a line."""
    rows = [Row(**{name: row[name] for name in Row.__dataclass_fields__}) for row in result["rows"]]
    failing = [row for row in failing_first(rows) if row.fails]
    counts = Counter(row.verdict for row in rows)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    against = str(result["baseline_revision"])[:12]
    console.print(f"{result['outcome']} against {against}: {told} of {len(rows)} rows, {result['seconds']:.0f} s")
    for row in failing:
        console.print(f"{row.verdict}: {row.kind}: {row.name}")
    if failing:
        console.print(table_of(failing))
    for row in rows:
        if row.kind == "speed" or row.verdict == "skipped":
            console.print(f"{row.kind} {row.name}: {row.verdict}, {row.reason}")


def table_of(rows: list[Row]) -> Table:
    """Rows with both values and the reason."""
    table = Table("kind", "name", "verdict", "baseline", "present", "reason")
    for row in rows:
        table.add_row(row.kind, row.name, row.verdict, value_text(row.baseline), value_text(row.present), row.reason)
    return table


def show_update(changed: list[Row], before: str | None, console: Console) -> None:
    """What a new baseline has that the one before had not."""
    if before is None:
        console.print("the first baseline: commit it")
        return
    console.print(f"{len(changed)} rows differ from the baseline of {before[:12]}: commit it where they are meant")
    if changed:
        console.print(table_of(changed))
