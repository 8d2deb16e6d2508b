"""The grid: rectangles, budgets, joined blocks, and one line for whatever does not make sense."""

from typing import Any

import pytest

from models.ladder import Shape
from sweeps.grid import Block, Cell, Suite, Training, cells

VOCAB = 260
TRAINING = Training(sequence_length=64, batch_tokens=1024, warmup_steps=10)


def suite(*blocks: Block) -> Suite:
    return Suite("decoder", blocks, TRAINING)


def test_a_rectangle_is_a_cell_a_size_and_seed_with_a_branch_a_token_count() -> None:
    made = cells("law", suite(Block(sizes=(32, 16), seeds=(1, 0), tokens=(81_920, 40_960))), VOCAB)
    expected = [Cell("law", "decoder", width, seed, (40, 80)) for width in (16, 32) for seed in (0, 1)]
    assert made == expected
    assert [cell.name for cell in made] == ["w0016-s0", "w0016-s1", "w0032-s0", "w0032-s1"]


def test_tokens_become_whole_batches() -> None:
    (cell,) = cells("law", suite(Block(sizes=(16,), tokens=(40_000, 41_471, 41_473))), VOCAB)
    assert cell.steps == (39, 40, 41)


def test_a_budget_gives_smaller_models_more_tokens_for_the_same_flops() -> None:
    budgets = (3e10, 1e11)
    made = cells("law", suite(Block(sizes=(16, 32, 64), budgets=budgets)), VOCAB)
    assert [len(cell.steps) for cell in made] == [2, 2, 2]
    for index, budget in enumerate(budgets):
        ends = [cell.steps[index] for cell in made]
        assert ends == sorted(ends, reverse=True)
        assert len(set(ends)) == 3
        for cell, end in zip(made, ends, strict=True):
            a_step = 1024 * Shape(cell.width).flops_per_token(VOCAB, 64)
            assert abs(end * a_step - budget) <= a_step / 2


def test_a_budget_leaves_out_what_is_outside_of_the_band() -> None:
    everything = cells("law", suite(Block(sizes=(16, 32, 64), budgets=(3e10, 1e11))), VOCAB)
    tokens = sorted(1024 * end for cell in everything for end in cell.steps)
    block = Block(sizes=(16, 32, 64), budgets=(3e10, 1e11), min_tokens=tokens[0] + 1024, max_tokens=tokens[-1] - 1024)
    banded = cells("law", suite(block), VOCAB)
    assert sorted(1024 * end for cell in banded for end in cell.steps) == tokens[1:-1]


def test_blocks_that_name_the_same_cell_join() -> None:
    first = Block(sizes=(16, 32), tokens=(40_960, 81_920))
    second = Block(sizes=(32, 48), seeds=(0, 1), tokens=(20_480, 81_920))
    steps = {cell.name: cell.steps for cell in cells("law", suite(first, second), VOCAB)}
    assert steps == {
        "w0016-s0": (40, 80),
        "w0032-s0": (20, 40, 80),
        "w0032-s1": (20, 80),
        "w0048-s0": (20, 80),
        "w0048-s1": (20, 80),
    }


def test_fresh_and_repeated_tokens_are_cells_of_their_own() -> None:
    fresh = Block(sizes=(16,), tokens=(40_960, 81_920))
    repeated = Block(sizes=(16,), tokens=(40_960, 163_840), unique_tokens=20_480)
    made = {cell.name: cell for cell in cells("law", suite(repeated, fresh), VOCAB)}
    assert list(made) == ["w0016-s0", "w0016-s0-u20480"]
    assert made["w0016-s0"].steps == (40, 80)
    assert made["w0016-s0-u20480"].steps == (40, 160)


BLOCK = {"sizes": [16], "tokens": [61_440]}
TOO_MANY = 10**8

