"""Scores out of what lm-eval returns, of tasks that are not ours."""

import math
import statistics
from typing import Any

import pytest

from evals.scores import Score, read

LOGPROBS = [-1.0, -2.5, -0.5, -4.0]
RIGHT = [1.0, 0.0, 1.0, 1.0]


def returned(found: dict[str, float]) -> dict[str, Any]:
    """Of a suite like lambada: perplexity's items are log-likelihoods, accuracy's are zeros and ones."""
    samples = [
        {
            "doc": {}, "doc_id": index, "target": "word", "filter": "none", "arguments": [("text", "word")],
            "resps": [[(logprob, bool(right))]], "metrics": ["perplexity", "acc"], "perplexity": logprob, "acc": right,
        }
        for index, (logprob, right) in enumerate(zip(LOGPROBS, RIGHT, strict=True))
    ]  # fmt: skip
    return {"results": {"lambada": found}, "samples": {"lambada": samples}}


def score(metric: str, value: float) -> Score:
    (found,) = read(returned({f"{metric},none": value, f"{metric}_stderr,none": 0.1})).scores
    return found


def test_only_a_mean_of_items_has_their_standard_error() -> None:
    assert score("perplexity", math.exp(-statistics.fmean(LOGPROBS))).se is None
    assert score("acc", 0.75).se == pytest.approx(statistics.stdev(RIGHT) / 2)
    assert score("acc", 0.1 + 0.2 + 0.45).se is not None
    assert score("acc", math.nan).se is None
