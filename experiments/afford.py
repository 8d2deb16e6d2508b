"""What a text affords of a suite's grid: its token counts, or fewer of them.

Tokens are never repeated to fill a grid that has them fresh: a law of that is another law.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sweeps.grid import Block, Suite

How = Literal["whole", "shorter", "without", "not at all"]


@dataclass(frozen=True)
class Afforded:
    """The blocks of a grid as a text affords them, None where one is left out, and how they got there.

    whole: as they were. shorter: fewer tokens, none seen more often than before. without: the blocks that the text does
    not reach are left out, others repeat tokens anyway. not at all: as they were, and too much.
    """

    blocks: tuple[Block | None, ...]
    how: How


def afford(suite: Suite, tokens_there: int) -> Afforded:
    """The suite's grid on a text of that many training tokens; blocks whose unique tokens fit stay as they are."""
    usable = _whole(tokens_there - 1, suite.training.sequence_length)
    fits = [block.unique_tokens is not None and block.unique_tokens <= usable for block in suite.grid]
    long = [block for block, fit in zip(suite.grid, fits, strict=True) if not fit]
    need = max((block.unique_tokens or max(block.tokens) for block in long), default=0)
    if need <= usable:
        return Afforded(suite.grid, "whole")
    shortest = min(min(block.tokens) for block in long)
    if shortest * usable // need >= least_tokens(suite):
        scaled, how = [_scaled(suite, block, usable, need) for block in long], "shorter"
    elif any(fits):
        scaled, how = [None] * len(long), "without"
    else:
        return Afforded(suite.grid, "not at all")
    rest = iter(scaled)
    return Afforded(tuple(block if fit else next(rest) for block, fit in zip(suite.grid, fits, strict=True)), how)


def tokens_needed(suite: Suite) -> int:
    """The fewest training tokens on which `afford` finds a way for a grid that does not repeat tokens anyway."""
    need = max(block.unique_tokens or max(block.tokens) for block in suite.grid)
    shortest = min(min(block.tokens) for block in suite.grid)
    return -(-least_tokens(suite) * need // shortest) + suite.training.sequence_length


def least_tokens(suite: Suite) -> int:
    """Of a run: twice the warm-up, as the grid demands."""
    return 2 * suite.training.warmup_steps * suite.training.batch_tokens


def token_range(blocks: Sequence[Block | None]) -> tuple[int, int]:
    """The fewest and the most tokens of a run that sees each once; of any run where there is none such."""
    there = [block for block in blocks if block is not None]
    fresh = [block for block in there if block.unique_tokens is None]
    counts = [count for block in fresh or there for count in block.tokens]
    return min(counts), max(counts)


def _scaled(suite: Suite, block: Block, up: int, down: int) -> Block:
    """The block with its counts times up / down, in whole batches; its unique tokens too, in whole windows."""
    training, unique_tokens = suite.training, block.unique_tokens
    tokens = tuple(_whole(count * up // down, training.batch_tokens) for count in block.tokens)
    if unique_tokens is not None:
        unique_tokens = _whole(unique_tokens * up // down, training.sequence_length)
    return replace(block, tokens=tokens, unique_tokens=unique_tokens)


def _whole(tokens: int, unit: int) -> int:
    return tokens // unit * unit
