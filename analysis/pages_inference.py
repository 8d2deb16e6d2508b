"""Inference on a page: sentences, figures and tables of inference.json, for `--html` and for the report.

No row without a speed gets one here: incorrect and unsupported rows stand in a table of their own, with the reason.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.figures_inference import crossing_places, ratios, ratios_against_size
from analysis.inference.forms import FORMULAS, SPARING
from analysis.inference.rows import counted
from analysis.page import Section
from analysis.pages_resources import ability_section, resource_section, speculation_section
from analysis.pages_serving import (
    acceptance_section,
    composition_section,
    distillation_section,
    divergence_section,
    load_section,
)
from analysis.wording import si
from analysis.wording_inference import (
    axis_name,
    check_text,
    checks_of,
    control_sentence,
    counted_rows,
    crossing_text,
    factor,
    heldout_sentence,
    law_text,
    line_text,
    machine_sentence,
    quality_text,
    residual_text,
    setting_text,
    size_text,
)

Table = Mapping[str, Any]
QUESTION = "What does each acceleration gain, and at what size?"


def inference_page(table: Table) -> tuple[str, list[Section]]:
    """What a page of inference.json alone says."""
    return f"Inference: {counted_rows(table['rows'])}", inference_sections(table)


def inference_sections(table: Table) -> list[Section]:
    """Speeds behind their checks, laws, crossovers, compositions and quality: the whole content of inference.json."""
    parts = (
        speed_section, gate_section, size_section, heldout_section, crossover_section, speculation_section,
        acceptance_section, divergence_section, ability_section, composition_section, load_section,
        distillation_section, resource_section, row_section,
    )  # fmt: skip
    return [section for part in parts for section in part(table)]


def speed_section(table: Table) -> list[Section]:
    """What was measured, on what, and every speed."""
    note = " ".join([
        f"{len(table['rows'])} rows: {counted_rows(table['rows'])}. A speed stands only where its check held.",
        machine_sentence(table["machine"]),
        control_sentence(table["control"]),
        "Bars are 95% intervals, the band is what the control cannot tell from 1, symbols tell settings apart.",
    ])  # fmt: skip
    return [Section(QUESTION, note, ratios(table))]


def gate_section(table: Table) -> list[Section]:
    """Rows without a speed, and why."""
    rows = [
        (row["technique"], row["status"], size_text(row), setting_text(row), row["reason"])
        for row in table["rows"]
        if row["status"] != "ok"
    ]
    note = "Incorrect: a check failed, so that a speed would mean nothing. Unsupported: this machine or model cannot."
    header = ("technique", "status", "parameters", "setting", "reason")
    return [Section("What has no speed", note, None, header, rows)] if rows else []


def size_section(table: Table) -> list[Section]:
    """Speed against size, with the laws."""
    rows = [
        (law["technique"], law["against"] or "-", setting_of(law), form_of(law), law_text(law), residual_text(law))
        for law in table["laws"]
        if law["law"] in ("speed", "speed-pooled")
    ]
    if not rows:
        return []
    forms = "; ".join(f"{form}, {formula}" for form, formula in FORMULAS.items())
    note = (
        "The ratio of two costs, each an overhead and a share that grows with the parameters, saturates at both ends; "
        f"between them it looks like a power. Three forms: {forms}; n is N over the members' geometric mean. The form "
        f"is that of least error at members left out, costs only where theirs is below {SPARING} times the others'. "
        "Where settings varied, one regression of all of them, in logarithms around their means. In brackets 95% "
        "intervals. Open diamonds: the largest member as the smaller ones foresee it."
    )
    header = ("technique", "against", "setting", "form", "coefficients", "residual")
    return [Section("Speed against size", note, ratios_against_size(table), header, rows)]


def form_of(law: Table) -> str:
    """The form of a law, or that it is a regression."""
    return "regression" if law["law"].endswith("pooled") else law["form"] or "-"


def subject_of(law: Table) -> str:
    """What a law is of: a technique, or a rate of acceptance."""
    return law.get("technique") or f"{law['rate']} acceptance"


def setting_of(law: Table) -> str:
    """What a law holds for: its setting, or all of them, its precision and the suite of its members."""
    if law["law"] == "quality-pooled":
        return "KL"
    if law["law"] == "quality":
        return f"KL at {si(law['tokens'])} tokens"
    setting = setting_text(law) if law["law"] == "speed" else "all settings"
    return ", ".join(filter(None, (setting, law.get("dtype"), law.get("suite"))))


def heldout_section(table: Table) -> list[Section]:
    """The largest member, predicted by laws fitted to the smaller ones."""
    rows, pooled = [], []
    for law in table["laws"]:
        held = law["heldout"]
        if law["law"] in ("speed", "quality") and held:
            rows.append((
                subject_of(law), setting_of(law), factor(held["prediction"], held["interval"]),
                factor(held["measured"]), "inside" if held["inside"] else "outside",
                f"{held['half_width_share']:.0%}", held["form"], str(held["num_fitted"]), si(held["params"]),
            ))  # fmt: skip
        elif held:
            inside = f"{held['num_inside']} of {len(held['rows'])} rows"
            pooled.append((
                subject_of(law), setting_of(law), "-", "-", inside, "-", "regression",
                str(held["num_fitted"]), si(held["member"]),
            ))  # fmt: skip
    header = (
        "technique", "setting", "foreseen, 90% interval", "measured", "inside", "half width", "form", "fitted",
        "largest",
    )  # fmt: skip
    note = heldout_sentence(table["laws"])
    missing = Counter((law["heldout_reason"], subject_of(law)) for law in table["laws"] if law["heldout"] is None)
    why: dict[str, list[str]] = {}
    for (reason, technique), count in missing.items():
        why.setdefault(reason, []).append(technique if count == 1 else f"{technique} ({count} laws)")
    sections = [Section("The largest size, predicted before it was seen", note, None, header, rows + pooled)]
    if why:
        named = [(reason, ", ".join(techniques)) for reason, techniques in why.items()]
        sections.append(Section("What could not be predicted", "", None, ("why", "techniques"), named))
    return sections


def crossover_section(table: Table) -> list[Section]:
    """Where techniques turn from gain to loss, and where nothing crossed."""
    lines = table["crossovers"]
    if not lines:
        return []
    told = [line for line in lines if line["crossings"] or line["status"] == "undetermined"]
    rows = [
        (axis_name(line["axis"]), line_text(line), crossing_text(line), measured_text([line]))
        for line in sorted(told, key=lambda line: not line["crossings"])
    ]
    others: dict[tuple[str, str, str], list[Table]] = {}
    for line in lines:
        if line not in told:
            others.setdefault((line["axis"], line["technique"], line["status"]), []).append(line)
    rows += [
        (axis_name(axis), f"{technique}, {counted(len(own), 'line')}", status, measured_text(own))
        for (axis, technique, status), own in others.items()
    ]
    crossed = sum(bool(line["crossings"]) for line in lines)
    undecided = sum(line["status"] == "undetermined" for line in lines)
    note = (
        f"{crossed} of {len(lines)} lines pass 1 between the points measured, {undecided} are undetermined: a point "
        "counts where its interval leaves out 1 and its ratio is beyond what the control cannot tell from it. Places "
        "are those of the line through the points, in logarithms; intervals draw the turns of every row again. Thin "
        "lines join the two points that enclose a crossover; nothing is said beyond the points."
    )
    header = ("axis", "technique", "passes 1", "measured")
    return [Section("Where a gain turns into a loss", note, crossing_places(table), header, rows)]


def measured_text(lines: Sequence[Table]) -> str:
    """From the least to the most that was measured along an axis."""
    places = [point["at"] for line in lines for point in line["points"]]
    return f"{si(min(places))} to {si(max(places))}"


def row_section(table: Table) -> list[Section]:
    """Every row with all of its checks."""
    rows: list[Sequence[str]] = [
        (row["technique"], row.get("against") or "-", size_text(row), row["dtype"], setting_text(row), row["device"],
         factor(row["ratio"], row["ci95"]) if row["status"] == "ok" else row["status"],
         "; ".join(map(check_text, checks_of(row))) or "-", quality_text(row),
         f"{row['roofline_share']:.0%}" if row["status"] == "ok" and row.get("roofline_share") is not None else "-")
        for row in table["rows"]
    ]  # fmt: skip
    note = (
        "Times faster, the median of what the turns give, with its 95% interval, the checks that allowed it, and the "
        "share of a thread's ceilings. Rows were measured at different times: only what stands within one compares. A "
        "share is above 100% where weights stay in the processor's caches and where a technique takes fewer steps."
    )
    header = (
        "technique", "against", "parameters", "dtype", "setting", "device", "times faster", "checks", "quality",
        "roofline",
    )  # fmt: skip
    return [Section("Every row", note, None, header, rows)]