REFUSALS: list[tuple[str, Any, str]] = [
    ("training.learning_rte", 0.1, "suites.law.training.learning_rte is not a known key: did you mean learning_rate?"),
    ("grid", [{**BLOCK, "token": [1]}], "suites.law.grid[0].token is not a known key: did you mean tokens?"),
    ("grid", [BLOCK, {"sizes": [16], "tokens": [-5]}], "suites.law.grid[1]: tokens has -5: give numbers above 0"),
    ("grid", [{"sizes": [16], "budgets": [0]}], "suites.law.grid[0]: budgets has 0.0: give numbers above 0"),
    ("grid", [{**BLOCK, "seeds": [0, -1]}], "suites.law.grid[0]: seeds has -1: give 0 or more"),
    ("grid", [{**BLOCK, "seeds": []}], "suites.law.grid[0]: seeds is empty: list at least one"),
    ("grid", [{**BLOCK, "sizes": []}], "suites.law.grid[0]: sizes is empty: list at least one"),
    ("grid", [{**BLOCK, "sizes": 16}], "suites.law.grid[0].sizes is 16: give a list"),
    ("grid", [{**BLOCK, "sizes": [40]}], "width 40 is not a multiple of 16, 4 or more: use 32 or 48"),
    ("grid", [{**BLOCK, "budgets": [1e12]}], "has tokens or budgets: give exactly one of the two lists"),
    ("grid", [{"sizes": [16]}], "has tokens or budgets: give exactly one of the two lists"),
    ("grid", [], "grid is empty: give at least one block of sizes and tokens"),
    ("grid", [{**BLOCK, "min_tokens": 10**6}], "suites.law: grid has no run left between min_tokens and max_tokens"),
    ("grid", [{"sizes": [16], "tokens": [5120]}], "tokens at size 16 are 10 whole steps of 512: give at least 10240"),
    ("grid", [{"sizes": [16], "tokens": [TOO_MANY]}], "asks for 99999744 tokens at size 16, there are"),
    ("grid", [{**BLOCK, "unique_tokens": TOO_MANY}], f"suites.law.grid has unique_tokens {TOO_MANY}, there are"),
    ("grid", [{**BLOCK, "unique_tokens": 100}], "grid[0].unique_tokens is 100: give one batch (512) or more"),
    ("unique_tokens", 1024, "suites.law.unique_tokens is not a known key"),
    ("family", "diffuser", "suites.law.family is 'diffuser': choose one of decoder"),
    ("training.precision", "fp8", "suites.law.training.precision is 'fp8': choose one of float32, bfloat16"),
    ("training.batch_tokens", 500, "batch_tokens 500 is not divisible by sequence_length 64: use 448"),
    ("training.learning_rate", 0, "suites.law.training: learning_rate is 0.0: give a number above 0"),
    ("training.learning_rate", float("nan"), "suites.law.training: learning_rate is nan: give a number above 0"),
    ("training.weight_decay", -1, "suites.law.training: weight_decay is -1.0: give 0 or more"),
    ("training.cooldown_share", 1, "cooldown_share is 1.0: give a number between 0 and 1"),
]


@pytest.mark.parametrize(
    ("key", "value", "message"), REFUSALS, ids=[f"{i}-{key}" for i, (key, _, _) in enumerate(REFUSALS)]
)
def test_what_makes_no_sense_is_refused_in_one_line_before_anything_runs(
    workplace, key: str, value: Any, message: str
) -> None:
    workplace.set(f"suites.law.{key}", value)
    verb = "plan" if len(message) % 2 else "train"  # Both read the same; each message is tried on one of them.
    assert message in workplace.refusal(verb)


def test_layers_give_a_size_every_depth_and_cells_of_their_own() -> None:
    blocks = Block(sizes=(32,), layers=(2, 24), tokens=(40_960,)), Block(sizes=(32,), tokens=(40_960,))
    made = cells("inference", suite(*blocks), VOCAB)
    assert [cell.name for cell in made] == ["w0032-s0", "w0032-l2-s0", "w0032-l24-s0"]
    assert [cell.shape.num_layers for cell in made] == [3, 2, 24]
    with pytest.raises(ValueError, match="layers 0: give 1 or more"):
        Block(sizes=(32,), layers=(0,), tokens=(40_960,))
