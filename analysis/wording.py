"""How numbers and findings are said, the same on the screen, in pages and in the report. Standard library only."""

from collections.abc import Mapping, Sequence
from typing import Any

QUESTIONS = {  # of the report's chapters, and of the experiments that MLflow shows
    "law": "What does loss follow?",
    "saturation": "Where does more data stop helping?",
    "emergence": "What emerged, and where?",
    "inference": "Which accelerations gain?",
    "longcontext": "Do long contexts get answered?",
}
CURVES = {"power": "no end", "fixed-n": "a floor", "stops": "stops"}


def si(value: float | None, digits: int = 3) -> str:
    """1234567 as "1.23M"; a dash when nothing was recorded."""
    if value is None or value != value:
        return "-"
    value = float(f"{value:.{digits}g}")  # rounded first: 999,999 is 1M, not 1000k
    for power, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.{max(digits, 3)}g}{letter}"
    return f"{value:.{digits}g}"


def plain(value: float | None, digits: int = 3) -> str:
    """1940.9 as "1,940", 0.01234 as "0.0123": no exponent up to ten million, letters beyond; a dash for nothing."""
    if value is None or value != value:
        return "-"
    value = float(f"{value:.{digits}g}")
    if abs(value) >= 1e7:
        return si(value, digits)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def plain_between(ends: Sequence[float | None], digits: int = 3) -> str:
    """An interval of numbers; an end that is None is open."""
    low, high = (None if end is None else plain(end, digits) for end in ends)
    if low is None or high is None:
        return "open" if low == high else f"{high} or less" if low is None else f"{low} or more"
    return f"{low} to {high}"


def byte_size(num_bytes: float) -> str:
    """1234567 as "1.23 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


def percent(share: float | None, digits: int = 2) -> str:
    """A share in per cent, or a dash."""
    return "-" if share is None else f"{share:.{digits}%}"


def si_between(ends: Sequence[float | None]) -> str:
    """An interval of counts; null is an end that no draw shows."""
    low, high = ends
    return f"{si(low)} to {si(high)}" if high is not None else "no end" if low is None else f"{si(low)} or more"


def curve_name(size: Mapping[str, Any]) -> str:
    """The form that the runs speak for and its weight: of an entry in saturation.json."""
    best = max(size["models"], key=lambda name: size["models"][name])
    said = f"{CURVES[best]} ({size['models'][best]:.0%})"
    return "undecided: " * (size["verdict"] == "undetermined") + said + ", then rises" * size["rises"]


def data_name(size: Mapping[str, Any]) -> str:
    """Fresh, or the set of tokens that was repeated: of an entry in saturation.json."""
    return "fresh" if size["unique_tokens"] is None else f"{si(size['unique_tokens'])} repeated"


def doubling_gain(eps: float) -> str:
    """What twice the data lowers the loss by at most, where the elasticity stays below eps: 1 - 2^-eps, in per cent."""
    return percent(1 - 2**-eps, 1)


def saturation_tokens(entry: Mapping[str, Any], size: Mapping[str, Any]) -> str:
    """D_sat, or that it lies beyond the longest run or before the shortest."""
    if not entry["reached"]:
        return f"> {si(size['longest_tokens'])}"
    return "< " * (entry["tokens"] <= size["shortest_tokens"]) + si(entry["tokens"])


def saturation_law(law: Mapping[str, Any]) -> str:
    """How D_sat grows with size: an entry of `law` in saturation.json."""
    low, high = ("no end" if end is None else f"{end:.2f}" for end in law["ci95"]["p"])
    spread = f"{low} to {high}"
    return f"{data_name(law)}, eps {law['eps']:g}: D_sat ~ N^{law['p']:.2f} ({spread}) over {law['num_sizes']} sizes"
