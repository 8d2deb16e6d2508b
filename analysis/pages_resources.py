"""What inference takes besides time in turns: latencies, memory, drafts and abilities: parts of pages_inference.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.page import Section
from analysis.wording import plain_between, si
from analysis.wording_inference import factor, setting_text, size_text

Table = Mapping[str, Any]
NEAR = 0.15  # a speed foreseen within this share of the measured one is near it


def speculation_section(table: Table) -> list[Section]:
    """What drafts yield, and the speed that follows from it, beside the measured one."""
    told = [row for row in table["rows"] if row["status"] == "ok" and "acceptance_length" in row]
    if not told:
        return []
    rows = [
        (row["technique"], size_text(row), row["dtype"], setting_text(row), f"{row['acceptance_length']:.2f}",
         ", ".join(f"{share:.2f}" for share in row["acceptance_by_position"]), factor(row["ratio"], row["ci95"]),
         factor(row.get("foreseen_ratio")), missed_text(row))
        for row in told
    ]  # fmt: skip
    foreseen = [row for row in told if row.get("foreseen_ratio")]
    near = sum(abs(missed(row)) <= NEAR for row in foreseen)
    note = (
        "Tokens that a verification yields, its own included, and how often the draft's first, second, ... token "
        "stands where it is reached. Foreseen: by accepted tokens and the measured costs of rounds (Leviathan et al. "
        f"2023), within {NEAR:.0%} of the measured speed in {near} of {len(foreseen)} rows. Sequences are decoded one "
        "at a time: only at a batch of 1 is the other side the fastest decoding without drafts."
    )
    header = (
        "technique", "parameters", "dtype", "setting", "tokens a verification", "stands, by position", "times faster",
        "foreseen", "off by",
    )  # fmt: skip
    return [Section("What drafts yield", note, None, header, rows)]


def missed(row: Table) -> float:
    """By which share the foreseen speed misses the measured one."""
    return row["foreseen_ratio"] / row["ratio"] - 1


def missed_text(row: Table) -> str:
    """The same in words; a dash where nothing was foreseen."""
    return f"{missed(row):+.0%}" if row.get("foreseen_ratio") else "-"


def resource_section(table: Table) -> list[Section]:
    """Latencies, throughput, memory, compiling and what a technique counts of itself."""
    rows = [
        (row["technique"], size_text(row), row["dtype"], setting_text(row), f"{row['tokens_per_second']:.4g}",
         both(row, "seconds_to_first_token"), both(row, "seconds_per_token"), both(row, "peak_bytes"),
         f"{row['compile_seconds']:.3g}" if row.get("compile_seconds") else "-", counts_text(row))
        for row in table["rows"]
        if row["status"] == "ok"
    ]  # fmt: skip
    if not rows:
        return []
    note = (
        "Medians, and after a comma the 95th percentile, of calls apart from the turns; first what the technique is "
        "held against, then the technique. Memory: weights and caches a side keeps, and what a call takes besides. "
        "Compiling: all that the row's process compiled, from a cache on disk where it was there."
    )
    header = (
        "technique", "parameters", "dtype", "setting", "tokens/s", "first token, s", "token after it, s",
        "peak memory, bytes", "compiling, s", "counted",
    )  # fmt: skip
    return [Section("Latency and memory", note, None, header, rows)]


def both(row: Table, name: str) -> str:
    """A figure of both sides; a dash where it was not taken."""
    if name not in row or f"baseline_{name}" not in row:
        return "-"
    return " -> ".join(amount(row[key]) for key in (f"baseline_{name}", name))


def amount(value: float | Mapping[str, float]) -> str:
    """A number, or a median and a 95th percentile."""
    return ", ".join(f"{value[level]:.2g}" for level in ("p50", "p95")) if isinstance(value, Mapping) else si(value)


def counts_text(row: Table) -> str:
    """What a technique counts of itself: hits, bytes given to other ranks, bytes saved."""
    told = [f"{row['hit_rate']:.0%} of tokens found"] if "hit_rate" in row else []
    told += [f"{si(row['bytes_per_token'])} bytes a token between ranks"] if "bytes_per_token" in row else []
    told += [f"{row['bytes_saved']:.0%} of bytes saved"] if "bytes_saved" in row else []
    return ", ".join(told) or "-"


def ability_section(table: Table) -> list[Section]:
    """What fewer bits cost a model that answers tasks, and what training with the rounding was worth."""
    told = [row for row in table["rows"] if row.get("ability_delta") or row.get("against_control")]
    if not told:
        return []
    rows = [
        (row["technique"], row["model"], row["status"], *ability_texts(row.get("ability_delta")),
         delta_text(row["quality"]), delta_text(row.get("against_original")), delta_text(row.get("against_control")))
        for row in told
    ]  # fmt: skip
    note = (
        "Accuracy on the tasks that the model was trained for, the technique's less the reference's, with a 95% "
        "interval over items. The reference of quantisation-aware training is the model after as many steps on the "
        "same windows without rounding, so that what those steps alone do to a model is not counted. Of log "
        "perplexity, on held-out text, less is better: against that reference; against the model as it was before any "
        "of those steps; and against the reference quantised, which is what training with the rounding was worth."
    )
    header = (
        "technique", "model", "status", "accuracy", "change", "answers changed", "log perplexity",
        "against the original", "against the reference quantised",
    )  # fmt: skip
    return [Section("What fewer bits cost in ability", note, None, header, rows)]


def ability_texts(told: Table | None) -> Sequence[str]:
    """Accuracy of the reference, the change, and how many answers turned."""
    if not told:
        return "-", "-", "-"
    return f"{told['reference']:.3f}", delta_text(told), f"{told['changed']:,} of {told['answers']:,}"


def delta_text(told: Table | None) -> str:
    """A change with its interval; a dash where there is none."""
    return f"{told['delta']:+.2g} ({plain_between(told['ci95'])})" if told else "-"
