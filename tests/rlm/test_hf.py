"""A Hugging Face directory as a model: what is asked side by side is answered as if it were asked alone."""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models import checkpoint, decoder
from models.ladder import Shape
from models.tokenizer import train_tokenizer
from rlm import hf
from rlm.hf import HuggingFace
from rlm.lm import Message, Messages, ModelError, Reply
from rlm.solver import RLM

WINDOW = 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, the output head's too."""
    place = tmp_path_factory.mktemp("model")
    model = decoder.build(Shape(32, 2), 260, WINDOW, seed=0)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(0))
    train_tokenizer([], 260).save_pretrained(place / "tokenizer")
    checkpoint.save(model, place / "tokenizer", place / "checkpoint")
    return place / "checkpoint"


@pytest.fixture
def alone(folder: Path) -> Callable[[str, int], list[int]]:
    """The most probable tokens, the whole text computed again for each, to the end of a text."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def decode(text: str, max_tokens: int) -> list[int]:
        ids = tokenizer(text)["input_ids"]
        for written in range(max_tokens):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
            if ids[-1] == model.generation_config.eos_token_id:
                return ids[-written - 1 :]
        return ids[-max_tokens:]

    return decode


def said(text: str) -> Messages:
    return (Message("user", text),)


def test_a_batch_is_answered_as_each_alone(folder: Path, alone, run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several lengths, and with room for about three of them in a batch."""
    monkeypatch.setattr(hf, "BATCH_TOKENS", 200)
    lm, batches = HuggingFace(folder), []
    answers = lm._answers
    monkeypatch.setattr(lm, "_answers", lambda batch: batches.append(len(batch)) or answers(batch))
    asked = [("a", 12), ("bc" * 20, 5), ("def", 20), ("x" * 60, 12), ("caf\u00e9", 1), ("z" * 33, 30)]

    async def ask() -> list[Reply]:
        return await asyncio.gather(*(lm.complete(said(text), most) for text, most in asked))

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for (text, most), reply in zip(asked, run(ask()), strict=True):
        expected = alone(f"{text}\n", most)
        assert reply.text == tokenizer.decode(expected, skip_special_tokens=True)
        assert (reply.prompt_tokens, reply.completion_tokens) == (len(text.encode()) + 1, len(expected))
    assert sum(batches) == len(asked)
    assert 1 < len(batches) < len(asked)


def test_a_text_ends_at_its_end(folder: Path, alone, run, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = HuggingFace(folder)
    second = alone("abc\n", 2)[1]
    monkeypatch.setattr(lm._model.generation_config, "eos_token_id", [second])
    assert run(lm.complete(said("abc"), 30)).completion_tokens == 2


def test_a_chat_template_is_used_where_there_is_one(folder: Path) -> None:
    lm = HuggingFace(folder)
    assert lm.num_tokens(said("abc")) == lm.most_tokens(said("abc")) == 4
    lm = HuggingFace(folder)
    lm._tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    assert lm.num_tokens(said("abc")) == len("<user>abc")


def test_a_failure_of_torch_is_told_to_all_who_wait(folder: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = HuggingFace(folder)

    def fail(**_: object) -> None:
        raise RuntimeError("out of memory:\n  tried to allocate")

    monkeypatch.setattr(lm._model, "generate", fail)

    async def ask() -> list[Reply | BaseException]:
        return await asyncio.gather(*(lm.complete(said("a"), 3) for _ in range(3)), return_exceptions=True)

    told = run(ask())
    assert {str(error) for error in told} == {f"hf:{folder}: RuntimeError: out of memory: tried to allocate"}
    assert all(isinstance(error, ModelError) for error in told)


def test_what_fits_alone_is_not_made_too_long_by_its_neighbours(folder: Path, run, monkeypatch) -> None:
    """A long prompt with a short answer beside a short prompt with a long one: together they pass the window."""
    lm = HuggingFace(folder)
    lengths, generate = [], lm._model.generate
    monkeypatch.setattr(lm._model, "generate", lambda **asked: lengths.append(asked) or generate(**asked))

    async def ask() -> list[Reply]:
        return await asyncio.gather(lm.complete(said("a" * 110), 10), lm.complete(said("b"), 100))

    run(ask())
    assert [one["input_ids"].shape[1] + one["max_new_tokens"] for one in lengths] == [121, 102]


def test_nobody_hangs_when_one_of_a_failing_batch_was_given_up(folder: Path, run, monkeypatch) -> None:
    lm = HuggingFace(folder)

    def fail(**_: object) -> None:
        time.sleep(0.2)
        raise IndexError("past the last position")

    monkeypatch.setattr(lm._model, "generate", fail)

    async def ask() -> list[Reply | BaseException]:
        first = asyncio.create_task(lm.complete(said("a"), 3))
        second = asyncio.create_task(lm.complete(said("a"), 3))
        await asyncio.sleep(0.1)
        first.cancel()
        return await asyncio.gather(first, second, return_exceptions=True)

    given_up, told = run(ask())
    assert isinstance(given_up, asyncio.CancelledError)
    assert str(told) == f"hf:{folder}: IndexError: past the last position"


def test_vectors_are_the_mean_of_each_text_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several lengths, two or three in a batch, in the order in which they are given."""
    monkeypatch.setattr(hf, "BATCH_TOKENS", 100)
    texts = ["a", "bc" * 20, "def", "x" * 60, "caf\u00e9", "z" * 33]
    found = HuggingFace(folder).embed(texts)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for vector, text in zip(found, texts, strict=True):
        with torch.inference_mode():
            hidden_TD = model(torch.tensor([tokenizer(text)["input_ids"]]), output_hidden_states=True).hidden_states[-1]
        mean_D = hidden_TD[0].mean(0).numpy()
        np.testing.assert_allclose(vector, mean_D / np.linalg.norm(mean_D), atol=1e-5)
    assert (found.dtype, found.shape) == (np.float32, (6, 32))


def test_what_has_no_vector_is_refused(folder: Path) -> None:
    lm = HuggingFace(folder)
    assert lm.embed([]).shape == (0, 32)
    with pytest.raises(ValueError, match="text 1 has 0 tokens: give 1 to 128"):
        lm.embed(["a", ""])
    with pytest.raises(ValueError, match="text 0 has 129 tokens: give 1 to 128"):
        lm.embed(["a" * 129])


def test_a_solver_takes_it(folder: Path) -> None:
    """Random weights write no program: that is told, and the run ends in order."""
    found = RLM(HuggingFace(folder, window=4096), max_turns=2, reply_tokens=8).solve("q", "text")
    assert (found.status, found.calls) == ("exhausted", 2)
    found = RLM(HuggingFace(folder), reply_tokens=8).solve("q", "text")
    assert found.status == "failed"
    assert f"do not fit a window of {WINDOW}" in found.reason


def test_what_is_no_model_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json there: name a Hugging Face directory"):
        HuggingFace(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ValueError, match=f"lm hf:{tmp_path}: "):
        HuggingFace(tmp_path)
    shutil.copytree(folder, tmp_path / "damaged")
    (tmp_path / "damaged/model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match=f"lm hf:{tmp_path}/damaged: .*header too small"):
        HuggingFace(tmp_path / "damaged")
