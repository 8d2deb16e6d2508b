"""A label for one curve, and the sentences that say why.

Emergent: flat at chance, then a rise of less than a decade of compute that a score without cliffs shows too.
Mirage: as sharp, but the continuous counterpart gains smoothly. Smooth: a rise of a decade or more. Saturated and
flat: no rise, next to the best score or below. Undetermined: the runs do not say; `diagnostics` says what is missing.
"""

from typing import Literal

from analysis.emergence.estimate import NOTABLE_RISE
from analysis.emergence.evidence import CHANCE_TOLERANCE, SCALES_ON_A_SIDE, Counterpart, Evidence

Label = Literal["emergent", "smooth", "mirage", "saturated", "flat", "undetermined"]
LARGE_DISPERSION = 2.0


def label_of(evidence: Evidence, has_counterpart: bool) -> tuple[Label, list[str]]:
    """The label and its diagnostics, the reason first."""
    label, reasons = _decide(evidence, has_counterpart)
    return label, reasons + _cautions(evidence)


def _decide(evidence: Evidence, has_counterpart: bool) -> tuple[Label, list[str]]:
    if evidence.saturated and evidence.amplitude < NOTABLE_RISE and not evidence.falls:
        return "saturated", []
    if evidence.shape is None:
        return _no_rise(evidence)
    if evidence.smooth:
        return "smooth", []
    if not evidence.shape.sharp:
        return "undetermined", [
            "a rise within a decade and a wider one are both possible: add scales near it, or seeds"
        ]
    missing = _missing(evidence)
    if missing:
        return "undetermined", missing
    if evidence.counterpart is None:
        what = "has too few scales" if has_counterpart else "is not in the table"
        return "emergent", [f"the continuous counterpart {what}: whether the metric makes the jump was not checked"]
    if evidence.counterpart.jumps:
        return "emergent", []
    if evidence.counterpart.gains_smoothly:
        return "mirage", [_why_mirage(evidence.counterpart)]
    return "undetermined", ["the rise is sharp, but whether its continuous counterpart jumps the scores do not say"]


def _why_mirage(counterpart: Counterpart) -> str:
    """Whether a jump of the counterpart is refuted, or only not to be seen."""
    if counterpart.shape.smooth:
        return f"a jump of the continuous counterpart is refuted (p = {counterpart.shape.p_smooth:.3f})"
    seen = "its likeliest rise takes a decade or more" if counterpart.sees_plateau else "it rises from the first scales"
    return (
        f"the continuous counterpart shows no jump from a plateau (p = {counterpart.shape.p_sharp:.3f}): {seen}; "
        "in single runs it may jump, each at its own compute"
    )


def _no_rise(evidence: Evidence) -> tuple[Label, list[str]]:
    if evidence.falls:
        return "undetermined", ["scores fall with compute: no rise to label"]
    if evidence.excludes_notable_rise:
        return "flat", []
    return "undetermined", [f"no rise is seen, but one of {NOTABLE_RISE:g} is not excluded: add items, seeds or scales"]


def _missing(evidence: Evidence) -> list[str]:
    """What a sharp rise lacks to be called emergent."""
    missing = []
    if evidence.amplitude < NOTABLE_RISE:
        missing.append(f"the rise is sharp and only {evidence.amplitude:.2f} high, less than {NOTABLE_RISE:g}")
    below, above = evidence.scales_beside
    if min(below, above) < SCALES_ON_A_SIDE:
        side = "below" if below < above else "above"
        missing.append(
            f"the rise is sharp with {below} scales below and {above} above its threshold: add scales {side} it, "
            f"{SCALES_ON_A_SIDE} are needed on each side"
        )
    floor, tolerance = evidence.plateau
    if abs(floor - evidence.chance) > tolerance:
        missing.append(
            f"the rise is sharp and starts from {floor:.2f}, not from the declared chance of {evidence.chance:g} "
            f"(tolerance {tolerance:.2f}): check the chance, or add smaller scales"
        )
    return missing


def _cautions(evidence: Evidence) -> list[str]:
    """What to know before trusting the label."""
    scores, cautions = evidence.scores, []
    num_single = int((scores.count_S == 1).sum())
    if num_single == scores.num_scales:
        cautions.append("one run at every scale: how far seeds differ is taken from the curve's residuals")
    elif num_single > scores.num_scales / 2:
        cautions.append(
            f"one run at {num_single} of {scores.num_scales} scales: how far runs of one compute differ is taken "
            "from the curve's residuals more than from replicates"
        )
    elif num_single:
        cautions.append("some scales have one run: seeds are taken to differ there as they do elsewhere")
    if not scores.shows_dispersion:
        cautions.append("too few runs to estimate overdispersion: plateaus are taken to have their items' noise alone")
    if evidence.fitted.dispersion > LARGE_DISPERSION:
        cautions.append(
            f"scores scatter around the curve with {evidence.fitted.dispersion:.1f} times the variance of their items: "
            "runs of one compute differ, or the curve is no single rise"
        )
    if evidence.place is not None and evidence.place.midpoint.value > scores.places[0].max():
        cautions.append(
            "the rise is not half way at the largest scale: threshold and width are extrapolated, add larger scales"
        )
    lowest = float(scores.mean_S.min())
    if lowest < evidence.chance - CHANCE_TOLERANCE:
        cautions.append(f"the lowest mean is {lowest:.2f}, below the declared chance of {evidence.chance:g}: check it")
    return cautions
