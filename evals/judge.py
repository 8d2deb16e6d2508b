"""A checkpoint as lm-eval's language model: no token but the text's, each text tokenised once, no progress bars."""

import hashlib
import logging
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from lm_eval.api.instance import Instance
from lm_eval.models import huggingface
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

HFLM: Any = huggingface.HFLM  # Its decorator hides its type.

# What it says below that level is about its own loading; prompts that do not fit are counted below.
logging.getLogger("lm_eval").setLevel(logging.ERROR)


class Judge(HFLM):
    """lm-eval's Hugging Face model of a checkpoint's directory, in fp32, or of a model in memory with its tokenizer.

    Prompts begin with their own first token, as rows of training do. `cut` counts, by task, the requests that do not
    fit the model's window and lost the beginnings of their prompts.
    """

    def __init__(self, checkpoint: Path, batch_size: int, device: str, model: PreTrainedModel | None = None) -> None:
        if model is None:
            loaded = cast(torch.nn.Module, AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32))
            model = cast(PreTrainedModel, loaded.to(device))
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, add_bos_token=False)
        self.cut: Counter[str] = Counter()
        self._window = super().max_length  # Looking it up is slow, and lm-eval does so for every request.
        self._encodings = _encodings_of(_tokenizer_digest(checkpoint))

    @property
    def max_length(self) -> int:
        """Tokens that the model can read at once."""
        return self._window

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **kwargs: Any
    ) -> list[int]:
        """The ids of a text; the list is shared, so it must not be changed."""
        if add_special_tokens or left_truncate_len or kwargs:
            return super().tok_encode(string, add_special_tokens, left_truncate_len, **kwargs)
        ids = self._encodings.get(string)
        if ids is None:
            ids = self._encodings[string] = super().tok_encode(string, add_special_tokens=False)
        return ids

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """As lm-eval has it, without progress bars."""
        for request in requests:
            prompt, target = cast(tuple[str, str], request.args)
            self._count_cut(request, len(self.tok_encode(prompt + target)) - 1)
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """As lm-eval has it, without progress bars."""
        for request in requests:
            prompt, settings = cast(tuple[str, dict[str, Any]], request.args)
            self._count_cut(request, len(self.tok_encode(prompt)) + settings.get("max_gen_toks", self.max_gen_toks))
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def _count_cut(self, request: Instance, num_tokens: int) -> None:
        if num_tokens > self.max_length:
            self.cut[request.task_name or ""] += 1


def _tokenizer_digest(checkpoint: Path) -> str:
    files = [path for path in sorted(checkpoint.iterdir()) if path.suffix in (".json", ".txt", ".model")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files if path.name != "config.json")).hexdigest()


@lru_cache(maxsize=2)
def _encodings_of(tokenizer: str) -> dict[str, list[int]]:
    """The ids of texts under a tokenizer, which the checkpoints of a sweep share."""
    return {}
