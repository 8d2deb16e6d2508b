"""What a comparison of ways to distil found: a row a student, and every way against data alone at every size.

A contrast is the mean over seeds of the difference between two students of one size and seed, which began at the same
weights and met the same documents in the same order. Its variance has two parts. Items: held-out documents, ability
items or prompts, the same for all students, so that the difference is taken item by item. Training: the residual of an
additive model of way and seed, as in a randomised complete block design with seeds as blocks, pooled over sizes; it
has (ways - 1)(seeds - 1) degrees of freedom a size. The interval is Student's with Satterthwaite's degrees of freedom.
The residual holds some of the items' noise too: the interval is, if anything, too wide.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from evals.inference.acceptance import Acceptance, Kind
from experiments.distillation import DRAFTING
from sweeps import store

KINDS: tuple[Kind, ...] = ("greedy", "sampling")
METRICS = ("loss", "score", *KINDS)
LEVEL = 0.95
HOW = (
    "difference to data alone at the same size and seed, mean over seeds; ci95: Student's, of the items' paired "
    "differences and of the spread between seeds (residual of way + seed, pooled over sizes)"
)
Key = tuple[str, int, int]


@dataclass(frozen=True)
class Measured:
    """A metric of a student by item: its value is the sum of `values` over the sum of `weights`."""

    values: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> float:
        """The metric."""
        return float(self.values.sum() / self.weights.sum())


def table(
    teacher: tuple[dict[str, Any], Path], students: Sequence[tuple[dict[str, Any], Path]], num_draft: int
) -> dict[str, Any]:
    """`teacher`, `rows` and `contrasts`, plain JSON, of records and the directories where their judgements lie."""
    record, directory = teacher
    found = {(one["way"], one["size"], one["seed"]): read_measured(place) for one, place in students}
    return {
        "teacher": {
            "branch": f"{record['cell']}/{record['branch']}",
            **{name: record[name] for name in ("size", "tokens", "flops")},
            "params": record["params_non_embedding"],
            **_judgement(record, directory),
        },
        "rows": [_row(record, directory, num_draft) for record, directory in students],
        "contrasts": contrasts(found),
        "how": HOW,
    }


def _row(record: dict[str, Any], directory: Path, num_draft: int) -> dict[str, Any]:
    drafted = read_acceptance(directory)
    return {
        **{name: record[name] for name in ("way", "size", "seed", "tokens", "flops")},
        "params": record["params_non_embedding"],
        **{name: record[name] for name in ("sampled_positions", "sampling_flops", "sampling_seconds")},
        **{name: record[name] for name in ("judged_positions", "judging_flops")},
        **_judgement(record, directory),
        "acceptance": {
            kind: {
                "rate": drafted.rate(kind),
                "ci95": list(drafted.interval(kind)),
                "length": drafted.length(kind, num_draft),
            }
            for kind in KINDS
        },
    }


def _judgement(record: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Loss, and the share of exact answers by task and over all."""
    by_task: dict[str, list[float]] = {}
    for (task, _), value in _answers(directory).items():
        by_task.setdefault(task, []).append(value)
    return {
        "loss": record["loss"],
        "loss_se": record["loss_se"],
        "scores": {task: float(np.mean(values)) for task, values in by_task.items()},
        "score": read_measured(directory)["score"].mean,
    }


def read_acceptance(directory: Path) -> Acceptance:
    """The student's acceptance as a drafter of the teacher, by prompt."""
    found = store.read_json(directory / DRAFTING)
    return Acceptance(np.array(found["continued"]), {kind: np.array(found["accepted"][kind]) for kind in KINDS})


def read_measured(directory: Path) -> dict[str, Measured]:
    """Every metric by item, of a judgement's directory; items stand in one order for all students."""
    found, drafted = store.read_json(directory / DRAFTING), read_acceptance(directory)
    by_item: dict[str, list[float]] = {}  # a question may be asked in two ways, whose answers go together
    for (_, key), value in _answers(directory).items():
        by_item.setdefault(key, []).append(value)
    right, asked = (np.array([count(values) for values in by_item.values()], float) for count in (sum, len))
    measured = {kind: Measured(drafted.accepted[kind], drafted.tokens) for kind in KINDS}
    return {
        "loss": Measured(np.array(found["nats"]), np.array(found["tokens"])),
        "score": Measured(right, asked),
        **measured,
    }


