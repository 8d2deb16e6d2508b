"""What a text affords of a grid: whatever comes out can be trained on it, in every preset and at every length."""

import math

import pytest

from experiments.afford import afford, least_tokens, tokens_needed
from experiments.params import load
from experiments.presets import PRESETS
from sweeps.grid import Block, Suite, Training, cells

NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))


def suites(preset: str) -> dict[str, Suite]:
    return {name: suite for name, suite in load(PRESETS / f"{preset}.yaml").suites.items() if suite.data == "text"}


@pytest.mark.parametrize("preset", NAMES)
def test_in_every_preset_a_token_is_a_byte_and_blocks_name_tokens(preset: str) -> None:
    assert load(PRESETS / f"{preset}.yaml").tokenizer.vocab_size == 260
    assert all(block.tokens for suite in suites(preset).values() for block in suite.grid)


@pytest.mark.parametrize("preset", NAMES)
@pytest.mark.parametrize("tokens_there", [5_000, 60_000, 150_000, 900_000, 5_000_000, 60_000_000, 300_000_000])
def test_what_is_afforded_can_be_trained(preset: str, tokens_there: int) -> None:
    for name, suite in suites(preset).items():
        found = afford(suite, tokens_there)
        if found.how == "not at all":
            assert found.blocks == suite.grid
            continue
        kept = tuple(block for block in found.blocks if block is not None)
        made = cells(name, Suite(suite.family, kept, suite.training), 260)  # Refuses what is too short.
        for cell in made:
            tokens = cell.steps[-1] * suite.training.batch_tokens
            assert (cell.unique_tokens or tokens) < tokens_there
        asked, _ = (sum(len(block.tokens) for block in blocks) for blocks in (kept, suite.grid))
        assert sum(len(set(block.tokens)) for block in kept) == asked  # no two counts became one


LAPTOP = suites("laptop")["law"]


def test_enough_text_changes_nothing() -> None:
    assert afford(LAPTOP, 4_194_304 + 1).how == "whole"
    assert afford(LAPTOP, 4_194_304).how == "shorter"


def test_shorter_runs_keep_their_proportions_and_see_no_token_twice() -> None:
    found = afford(LAPTOP, 1_000_000)
    assert found.how == "shorter"
    for before, after in zip(LAPTOP.grid, found.blocks, strict=True):
        assert after is not None
        assert after.unique_tokens is None
        for asked, given in zip(before.tokens, after.tokens, strict=True):
            assert given / asked == pytest.approx(1_000_000 / 4_194_304, rel=0.005)
            assert given % LAPTOP.training.batch_tokens == 0


def test_what_is_too_short_for_fresh_runs_is_not_filled_with_repeats() -> None:
    found = afford(LAPTOP, 200_000)
    assert (found.how, found.blocks) == ("not at all", LAPTOP.grid)
    assert 400_000 < tokens_needed(LAPTOP) < 420_000


def test_fresh_and_repeated_runs_lose_the_fresh_ones_where_text_is_short() -> None:
    grid = suites("laptop")["saturation"].grid
    found = afford(suites("laptop")["saturation"], 200_000)
    assert found.how == "without"
    assert found.blocks == tuple(block if block.unique_tokens else None for block in grid)


@pytest.mark.parametrize("preset", NAMES)
def test_the_tokens_that_are_needed_are_the_fewest(preset: str) -> None:
    law = suites(preset)["law"]
    needed = tokens_needed(law)
    assert afford(law, needed).how != "not at all"
    assert afford(law, math.floor(0.98 * needed) - law.training.sequence_length).how == "not at all"


def test_the_least_run_is_what_the_grid_refuses_below() -> None:
    training = Training(warmup_steps=10, batch_tokens=1024, sequence_length=128)
    least = least_tokens(Suite("decoder", (Block((32,), tokens=(10**6,)),), training))
    assert cells("law", Suite("decoder", (Block((32,), tokens=(least,)),), training), 260)
    with pytest.raises(ValueError, match="twice the warm-up"):
        cells("law", Suite("decoder", (Block((32,), tokens=(least - 1024,)),), training), 260)
