"""BIG-bench's linearity and breakthroughness (Srivastava et al. 2022, appendix B): reported, never decided by.

Both depend on how many scales there are: a straight line over S scales has an L of S - 1.
"""

import numpy as np

from analysis.emergence.shapes import Array


def linearity_and_breakthroughness(mean_S: Array) -> tuple[float | None, float | None]:
    """L and B of mean scores in the order of their scale; None where steps of zero leave no number."""
    steps = np.diff(mean_S)
    if len(steps) == 0 or not steps.any():
        return None, None
    improvement = np.sign(int(mean_S.argmax()) - int(mean_S.argmin())) * np.ptp(mean_S)
    median = float(np.sqrt(np.median(steps**2)))
    return float(improvement / np.sqrt((steps**2).mean())), float(improvement / median) if median > 0 else None
