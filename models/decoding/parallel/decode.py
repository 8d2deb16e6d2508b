"""One rank's work: decodes a checkpoint in one of the three ways, and says what it gave to the others.

For `launch`: every rank reads the checkpoint and keeps its part.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM, PreTrainedModel

from models.decoding.parallel.pipeline import PipelineDecoder
from models.decoding.parallel.sequence import SequenceDecoder
from models.decoding.parallel.tensor import shard
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
    """A rank's view: the tokens (B, M), the payload bytes and operations of decoding them, the seconds of each run.

    logits_BTV: the prompt's, all of them on every rank (tensor), on the last and None elsewhere (pipeline), or this
    rank's block (sequence).
    """

    logits_BTV: torch.Tensor | None
    tokens: list[list[int]]
    bytes: int
    calls: dict[str, int]
    seconds: list[float]


def decode(
    way: Way,
    checkpoint: Path,
    prompts_BT: torch.Tensor,
    num_tokens: int,
    num_microbatches: int = 1,
    num_runs: int = 1,
) -> Decoded:
    """Decodes greedily in fp32: once to count bytes, then `num_runs` times by the clock, until all ranks are done."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    return decode_model(way, model, prompts_BT, num_tokens, num_microbatches, num_runs)


@torch.inference_mode()
def decode_model(
    way: Way,
    model: PreTrainedModel,
    prompts_BT: torch.Tensor,
    num_tokens: int,
    num_microbatches: int = 1,
    num_runs: int = 1,
) -> Decoded:
    """`decode` of a model in memory, the same on every rank; of it this rank's part is left."""
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
    seconds = []
    for _ in range(num_runs):
        dist.barrier()
        began = time.perf_counter()
        decoder.greedy(prompts_BT, num_tokens)
        dist.barrier()
        seconds.append(time.perf_counter() - began)
    return Decoded(logits_BTV, tokens_BM.tolist(), traffic.bytes, dict(traffic.calls), seconds)
