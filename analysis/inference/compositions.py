"""Does A with B gain the product of what each gains alone? Judged by an interval and by what a control could detect."""

from collections.abc import Sequence
from typing import Any, Literal

from analysis.inference.rows import Row

Verdict = Literal["product", "more", "less", "undetermined", "incorrect", "unsupported"]


def verdicts(compositions: Sequence[Row], detectable: float) -> list[dict[str, Any]]:
    """Every composition with its verdict; one that failed its check or cannot run keeps its status and has none."""
    return [{**row, "verdict": _verdict(row, detectable)} for row in compositions]


def _verdict(row: Row, detectable: float) -> Verdict:
    """By the synergy, measured over product.

    product: the whole interval lies within the factor that the control cannot tell from nothing. more, less: the
    interval leaves out 1 and the synergy is beyond that factor. Anything else the samples do not decide.
    """
    if row["status"] != "ok":
        return row["status"]
    (low, high), synergy = row["synergy_ci95"], row["synergy"]
    if 1 / detectable <= low and high <= detectable:
        return "product"
    if low > 1 and synergy > detectable:
        return "more"
    if high < 1 and synergy < 1 / detectable:
        return "less"
    return "undetermined"