def _answers(directory: Path) -> dict[tuple[str, str], float]:
    """Whether each item was answered exactly, by task and key, in their order."""
    samples = [json.loads(line) for line in (directory / store.SAMPLES).read_text().splitlines()]
    return dict(sorted(((one["task"], one["key"]), float(one["metrics"]["exact_match"])) for one in samples))


def as_drafters(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The students of `table` as drafters of their teacher, in the rows of acceptance over a family."""
    teacher = found["teacher"]
    return [
        {
            "suite": found["suite"],
            "target": teacher["branch"],
            "drafter": f"width {row['size']}, seed {row['seed']}, {row['way']}",
            "target_params": teacher["params"],
            "drafter_params": row["params"],
            "target_tokens": teacher["tokens"],
            "drafter_tokens": row["tokens"],
            "way": None if row["way"] == "data" else row["way"],
            **{kind: row["acceptance"][kind]["rate"] for kind in KINDS},
            **{f"{kind}_ci95": row["acceptance"][kind]["ci95"] for kind in KINDS},
        }
        for row in found["rows"]
    ]


def contrasts(found: Mapping[Key, Mapping[str, Measured]]) -> list[dict[str, Any]]:
    """A row a way and size, of students by way, size and seed; every size has every way and seed."""
    ways, sizes, seeds = (list(dict.fromkeys(key[place] for key in found)) for place in range(3))
    rows = []
    for size in sizes:
        for way in ways:
            if way != "data":
                row: dict[str, Any] = {"way": way, "against": "data", "size": size}
                for metric in METRICS:
                    students = {key: one[metric] for key, one in found.items()}
                    row[metric] = contrast(students, str(way), int(size), [int(seed) for seed in seeds])
                rows.append(row)
    return rows


def contrast(students: Mapping[Key, Measured], way: str, size: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Difference of one metric to data alone, by seed and over seeds, with its interval."""
    pairs = [(students[way, size, seed], students["data", size, seed]) for seed in seeds]
    weights = pairs[0][0].weights
    assert all(np.array_equal(one.weights, weights) for pair in pairs for one in pair)
    differences_SI = np.stack([ours.values - theirs.values for ours, theirs in pairs])
    by_seed = differences_SI.sum(1) / weights.sum()
    difference = float(by_seed.mean())
    items, num_items = ratio_variance(differences_SI.mean(0), weights), len(weights)
    residual, freedom = residual_variance(students, seeds)
    training = 2 * residual / len(seeds)
    half = 0.0
    if items + training > 0:
        combined = (items + training) ** 2 / (items**2 / (num_items - 1) + training**2 / freedom)
        half = float(stats.t.ppf((1 + LEVEL) / 2, combined)) * math.sqrt(items + training)
    return {"difference": difference, "ci95": [difference - half, difference + half], "by_seed": by_seed.tolist()}


def ratio_variance(values: np.ndarray, weights: np.ndarray) -> float:
    """Variance, over items, of the sum of values over the sum of weights (linearised)."""
    num_items = len(weights)
    residuals = values - values.sum() / weights.sum() * weights
    return float((residuals**2).sum() * num_items / (num_items - 1) / weights.sum() ** 2)


def residual_variance(students: Mapping[Key, Measured], seeds: Sequence[int]) -> tuple[float, int]:
    """Mean square of a metric's residual when way and seed are added up, pooled over sizes; and its freedom."""
    squares, freedom = 0.0, 0
    for size in {key[1] for key in students}:
        ways = [key[0] for key in students if key[1] == size and key[2] == seeds[0]]
        means_WS = np.array([[students[way, size, seed].mean for seed in seeds] for way in ways])
        residuals_WS = means_WS - means_WS.mean(0) - means_WS.mean(1, keepdims=True) + means_WS.mean()
        squares += float((residuals_WS**2).sum())
        freedom += (len(ways) - 1) * (len(seeds) - 1)
    return squares / freedom, freedom
