"""One regression over every setting of a technique: how a logarithm moves along several axes at once.

Rows of one member share what is peculiar to that member, so that intervals come from leaving whole members out (the
jackknife, which errs on the wide side where members are few; Bell and McCaffrey 2002 call it CR3), with Student's t of
as many degrees as members allow. A member's own peculiarity also widens the prediction of one that was not fitted.

Axes: R rows, G members, P coefficients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.inference.forms import HELD_OUT_LEVEL, LAW_LEVEL, Array, half_width
from analysis.inference.members import MIN_MEMBERS, MIN_SMALLER
from analysis.inference.rows import counted


@dataclass(frozen=True)
class Pool:
    """Rows with what they are regressed on: columns without the constant, names to values (R,)."""

    columns: Mapping[str, Array]
    value_R: Array
    noise_R: Array
    member_R: Array

    def only(self, chosen_R: Array, names: Sequence[str] | None = None) -> "Pool":
        """Those rows, and of the columns those names."""
        kept = {name: self.columns[name][chosen_R] for name in (self.columns if names is None else names)}
        return Pool(kept, self.value_R[chosen_R], self.noise_R[chosen_R], self.member_R[chosen_R])

    def without(self, member: float) -> Array:
        """Which rows are not of that member."""
        return self.member_R != member

    @property
    def members(self) -> Array:
        """Members, sorted."""
        return np.unique(self.member_R)

    def design(self) -> Array:
        """The constant and the columns, (R, P)."""
        return np.stack([np.ones(len(self.value_R)), *self.columns.values()], axis=1)


@dataclass(frozen=True)
class Regression:
    """Coefficients with those of every fit that left a member out, and a further row's standard deviation."""

    coefficients_P: Array
    left_out_GP: Array
    residual: float
    spread: float
    freedom: int  # members beyond the coefficients that only they tell apart

    def deviations(self, design_RP: Array) -> Array:
        """Standard errors of the law at these rows, by the jackknife."""
        moved_GR = (self.left_out_GP - self.coefficients_P) @ design_RP.T
        num = len(self.left_out_GP)
        return np.sqrt((num - 1) / num * (moved_GR**2).sum(0))


def identified(pool: Pool) -> tuple[Pool, dict[str, str]]:
    """The pool with the columns that can be told apart, whichever member is left out, and why the others cannot."""
    kept: list[str] = []
    dropped: dict[str, str] = {}
    everything = np.ones(len(pool.value_R), dtype=bool)
    for name, column_R in pool.columns.items():
        if np.ptp(column_R) == 0:
            continue
        with_it = pool.only(everything, [*kept, name])
        subsets = [everything, *(pool.without(member) for member in pool.members)]
        ranks = [np.linalg.matrix_rank(_centred(with_it.only(chosen_R).design())) for chosen_R in subsets]
        if min(ranks) == len(kept) + 2:
            kept.append(name)
        elif ranks[0] == len(kept) + 2:
            dropped[name] = "one member alone tells it"
        else:
            dropped[name] = "follows from the other axes"
    return pool.only(everything, kept), dropped


def regress(pool: Pool) -> Regression:
    """Ordinary least squares of an identified pool, and again without each member."""
    design_RP, members = pool.design(), pool.members
    coefficients_P = _solve(design_RP, pool.value_R)
    left_out_GP = np.stack([_solve(design_RP[rest], pool.value_R[rest]) for rest in map(pool.without, members)])
    left_R = pool.value_R - design_RP @ coefficients_P
    own = [left_R[pool.member_R == member] for member in members]
    between = 1 + sum(
        all(np.ptp(column_R[pool.member_R == member]) == 0 for member in members) for column_R in pool.columns.values()
    )
    freedom = len(members) - between
    within_freedom = len(left_R) - len(members) - (design_RP.shape[1] - between)
    of_members = sum(float(rows.mean()) ** 2 for rows in own) / max(freedom, 1)
    of_rows = sum(float(((rows - rows.mean()) ** 2).sum()) for rows in own) / max(within_freedom, 1)
    spread = np.sqrt(max(of_members + of_rows, float((pool.noise_R**2).mean())))
    residual = np.sqrt((left_R**2).sum() / max(len(left_R) - design_RP.shape[1], 1))
    return Regression(coefficients_P, left_out_GP, float(residual), float(spread), freedom)


