"""A Hugging Face directory as a language model; calls that wait together are generated together."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlm.calls import TooLong
from rlm.lm import Messages, ModelError, Price, Reply

CALLS = 1024  # whose prompts are remembered
BATCH_TOKENS = 32_768  # of a batch, padding and answers included


@dataclass(eq=False)
class _Waiting:
    ids: list[int]
    max_tokens: int
    answer: "asyncio.Future[list[int]]"


class HuggingFace:
    """A causal language model from its folder, greedy; at most BATCH_TOKENS at a time.

    Messages are put together by the tokenizer's chat template; without one, one after another.

    Raises ValueError where there is no such model.
    """

    def __init__(
        self, folder: Path, device: str = "cpu", window: int | None = None, price: Price | None = None
    ) -> None:
        if not (folder / "config.json").exists():
            raise ValueError(f"lm hf:{folder}: no config.json there: name a Hugging Face directory")
        self.name, self.price = f"hf:{folder}", price or Price()
        self.device = torch.device(device)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            self._model: Any = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"lm hf:{folder}: {' '.join(str(error).split())[:200]}") from None
        self._model.to(self.device).eval()
        told = window or getattr(self._model.config, "max_position_embeddings", None)
        if told is None:
            raise ValueError(f"lm hf:{folder}: its config.json does not tell max_position_embeddings: give --window")
        self.window: int = told
        self._ids = lru_cache(CALLS)(self._spelled)  # a call asks for its prompt's three times
        self._waiting: list[_Waiting] = []
        self._work: asyncio.Task[None] | None = None

    def num_tokens(self, messages: Messages) -> int:
        """Exactly."""
        return len(self._ids(messages))

    def most_tokens(self, messages: Messages) -> int:
        """The same."""
        return self.num_tokens(messages)

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """The most probable answer."""
        ids = self._ids(messages)
        waiting = _Waiting(ids, max_tokens, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._generate())
        found = await waiting.answer
        return Reply(self._tokenizer.decode(found, skip_special_tokens=True), len(ids), len(found))

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 [texts, width]: the mean of a text's last hidden states, without a template.

        Raises ValueError for an empty text, and TooLong for one that is longer than the window.
        """
        found = np.empty((len(texts), self._model.config.hidden_size), np.float32)
        ids: list[list[int]] = self._tokenizer(list(texts))["input_ids"] if texts else []
        for place, one in enumerate(ids):
            if not 0 < len(one) <= self.window:
                kind = TooLong if one else ValueError
                raise kind(f"text {place} has {len(one)} tokens: give 1 to {self.window}, the window")
        waiting = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
        while waiting:
            longest = len(ids[waiting[0]])
            batch, waiting = waiting[: BATCH_TOKENS // longest or 1], waiting[BATCH_TOKENS // longest or 1 :]
            padded = torch.tensor([ids[place] + [0] * (longest - len(ids[place])) for place in batch])
            lengths = torch.tensor([len(ids[place]) for place in batch])
            mask_BT = (torch.arange(longest) < lengths[:, None]).to(self.device)
            hidden_BTD = self._model.base_model(
                input_ids=padded.to(self.device), attention_mask=mask_BT, use_cache=False
            ).last_hidden_state
            sum_BD = (hidden_BTD.float() * mask_BT[..., None]).sum(1)  # the mean's direction
            found[batch] = torch.nn.functional.normalize(sum_BD, dim=1).cpu().numpy()
        return found

    def _spelled(self, messages: Messages) -> list[int]:
        if self._tokenizer.chat_template:
            told = [{"role": message.role, "content": message.content} for message in messages]
            return self._tokenizer.apply_chat_template(told, add_generation_prompt=True, return_dict=False)
        return self._tokenizer("\n".join(message.content for message in messages) + "\n")["input_ids"]

    async def _generate(self) -> None:
        """Batch after batch, while somebody waits."""
        await asyncio.sleep(0)  # until those have come that ask side by side
        while batch := self._taken():
            # As a result, whatever a model's own code raises: all of them wait for an answer.
            (found,) = await asyncio.gather(asyncio.to_thread(self._answers, batch), return_exceptions=True)
            if isinstance(found, BaseException):
                told = f"{self.name}: {type(found).__name__}: {' '.join(str(found).split())[:300]}"
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(ModelError(told))
                continue
            for one, ids in zip(batch, found, strict=True):
                if not one.answer.done():
                    one.answer.set_result(ids)

    def _taken(self) -> list[_Waiting]:
        """Who is next, the longest prompts first: as many as fit a batch, and each the window, with their padding."""
        waiting = [one for one in self._waiting if not one.answer.done()]
        waiting.sort(key=lambda one: len(one.ids), reverse=True)
        batch: list[_Waiting] = []
        for one in waiting:
            length = max(len(each.ids) for each in [*batch, one]) + max(each.max_tokens for each in [*batch, one])
            if not batch or (length <= self.window and length * (len(batch) + 1) <= BATCH_TOKENS):
                batch.append(one)
        self._waiting = [one for one in waiting if one not in batch]
        return batch

    @torch.inference_mode()
    def _answers(self, batch: list[_Waiting]) -> list[list[int]]:
        """New tokens of each, up to its end; all stop once nobody waits for any."""
        longest = max(len(one.ids) for one in batch)
        padding = self._tokenizer.pad_token_id or 0
        ids_BT = torch.tensor([[padding] * (longest - len(one.ids)) + one.ids for one in batch], device=self.device)
        mask_BT = torch.tensor([[0] * (longest - len(one.ids)) + [1] * len(one.ids) for one in batch])

        def nobody_waits(ids_BT: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            over = all(one.answer.done() for one in batch)
            return torch.full((len(ids_BT),), over, dtype=torch.bool, device=ids_BT.device)

        found_BT = self._model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT.to(self.device),
            max_new_tokens=max(one.max_tokens for one in batch),
            do_sample=False,
            pad_token_id=padding,
            stopping_criteria=[nobody_waits],
        )
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        return [
            _until(row[longest:][: one.max_tokens], ends) for row, one in zip(found_BT.tolist(), batch, strict=True)
        ]


def _until(ids: list[int], ends: set[int]) -> list[int]:
    """The tokens up to the first that ends a text, that one included: it was written."""
    return next((ids[: place + 1] for place, token in enumerate(ids) if token in ends), ids)
