"""What lm-eval's tasks measure of one item, from the item and the model's responses alone.

Every function takes an item as its file has it and lm-eval's responses, and returns the metrics' values.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from evals.abilities import Item, check
from evals.abilities.ability import final_answer

Row = Mapping[str, Any]
PASS_AT = (1, 2, 4, 8)
MAJORITY_AT = (4, 8)


def chance(metric: str, row: Row) -> float | None:
    """What guessing scores on the item: once for exact match, anew for every sample of pass@k; None where unbounded."""
    if metric in ("exact_match", "acc") or metric.startswith("majority@"):
        return row["chance"]
    if metric.startswith("pass@"):
        return 1 - (1 - row["chance"]) ** int(metric.removeprefix("pass@"))
    if metric == "brier":
        return 1 - 1 / len(row["choices"])
    if metric == "choice_logprob":
        return -math.log(len(row["choices"]))
    return None


def loglikelihood(row: Row, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Exact match of greedy decoding, because every target token is the likeliest after those before; likelihoods.

    The likelihood of the target is in nats: its sum, and a character (a token, where tokens are bytes of ASCII). A
    worked target is matched with its steps, which nobody guesses.
    """
    ((logprob, is_greedy),) = results
    return {
        "exact_match": float(is_greedy),
        "logprob": logprob,
        "logprob_per_char": logprob / len(row["target"]),
        "chance": 0.0 if row["style"] == "steps" else row["chance"],
    }


def choice(row: Row, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Of the choices' probabilities made to sum to one: accuracy, where ties share; Brier score; the answer's log."""
    logprobs = [logprob for logprob, _ in results]
    best, right = max(logprobs), row["choices"].index(row["answer"])
    weights = [math.exp(logprob - best) for logprob in logprobs]
    shares = [weight / math.fsum(weights) for weight in weights]
    return {
        "acc": (logprobs[right] == best) / logprobs.count(best),
        "brier": math.fsum((share - (index == right)) ** 2 for index, share in enumerate(shares)),
        "choice_logprob": logprobs[right] - best - math.log(math.fsum(weights)),
        "chance": row["chance"],
    }


def generate(row: Row, results: Sequence[str]) -> dict[str, float]:
    """Whether the ability's check accepts the response; how much of the answer it has, by edit distance."""
    (response,) = results
    return {
        "exact_match": float(check(as_item(row), response)),
        "edit_similarity": similarity(final_answer(response), row["answer"]),
        "chance": row["chance"],
    }


def sampled(row: Row, results: Sequence[Sequence[str]]) -> dict[str, float]:
    """pass@k without bias (Chen et al. 2021), and whether the most frequent of the first k answers is right."""
    (responses,) = results
    item = as_item(row)
    num_right = sum(check(item, response) for response in responses)
    answers = [final_answer(response) for response in responses]
    passes = {f"pass@{k}": pass_at(k, len(responses), num_right) for k in PASS_AT}
    votes = {f"majority@{k}": float(check(item, Counter(answers[:k]).most_common(1)[0][0])) for k in MAJORITY_AT}
    return {**passes, **votes, "chance": row["chance"]}


def as_item(row: Row) -> Item:
    """The item that a line of an item file holds."""
    return Item(**{**row, "choices": tuple(row["choices"])})


def pass_at(k: int, num_responses: int, num_right: int) -> float:
    """The share of the subsets of k responses that have a right one."""
    return 1 - math.comb(num_responses - num_right, k) / math.comb(num_responses, k)


@cache
def similarity(response: str, answer: str) -> float:
    """1 less the edit distance (Levenshtein 1966) as a share of the longer text's length."""
    from nltk.metrics.distance import edit_distance

    return 1 - edit_distance(response, answer) / max(len(response), len(answer), 1)
