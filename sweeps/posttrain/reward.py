"""What a program is worth, by what became of it when it was run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweeps.posttrain.params import PosttrainParams


@dataclass(frozen=True)
class Rollout:
    """A program that was run: its answer's strict score from 0 to 1, the tokens that it spent, whether it ran."""

    score: float
    tokens: int
    valid: bool


# Runs programs, each for the question at its place among those that are trained on.
Run = Callable[[Sequence[tuple[int, str]]], list[Rollout]]


def reward(rollout: Rollout, params: PosttrainParams) -> float:
    """The score, less the price of the tokens, less that of a program which does not run."""
    price = params.token_price * rollout.tokens / 1000
    return rollout.score - price - params.invalid_price * (not rollout.valid)


def cheapest(programs: Sequence[str], rollouts: Sequence[Rollout]) -> list[str]:
    """Of a question's programs those that score 1 and spend the fewest tokens, each once."""
    right = [
        (rollout.tokens, program) for program, rollout in zip(programs, rollouts, strict=True) if rollout.score == 1
    ]
    fewest = min((tokens for tokens, _ in right), default=0)
    return list(dict.fromkeys(program for tokens, program in right if tokens == fewest))
