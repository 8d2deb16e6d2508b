"""The gate: no speed is told without one of these, and one that fails takes the speed away.

Lossless techniques give the reference's tokens or its distribution; lossy ones stay within a stated divergence. T is
tokens, V the vocabulary.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.stats
import torch

Kind = Literal["token-exact", "first-divergence", "chi-square", "kl"]

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


def agreement(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """Tokens before the first difference."""
    for place, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
        if mine != other:
            return place
    return min(len(ours), len(theirs))


def first_divergence(
    reference: Sequence[Sequence[int]], found: Sequence[Sequence[int]], margins: Sequence[Sequence[float]], limit: float
) -> Check:
    """Where a row first leaves the reference, the reference's two best logits lie within `limit` of each other.

    margins: of every token of the reference, by how much its logit beats the next. Rounding may decide a near tie and
    nothing else.
    """
    at = [
        margin[place]
        for ours, theirs, margin in zip(found, reference, margins, strict=True)
        if (place := agreement(ours, theirs)) < len(theirs)
    ]
    worst = max(at, default=0.0)
    return Check(
        "first-divergence",
        worst,
        limit,
        worst <= limit,
        f"{len(at)} of {len(reference)} rows leave the reference, where it led by at most {worst:.3g}",
    )


def chi_square(samples: Sequence[int], probabilities_V: torch.Tensor) -> Check:
    """Samples follow a distribution: Pearson's test, outcomes expected fewer than five times taken together.

    One that the distribution rules out has p = 0.
    """
    expected = probabilities_V.double().numpy() * len(samples)
    counts = Counter(samples)
    seen = np.array([counts[outcome] for outcome in range(len(expected))], dtype=float)
    if seen[expected == 0].any():
        return Check("chi-square", 0.0, ALPHA, False, f"{len(samples):,} samples, some of probability 0")
    rare = expected < 5
    if rare.any():
        seen, expected = np.append(seen[~rare], seen[rare].sum()), np.append(expected[~rare], expected[rare].sum())
        if expected[-1] < 5:  # nor do they make five together: they join the rarest of the others
            place = int(expected[:-1].argmin())
            seen[place], expected[place] = seen[place] + seen[-1], expected[place] + expected[-1]
            seen, expected = seen[:-1], expected[:-1]
    p = float(scipy.stats.chisquare(seen, expected * seen.sum() / expected.sum()).pvalue)
    return Check("chi-square", p, ALPHA, p >= ALPHA, f"{len(samples):,} samples over {len(expected)} outcomes")


def divergence(reference_TV: torch.Tensor, found_TV: torch.Tensor, limit: float) -> Check:
    """Mean Kullback-Leibler divergence of the found logits from the reference's, in nats a token."""
    reference, found = torch.log_softmax(reference_TV.double(), -1), torch.log_softmax(found_TV.double(), -1)
    kl_T = (reference.exp() * (reference - found)).sum(-1)
    mean = float(kl_T.mean())
    return Check("kl", mean, limit, mean <= limit, f"{len(kl_T):,} tokens, at most {float(kl_T.max()):.3g}")
