"""What each rank hands to the others: counted from the operations that are issued, and in closed form.

The count is of payload, whatever way the backend moves it: a rank's own tensor for an all-reduce, an all-gather and a
send, the root's for a broadcast, nothing for a receive. On the wire a ring all-reduce over N ranks takes 2(N-1)/N times
its payload from each rank, an all-gather N-1 times.

Closed forms for greedy decoding of M tokens after a prompt of T, for each row of a batch; W width, L layers, H heads of
width D, K key-value heads, N ranks, e bytes a number (fp32's):

    tensor     each rank                    2 L W e             a token that is read (T + M - 1 of them)
    pipeline   all ranks but the last       W e                 a token that is read
               the last                     8                   a token, to the first; and each once more, to all
    sequence   each rank                    2 L K D e           a token of the prompt not in the next rank's block:
                                                                (N-1)/N of them where N divides T
               each rank                    L H (D + 1) e       a token decoded after the first
               the last                     8                   the first token, to all
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedConfig

NUMBER_BYTES = torch.float32.itemsize
TOKEN_BYTES = torch.int64.itemsize
NOTHING = {"recv_", "barrier"}
# Operations of torch.distributed by the place of the tensors a rank gives.
GIVEN = {"allreduce_": 0, "send": 0, "allgather_": 1}


class Traffic(TorchDispatchMode):
    """While entered: bytes of payload this rank gives.

    It sees what reaches torch's dispatcher, whoever issues it. Raises NotImplementedError for an operation whose
    payload it does not know.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.namespace in ("c10d", "_c10d_functional"):
            self._count(func.overloadpacket.__name__, args)
        return func(*args, **(kwargs or {}))

    def _count(self, name: str, args: tuple[Any, ...]) -> None:
        if name in NOTHING:
            return
        if name == "broadcast_":
            given = args[0] if args[2] == dist.get_rank() else []
        elif name in GIVEN:
            given = args[GIVEN[name]]
        else:
            raise NotImplementedError(f"what a rank gives to {name} is not known: add it to {__name__}")
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in _tensors(given))


def _tensors(given: Any) -> list[torch.Tensor]:
    return [given] if isinstance(given, torch.Tensor) else [tensor for one in given for tensor in _tensors(one)]


def split(num: int, num_ranks: int) -> list[int]:
    """How many of `num` layers or tokens each rank takes: as even as can be, the first ranks the more."""
    return [num // num_ranks + (rank < num % num_ranks) for rank in range(num_ranks)]


# Config, rank, number of ranks, rows, tokens of the prompt, tokens decoded: the bytes that rank gives (see above).
Expected = Callable[[PreTrainedConfig, int, int, int, int, int], int]


def tensor_bytes(
    config: PreTrainedConfig, rank: int, num_ranks: int, num_rows: int, num_prompt: int, num_tokens: int
) -> int:
    """Two all-reduces a layer, of one width a token."""
    reduced = 2 * config.num_hidden_layers * config.hidden_size * NUMBER_BYTES
    return num_rows * (num_prompt + num_tokens - 1) * reduced


def pipeline_bytes(
    config: PreTrainedConfig, rank: int, num_ranks: int, num_rows: int, num_prompt: int, num_tokens: int
) -> int:
    """Hidden states to the next rank; from the last each token but the last to the first, then all to all."""
    if rank < num_ranks - 1:
        return num_rows * (num_prompt + num_tokens - 1) * config.hidden_size * NUMBER_BYTES
    return num_rows * (2 * num_tokens - 1) * TOKEN_BYTES


def sequence_bytes(
    config: PreTrainedConfig, rank: int, num_ranks: int, num_rows: int, num_prompt: int, num_tokens: int
) -> int:
    """Every block of keys and values but the one the next rank owns; then an attention's share for each token."""
    heads = config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or config.hidden_size // heads
    passed_on = num_prompt - split(num_prompt, num_ranks)[(rank + 1) % num_ranks]
    prompt = passed_on * 2 * config.num_key_value_heads * head_width * NUMBER_BYTES
    steps = (num_tokens - 1) * heads * (head_width + 1) * NUMBER_BYTES
    first = TOKEN_BYTES if rank == num_ranks - 1 else 0
    return num_rows * (config.num_hidden_layers * (prompt + steps) + first)