def pooled_law(pool: Pool) -> dict[str, Any]:
    """The regression of all rows with intervals, the axes that it could not tell, and the hold-out of the largest.

    Members are held out in the order of `member_R`.
    """
    num_members = len(pool.members)
    head = {"num_rows": len(pool.value_R), "num_members": num_members}
    missing = ""
    if num_members < MIN_MEMBERS:
        missing = f"{counted(num_members, 'member')}: a regression needs {MIN_MEMBERS}, add sizes"
        return head | {
            "coefficients": None,
            "dropped": {},
            "heldout": None,
            "heldout_reason": missing,
            "reason": missing,
        }
    pool, dropped = identified(pool)
    found = regress(pool)
    if found.freedom < 1 or len(pool.value_R) <= len(pool.columns) + 1:
        missing = (
            f"{counted(len(pool.value_R), 'row')} of {num_members} members leave nothing to judge it by: add sizes"
        )
        return head | {
            "coefficients": None, "dropped": dropped, "heldout": None, "heldout_reason": missing, "reason": missing,
        }  # fmt: skip
    heldout, heldout_reason = predict_largest(pool)
    half_P = half_width(LAW_LEVEL, num_members - 1) * found.deviations(np.eye(len(found.coefficients_P)))
    return head | {
        "coefficients": {
            name: {"value": float(value), "ci95": [float(value - half), float(value + half)]}
            for name, value, half in zip(["constant", *pool.columns], found.coefficients_P, half_P, strict=True)
        },
        "dropped": dropped,
        "residual": found.residual,
        "spread": found.spread,
        "heldout": heldout,
        "heldout_reason": heldout_reason,
        "reason": "",
    }


def predict_largest(pool: Pool) -> tuple[dict[str, Any] | None, str]:
    """Rows of the largest member against their predictions by the others, in the value's own scale, or why not."""
    largest = pool.members[-1]
    smaller_R = pool.without(largest)
    num_smaller = len(pool.members) - 1
    if num_smaller < MIN_SMALLER:
        return None, f"{counted(num_smaller, 'member')} below the largest: a prediction needs {MIN_SMALLER}, add sizes"
    fitted_pool, dropped = identified(pool.only(smaller_R))
    if dropped or set(fitted_pool.columns) != set(pool.columns):
        lost = ", ".join(sorted(set(pool.columns) - set(fitted_pool.columns)))
        return None, f"without the largest member {lost} cannot be told: measure more settings on the smaller ones"
    found = regress(fitted_pool)
    if found.freedom < 1:
        return None, f"{num_smaller} smaller members leave nothing to judge a prediction by: add sizes"
    target = pool.only(~smaller_R)
    told_R = target.design() @ found.coefficients_P
    spread_R = np.maximum(found.spread, target.noise_R)
    half_R = half_width(HELD_OUT_LEVEL, found.freedom) * np.hypot(found.deviations(target.design()), spread_R)
    inside_R = np.abs(target.value_R - told_R) <= half_R
    return {
        "member": float(largest),
        "num_fitted": num_smaller,
        "level": HELD_OUT_LEVEL,
        "num_inside": int(inside_R.sum()),
        "rows": [
            {"value": float(value), "prediction": float(told), "half_width": float(half), "inside": bool(inside)}
            for value, told, half, inside in zip(target.value_R, told_R, half_R, inside_R, strict=True)
        ],
    }, ""


def _solve(design_RP: Array, value_R: Array) -> Array:
    return np.linalg.lstsq(design_RP, value_R, rcond=None)[0]


def _centred(design_RP: Array) -> Array:
    """Columns around their mean and of equal size, so that a rank does not hang on units."""
    centred_RP = design_RP - design_RP.mean(0)
    size_P = np.abs(centred_RP).max(0)
    centred_RP /= np.where(size_P > 0, size_P, 1)
    centred_RP[:, 0] = 1
    return centred_RP
