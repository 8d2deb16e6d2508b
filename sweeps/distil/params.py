"""What the comparison of ways to distil is asked for. Standard library only: params.yaml is read with it."""

import typing
from dataclasses import dataclass
from typing import Literal

from models.ladder import Shape

Way = Literal["data", "sequence", "logits", "on-policy"]
WAYS: tuple[Way, ...] = typing.get_args(Way)


@dataclass(frozen=True)
class DistillationParams:
    """Students of every size, seed and way, trained on `tokens` tokens each under one teacher.

    The teacher is a branch of `suite`, whose data and training settings are the students' too: `cell/branch`, or, with
    None, of the branches of most compute the one of least loss. `on_policy_share` is the last part of an on-policy
    student's tokens that it samples itself; before, it trains on data. `beta` blends that part's divergence between
    forward (0) and reverse (1). `num_draft` tokens are drafted at a time where an acceptance length is told.
    """

    suite: str = "teacher"
    teacher: str | None = None
    sizes: tuple[int, ...] = (16, 32)
    seeds: tuple[int, ...] = (0, 1)
    tokens: int = 600_000
    ways: tuple[Way, ...] = WAYS
    on_policy_share: float = 0.25
    beta: float = 0.5
    num_draft: int = 4

    def __post_init__(self) -> None:
        for name in ("sizes", "seeds", "ways"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or not values:
                raise ValueError(f"{name} is {list(values)}: list one or more, each once")
        for width in self.sizes:
            Shape(width)
        if len(self.seeds) < 2 or min(self.seeds) < 0:
            raise ValueError(f"seeds is {list(self.seeds)}: give two or more of 0 and up, their spread is measured")
        if "data" not in self.ways or len(self.ways) < 2:
            raise ValueError(f"ways is {list(self.ways)}: give data, which the others are held against, and another")
        if self.tokens < 1:
            raise ValueError(f"tokens is {self.tokens}: give the tokens a student trains on")
        if self.num_draft < 1:
            raise ValueError(f"num_draft is {self.num_draft}: give 1 or more")
        if self.teacher is not None and self.teacher.count("/") != 1:
            raise ValueError(f"teacher is {self.teacher!r}: give cell/branch, as in w0048-s3/t1599840")
        check_on_policy(self.on_policy_share, self.beta)


def check_on_policy(share: float, beta: float) -> None:
    """Raises ValueError for a share or a blend that there is not."""
    if not 0 < share <= 1:
        raise ValueError(f"on_policy_share is {share}: give a number above 0, at most 1")
    if not 0 <= beta <= 1:
        raise ValueError(f"beta is {beta}: give a number between 0 (forward divergence) and 1 (reverse)")
