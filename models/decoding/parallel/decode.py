"""One rank's work: decodes a checkpoint in one of the three ways, and says what it gave to the others.

For `launch`: every rank reads the checkpoint and keeps its part.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM, PreTrainedModel

from models.decoding.parallel.pipeline import PipelineDecoder, check_layers
from models.decoding.parallel.sequence import SequenceDecoder, check_prompt
from models.decoding.parallel.tensor import check_divisible, planned, shard
from models.decoding.parallel.traffic import Expected, Traffic, pipeline_bytes, sequence_bytes, tensor_bytes
from models.decoding.static import StaticDecoder

Way = Literal["tensor", "pipeline", "sequence"]
EXPECTED_BYTES: dict[Way, Expected] = {
    "tensor": tensor_bytes,
    "pipeline": pipeline_bytes,
    "sequence": sequence_bytes,
}


@dataclass(frozen=True)
class Decoded:
    """A rank's view: the tokens (B, M), and the payload bytes of decoding them.

    logits_BTV: the prompt's, all of them on every rank (tensor), on the last and None elsewhere (pipeline), or this
    rank's block (sequence). alone, together: seconds of each turn of the whole model on the first rank, empty on the
    others, and of all ranks together. last: the tokens of all ranks in the last turn, the same where there was none.
    """

    logits_BTV: torch.Tensor | None
    tokens: list[list[int]]
    bytes: int
    last: list[list[int]]
    alone: list[float]
    together: list[float]


def check_ranks(way: Way, model: PreTrainedModel, num_ranks: int, num_prompt: int) -> None:
    """Raises ValueError where a model, or a prompt of so many tokens, cannot be divided in that way."""
    if way == "tensor":
        check_divisible(model, num_ranks)
        planned(model)
    elif way == "pipeline":
        check_layers(model, num_ranks)
    else:
        check_prompt(model, num_ranks, num_prompt)


@torch.inference_mode()
def decode(
    way: Way,
    checkpoint: Path,
    prompts_BT: torch.Tensor,
    num_tokens: int,
    num_microbatches: int = 1,
    num_turns: int = 0,
) -> Decoded:
    """Decodes greedily in fp32: once to count bytes, then `num_turns` times in turns with the whole model on one rank.

    Of the ranks together it is the time until all are done; they wait for each other before and after.
    """
    model = _load(checkpoint)
    if way == "tensor":
        shard(model)
        logits_BTV = model(input_ids=prompts_BT, use_cache=False).logits
        decoder = StaticDecoder(model, prompts_BT.shape[1] + num_tokens, compile=False)
    elif way == "pipeline":
        decoder = PipelineDecoder(model, num_microbatches)
        logits_BTV = decoder.logits(prompts_BT)
    else:
        decoder = SequenceDecoder(model)
        logits_BTV = decoder.prefill(prompts_BT)
    with Traffic() as traffic:
        tokens_BM = decoder.greedy(prompts_BT, num_tokens)
    found = [tokens_BM]
    alone, together = _turns(
        _whole(checkpoint, prompts_BT, num_tokens) if num_turns and dist.get_rank() == 0 else None,
        lambda: found.append(decoder.greedy(prompts_BT, num_tokens)),
        num_turns,
    )
    return Decoded(logits_BTV, tokens_BM.tolist(), traffic.bytes, found[-1].tolist(), alone, together)


def _load(checkpoint: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="sdpa")


def _whole(checkpoint: Path, prompts_BT: torch.Tensor, num_tokens: int) -> Callable[[], object]:
    """The whole model by the same eager steps, warm."""
    decoder = StaticDecoder(_load(checkpoint), prompts_BT.shape[1] + num_tokens, compile=False)
    decoder.greedy(prompts_BT, num_tokens)
    return lambda: decoder.greedy(prompts_BT, num_tokens)


def _turns(
    whole: Callable[[], object] | None, shared: Callable[[], object], num_turns: int
) -> tuple[list[float], list[float]]:
    """Seconds of both, the order reversed every other turn; where there is no whole one, this rank waits."""
    alone: list[float] = []
    together: list[float] = []

    def by_itself() -> None:
        dist.barrier()
        if whole is not None:
            alone.append(_seconds(whole))

    def by_all() -> None:
        dist.barrier()
        together.append(_seconds(lambda: (shared(), dist.barrier())))

    for turn in range(num_turns):
        for side in (by_itself, by_all)[:: -1 if turn % 2 else 1]:
            side()
    return alone, together


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
