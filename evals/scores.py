"""Scores and samples out of what lm-eval returns."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.abilities import ABILITIES
from evals.tasks.metrics import chance

Row = Mapping[str, Any]
ROUNDING = 1e-6


@dataclass(frozen=True)
class Score:
    """A metric of a task.

    ability, style and kind are those of the items; a suite from elsewhere is its own ability, of no style, of kind
    `suite`. se is the standard error over items, None where the metric is no mean of items. chance is what guessing
    scores, None where that has no bound.
    """

    task: str
    ability: str
    style: str
    kind: str
    metric: str
    value: float
    se: float | None
    num_items: int
    chance: float | None


@dataclass(frozen=True)
class Sample:
    """An item as the model met it. prompt is with its shots; responses is empty where nothing was generated."""

    task: str
    key: str
    prompt: str
    target: str
    responses: tuple[str, ...]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """What one checkpoint scores."""

    scores: list[Score]
    samples: list[Sample]


def read(results: Mapping[str, Any]) -> Evaluation:
    """Of the dictionary of `lm_eval.evaluate`: a score for every metric, the in-context-learning score, the samples."""
    scores, samples = [], []
    for task, found in results["results"].items():
        rows = results["samples"][task]
        scores += [
            _score(task, metric, value, rows)
            for metric, value in found.items()
            if "," in metric and "_stderr," not in metric and not metric.startswith("chance,")
        ]
        samples += [_sample(task, row) for row in rows]
    return Evaluation(scores + icl_score(samples), samples)


def icl_score(samples: Sequence[Sample]) -> list[Score]:
    """What long context is worth, in nats a character, where both text tasks were evaluated; else nothing.

    Its standard error is that of the pairs' differences.
    """
    early, late = ({s.key: s.metrics for s in samples if s.task == f"scalelab_text_{end}"} for end in ("early", "late"))
    gains = [late[key]["logprob_per_char"] - early[key]["logprob_per_char"] for key in late if key in early]
    if not gains:
        return []
    value, kind = statistics.fmean(gains), "in-context"
    return [Score("scalelab_text", "text", "", kind, "icl_score", value, _standard_error(gains), len(gains), 0.0)]


def _score(task: str, metric: str, value: float, rows: Sequence[Row]) -> Score:
    """metric is lm-eval's, with the filter of the responses behind a comma; `none` is left out."""
    name, _, filter_name = metric.partition(",")
    rows = [row for row in rows if row["filter"] == filter_name]
    values = [row[name] for row in rows if isinstance(row.get(name), int | float)]
    doc = rows[0]["doc"]
    ability = doc.get("ability", task) if task.startswith("scalelab_") else task
    kind = ABILITIES[ability].kind if ability in ABILITIES else "in-context" if ability == "text" else "suite"
    style = doc["style"] if kind != "suite" else ""
    label = name if filter_name == "none" else metric
    chances = [_chance(name, row) for row in rows]
    guessed = None if None in chances else statistics.fmean(c for c in chances if c is not None)
    is_mean = bool(values) and math.isclose(statistics.fmean(values), value, rel_tol=ROUNDING, abs_tol=ROUNDING)
    error = _standard_error(values) if is_mean else None
    return Score(task, ability, style, kind, label, value, error, len(rows), guessed)


def _chance(metric: str, row: Row) -> float | None:
    if "chance" in row["doc"]:
        return chance(metric, {**row["doc"], "chance": row["chance"]})
    is_choice = metric in ("acc", "acc_norm") and len(row["arguments"]) > 1
    return 1 / len(row["arguments"]) if is_choice else None


def _standard_error(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def _sample(task: str, row: Row) -> Sample:
    prompt = str(row["arguments"][0][0])
    texts = tuple(response for response in row["resps"][0] if isinstance(response, str))
    key = str(row["doc"].get("key", row["doc_id"]))
    return Sample(task, key, prompt, str(row["target"]), texts, {metric: row[metric] for metric in row["metrics"]})
