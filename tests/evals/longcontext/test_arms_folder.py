"""Arms on a model folder with the built-in tokenizer: tokens are counted exactly, and what can wait together does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.arms import ARMS, READERS, arm
from evals.longcontext.arms.chunks import chunks
from evals.longcontext.arms.indexes import VectorIndex
from evals.longcontext.item import Item
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.programs import CHUNK_BYTES
from models import checkpoint, decoder
from models.ladder import Shape
from rlm.hf import HuggingFace
from rlm.lm import Messages, Reply
from rlm.policy import Trained, parse_leaf, policy_tokenizer

Drawn = Callable[..., list[Item]]
WINDOW, LEAF_TOKENS = 256, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, lexicon: Lexicon) -> Path:
    """Random weights, the output head's too; every word of the world is a token."""
    place = tmp_path_factory.mktemp("model")
    tokenizer = policy_tokenizer(f" {word}" for word in lexicon.vocabulary() if word != "\n")
    tokenizer.save_pretrained(place / "tokenizer")
    model = decoder.build(Shape(32, 2), len(tokenizer), WINDOW, seed=0)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(0))
    checkpoint.save(model, place / "tokenizer", place / "checkpoint")
    return place / "checkpoint"


class Heard(HuggingFace):
    """Keeps what it was asked, what it replied, and how many it answered at a time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.heard: list[tuple[Messages, Reply]] = []
        self.batches: list[int] = []

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        reply = await super().complete(messages, max_tokens)
        self.heard.append((messages, reply))
        return reply

    def _answers(self, batch) -> list[list[int]]:
        self.batches.append(len(batch))
        return super()._answers(batch)


@pytest.mark.parametrize("name", [one.called for one in READERS])
def test_each_reads_within_the_window_and_counts_as_the_model_does(run, name: str, folder: Path, drawn: Drawn) -> None:
    (item, *_) = drawn("count", 3)
    lm = Heard(folder)
    found = run(arm(name, lm, Trained(), LEAF_TOKENS).answer(Asked.of(item)))
    assert found.status == "done"
    assert found.calls == len(lm.heard) > 0
    assert found.tokens == sum(reply.tokens for _, reply in lm.heard)
    for messages, reply in lm.heard:
        asked = parse_leaf(messages[0].content)
        assert asked is not None
        assert asked[0] == item.question
        assert reply.prompt_tokens == lm.num_tokens(messages)
        assert (reply.prompt_tokens + LEAF_TOKENS > WINDOW) == (name == "direct")
        assert name == "summary" or set(asked[1].splitlines()) <= set(item.context.splitlines())
        if name in ("bm25", "dense", "truncation"):
            assert reply.prompt_tokens + LEAF_TOKENS > WINDOW - 30  # two lines more would not fit


def test_chunks_are_answered_together(run, folder: Path, drawn: Drawn) -> None:
    (item, *_) = drawn("count", 3)
    lm = Heard(folder)
    found = run(arm("map-reduce", lm, Trained(), LEAF_TOKENS).answer(Asked.of(item)))
    assert lm.batches == [found.calls] == [len(chunks(item.context, CHUNK_BYTES))]


@pytest.mark.parametrize("name", ["dense", "agentic"])
def test_a_line_without_a_vector_fails_its_item_alone(run, name: str, folder: Path) -> None:
    asked = Asked("where is it ?", f"ana 1 : fram\n{'1 ' * WINDOW}\n", "exact")
    found = run(arm(name, HuggingFace(folder), Trained(), LEAF_TOKENS).answer(asked))
    assert (found.answer, found.calls, found.status) == (None, 0, "failed")
    assert found.reason.startswith("text 1 has ")


def test_a_line_is_nearest_to_itself(folder: Path, drawn: Drawn) -> None:
    lines = drawn("count", 2)[0].context.splitlines()
    index = VectorIndex(HuggingFace(folder), lines)
    for place in (0, 7, len(lines) - 1):
        ranked = index.ranked(lines[place])
        assert ranked[0] == place
        assert sorted(ranked) == list(range(len(lines)))


def test_a_model_that_writes_no_program_ends_in_order(run, folder: Path, drawn: Drawn) -> None:
    (item, *_) = drawn("count", 1)
    lm = Heard(folder)
    found = run(arm("rlm-1", lm, Trained(), LEAF_TOKENS, reply_tokens=8, max_turns=2).answer(Asked.of(item)))
    assert (found.answer, found.status, found.calls) == (None, "exhausted", 2)
    assert found.tokens == sum(reply.tokens for _, reply in lm.heard)
    assert set(ARMS) == {*(one.called for one in READERS), "rlm-0", "rlm-1", "rlm-2"}
