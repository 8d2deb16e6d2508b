"""Rolling origins: places among the training points from which a form is fitted backwards and judged forwards.

Axes: C candidates, R rolling origins, N training points; u is ln x from an origin, a change is ln y from its last y.
"""

from dataclasses import dataclass

import numpy as np

from analysis.curves.fit import Window
from analysis.laws import Array

MIN_POINTS = 4
MAX_ROLLS = 8
PER_REACH = 3  # origins lie a third of the asked ln ratio apart
# Errors are taken per (u + NEAR): they grow with the distance, and at u = 0 there is the noise of single points.
NEAR = 0.5


def origins(log_x_N: Array, reach: float) -> list[int]:
    """How many points each origin sees: all of them first, then fewer at every third of `reach` in ln x."""
    counts = [len(log_x_N)]
    for back in np.arange(1, PER_REACH * (log_x_N[-1] - log_x_N[0]) / reach):
        count = int(np.searchsorted(log_x_N, log_x_N[-1] - back * reach / PER_REACH + 1e-9, side="right"))
        if count < MIN_POINTS or len(counts) > MAX_ROLLS:
            break
        if count < counts[-1]:
            counts.append(count)
    return counts


@dataclass(frozen=True)
class Rolls:
    """What candidates said of the points beyond each rolling origin, and what these were."""

    change_CRN: Array
    actual_RN: Array
    u_RN: Array
    asked_RN: Array  # 1 for the points beyond the origin and within reach, else 0

    @staticmethod
    def of(change_CRN: Array, seen: Window, log_y_N: Array, reach: float) -> "Rolls":
        """Judges the changes at training points up to `reach` in ln x, or the next where it lies farther away."""
        counts_R = seen.seen_ON.sum(axis=1).astype(int)
        last_R = log_y_N[counts_R - 1]
        next_R = seen.u_ON[np.arange(len(counts_R)), counts_R]
        asked_RN = (seen.seen_ON == 0) & (seen.u_ON <= np.maximum(reach, next_R)[:, None] + 1e-9)
        return Rolls(change_CRN, log_y_N - last_R[:, None], seen.u_ON, asked_RN.astype(float))

    def errors(self) -> Array:
        """Root mean square error of ln y of each candidate at each origin, (C, R)."""
        return self._rms(self.change_CRN - self.actual_RN)

    def errors_per_distance(self) -> Array:
        """The same with each error over u + NEAR."""
        return self._rms((self.change_CRN - self.actual_RN) / (np.maximum(self.u_RN, 0) + NEAR))

    def replaced(self, change_RN: Array) -> "Rolls":
        """The same origins asked of one other forecast."""
        return Rolls(change_RN[None], self.actual_RN, self.u_RN, self.asked_RN)

    def _rms(self, miss_CRN: Array) -> Array:
        return np.sqrt((miss_CRN**2 * self.asked_RN).sum(axis=-1) / self.asked_RN.sum(axis=-1))
