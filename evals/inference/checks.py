"""The gate: no speed is told without one of these, and one that fails takes the speed away.

Lossless techniques give the reference's tokens or its distribution; lossy ones stay within a stated divergence. T is
tokens, V the vocabulary.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.stats
import torch

Kind = Literal[
    "token-exact", "first-divergence", "chi-square", "kl", "log-perplexity", "log-perplexity-control", "logits",
    "bytes", "ranks", "repeated",
]  # fmt: skip

ALPHA = 0.001  # of the chi-square: a sound sampler fails once in a thousand checks


@dataclass(frozen=True)
class Check:
    """What was compared, the figure, the limit it must keep, and whether it did."""

    kind: Kind
    value: float
    limit: float
    passed: bool
    detail: str


def token_exact(reference: Sequence[Sequence[int]], found: Sequence[Sequence[int]]) -> Check:
    """Every token of every row is the reference's; the value is the share of tokens before the first that is not."""
    same = total = 0
    for ours, theirs in zip(found, reference, strict=True):
        total += len(theirs)
        same += agreement(ours, theirs)
    share = same / total
    exact = [list(row) for row in found] == [list(row) for row in reference]
    return Check("token-exact", share, 1.0, exact, f"{same:,} of {total:,} tokens before the first difference")


def repeated(first: Sequence[Sequence[int]], last: Sequence[Sequence[int]]) -> Check:
    """What the last of the timed calls returned is what the checks saw of the first."""
    again = token_exact(first, last)
    return Check("repeated", again.value, again.limit, again.passed, again.detail)


def agreement(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """Tokens before the first difference."""
    for place, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
        if mine != other:
            return place
    return min(len(ours), len(theirs))


def first_divergence(
    reference: Sequence[Sequence[int]], found: Sequence[Sequence[int]], behind: Sequence[Sequence[float]], limit: float
) -> Check:
    """Where a row leaves the reference, and after it, each token is as good as the best within `limit`.

    behind: of every found token, by how much the reference's logit for it trails the best there, what was found before
    it given. Rounding may decide a near tie and nothing else; a row of another length fails.
    """
    left = [
        place
        for ours, theirs in zip(found, reference, strict=True)
        if (place := agreement(ours, theirs)) < max(len(ours), len(theirs))
    ]
    alike = [len(row) for row in found] == [len(row) for row in reference]
    worst = float(np.max(np.concatenate([np.asarray(row) for row in behind]))) if alike else math.inf
    where = f", the first at token {min(left) + 1}" if left else ""
    return Check(
        "first-divergence",
        worst,
        limit,
        worst <= limit,
        f"{len(left)} of {len(reference)} rows leave the reference{where}; no token trails its best by more than "
        f"{worst:.3g}",
    )


def pooled_chi_square(samples: Sequence[Sequence[int]], probabilities: Sequence[torch.Tensor]) -> Check:
    """Samples of several distributions follow each its own: Pearson's test, of the sums of statistics and of freedoms.

    Outcomes that are expected fewer than five times count together. One that cannot be has p = 0.
    """
    number = sum(map(len, samples))
    statistic, freedom = 0.0, 0
    for drawn, probabilities_V in zip(samples, probabilities, strict=True):
        own = _pearson(drawn, probabilities_V.double().cpu().numpy())
        if own is None:
            return Check("chi-square", 0.0, ALPHA, False, f"{number:,} samples, some of probability 0")
        statistic, freedom = statistic + own[0], freedom + own[1]
    assert freedom > 0, f"{number} samples are too few to tell anything of {len(samples)} distributions"
    p = float(scipy.stats.chi2.sf(statistic, freedom))
    detail = f"{number:,} samples of {len(samples)} distributions, {freedom} degrees of freedom, alpha {ALPHA:g}"
    return Check("chi-square", p, ALPHA, p >= ALPHA, detail)


def _pearson(samples: Sequence[int], probabilities_V: np.ndarray) -> tuple[float, int] | None:
    """The statistic and its degrees of freedom, none where nothing was drawn; None where an outcome cannot be."""
    if not len(samples):
        return 0.0, 0
    expected = probabilities_V * len(samples)
    counts = Counter(samples)
    seen = np.array([counts[outcome] for outcome in range(len(expected))], dtype=float)
    if seen[expected == 0].any():
        return None
    rare = expected < 5
    if rare.any():
        seen, expected = np.append(seen[~rare], seen[rare].sum()), np.append(expected[~rare], expected[rare].sum())
        if expected[-1] < 5 and len(expected) > 1:  # nor do they make five together: they join the rarest other
            place = int(expected[:-1].argmin())
            seen[place], expected[place] = seen[place] + seen[-1], expected[place] + expected[-1]
            seen, expected = seen[:-1], expected[:-1]
    return float(((seen - expected) ** 2 / expected).sum()), len(expected) - 1


def same_logits(reference_BTV: torch.Tensor, found: Sequence[torch.Tensor], limit: float) -> Check:
    """Every one of the found is the reference up to rounding.

    The value is the largest difference over the reference's largest logit, or over 1 if that is more: rounding is
    relative to what is summed.
    """
    worst = float(torch.stack([(one_BTV - reference_BTV).abs().max() for one_BTV in found]).max())  # NaN stays NaN
    largest = float(reference_BTV.abs().max())
    value = worst / max(1.0, largest)
    return Check("logits", value, limit, value <= limit, f"{worst:.3g} apart where the largest is {largest:.3g}")


def same_bytes(expected: Sequence[int], given: Sequence[int]) -> Check:
    """Every rank gave to the others what the closed form says; the value is how many ranks did."""
    right = sum(ours == theirs for ours, theirs in zip(given, expected, strict=True))
    detail = f"bytes by rank: {list(given)}, closed form {list(expected)}"
    return Check("bytes", float(right), float(len(expected)), right == len(expected), detail)


def unfinished_ranks(num_ranks: int, why: str) -> Check:
    """Ranks that failed, or wait for each other for ever, give nothing that could be compared."""
    return Check("ranks", 0.0, float(num_ranks), False, why)


def divergence(reference_TV: torch.Tensor, found_TV: torch.Tensor, limit: float) -> Check:
    """Mean Kullback-Leibler divergence of the found logits from the reference's, in nats a token."""
    reference, found = torch.log_softmax(reference_TV.double(), -1), torch.log_softmax(found_TV.double(), -1)
    kl_T = (reference.exp() * (reference - found)).sum(-1)
    mean = float(kl_T.mean())
    return Check("kl", mean, limit, mean <= limit, f"{len(kl_T):,} tokens, at most {float(kl_T.max()):.3g}")
