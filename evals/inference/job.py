"""What a process needs to measure one technique on one checkpoint. Standard library only: bad input costs no import."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["cache", "attention", "precision", "speculation", "serving", "parallel"]
Precision = Literal["float32", "bfloat16"]

KINDS: dict[str, Kind] = {
    "kv-cache": "cache",
    "static-cache": "cache",
    "sdpa": "attention",
    "flash": "attention",
    "bfloat16": "precision",
    "int8-weight-only": "precision",
    "int8-dynamic": "precision",
    "int4-weight-only": "precision",
    "int8-dynamic-qat": "precision",
    "int4-weight-only-qat": "precision",
    "speculative": "speculation",
    "speculative-sampling": "speculation",
    "prompt-lookup": "speculation",
    "early-exit": "speculation",
    "prefix-cache": "cache",
    "batching": "serving",
    "continuous-batching": "serving",
    "tensor-parallel-2": "parallel",
    "tensor-parallel-4": "parallel",
    "pipeline-parallel-2": "parallel",
    "pipeline-parallel-4": "parallel",
    "sequence-parallel-2": "parallel",
    "sequence-parallel-4": "parallel",
}
TECHNIQUES = tuple(KINDS)
WEIGHTS = (".safetensors", ".bin")
COMPOSITIONS = (
    "static-cache x batching",
    "bfloat16 x static-cache",
    "bfloat16 x speculative",
    "int8-weight-only x speculative",
)


@dataclass(frozen=True)
class Job:
    """One technique, or a composition of two, at one cell of the grid; the prompts are parts of `text`.

    Both sides take `num_pairs` turns, and but for ranks as many more as take `least_seconds`. dtype: of the model on
    both sides. training_text: what quantisation-aware training may train on. tasks and items: what a technique that
    changes the answers is asked besides, by lm-eval. random: the weights are, whose speed alone is worth asking.

    Raises ValueError for a technique that is not known, a folder without a checkpoint and more tokens than its window.
    """

    technique: str
    model: Path
    drafter: Path | None
    text: str
    prompt_tokens: int
    new_tokens: int
    batch: int
    num_pairs: int
    device: str
    dtype: Precision = "float32"
    training_text: str | None = None
    tasks: tuple[str, ...] = ()
    items: Path | None = None
    least_seconds: float = 0.0
    random: bool = False

    def __post_init__(self) -> None:
        known = (*TECHNIQUES, *COMPOSITIONS)
        if self.technique not in known:
            raise ValueError(f"technique {self.technique!r}: give one of {', '.join(known)}")
        if self.dtype not in get_args(Precision):
            raise ValueError(f"dtype {self.dtype!r}: give one of {', '.join(get_args(Precision))}")
        for name in ("prompt_tokens", "new_tokens", "batch", "num_pairs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: give at least 1")
        for path in filter(None, (self.model, self.drafter)):
            window = read_window(path)
            if window is not None and self.prompt_tokens + self.new_tokens > window:
                raise ValueError(
                    f"prompt_tokens {self.prompt_tokens} and new_tokens {self.new_tokens}: the window of {path} has "
                    f"{window} tokens, ask for fewer"
                )


def read_window(checkpoint: Path) -> int | None:
    """Tokens a Hugging Face directory's model was made for; None where it does not say."""
    try:
        config = json.loads((checkpoint / "config.json").read_text())
    except FileNotFoundError:
        raise ValueError(f"{checkpoint} is no checkpoint: give a folder with a config.json") from None
    if not any(path.suffix in WEIGHTS for path in checkpoint.iterdir()):
        raise ValueError(f"{checkpoint} has no weights: give a folder with one of {', '.join(WEIGHTS)}")
    return config.get("max_position_embeddings")
