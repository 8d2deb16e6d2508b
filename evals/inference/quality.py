"""What a lossy technique costs in answers: divergence and loss on held-out text, and abilities asked by lm-eval.

Both models get the same text and the same items, and every interval is over their differences. K is the units that are
drawn anew by the bootstrap, R passages, T tokens of one, V the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedModel

from evals.inference.contest import Quality, Setting
from evals.scores import Evaluation, Sample

PASSAGE = 128  # tokens, where the model's window has room for them
NUM_PASSAGES = 64
LOGITS_AT_ONCE = 1 << 24
RESAMPLES = 2_000
CONFIDENCE = 0.95
RIGHT = ("exact_match", "acc", "pass@1")  # what says of an item whether it was answered rightly
LOG_PERPLEXITY = "log-perplexity, nats a token"


@dataclass(frozen=True)
class Compared:
    """A model against its reference on held-out passages, a mean over the tokens of each.

    kl_R: Kullback-Leibler divergence of its predictions from the reference's. rise_R: of the loss, its own less the
    reference's. Both in nats a token.
    """

    kl_R: np.ndarray
    rise_R: np.ndarray

    def figures(self) -> dict[str, Any]:
        """The divergence and its interval."""
        kl, kl_ci95 = mean_interval(self.kl_R)
        return {"kl": kl, "kl_ci95": kl_ci95}

    def quality(self) -> Quality:
        """The rise of the log-perplexity."""
        return Quality(LOG_PERPLEXITY, *mean_interval(self.rise_R))


def mean_interval(sums_K: np.ndarray, counts_K: np.ndarray | None = None) -> tuple[float, tuple[float, float]]:
    """Mean over all that was counted and its 95% interval, by a percentile bootstrap over K units with a fixed seed.

    Units that all tell the same give an interval of no width.
    """
    counts_K = np.ones(len(sums_K)) if counts_K is None else counts_K
    draws = np.random.default_rng(0).integers(len(sums_K), size=(RESAMPLES, len(sums_K)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(sums_K[draws].sum(1) / counts_K[draws].sum(1), [tail, 1 - tail])
    return float(sums_K.sum() / counts_K.sum()), (float(low), float(high))


# Held-out text


def tokenise(checkpoint: Path, text: str) -> list[int]:
    """The text's tokens, no special ones among them."""
    return AutoTokenizer.from_pretrained(checkpoint)(text, add_special_tokens=False)["input_ids"]


def passage_length(model: PreTrainedModel) -> int:
    """Tokens of a passage that this model can read at once."""
    return min(PASSAGE, getattr(model.config, "max_position_embeddings", PASSAGE))


def cut(tokens: Sequence[int], length: int, most: int) -> torch.Tensor:
    """At most so many passages (R, T) that do not overlap, from evenly spaced places; fewer where the text is short."""
    number = min(most, len(tokens) // length)
    starts = np.linspace(0, len(tokens) - length, number).astype(int)
    return torch.tensor([tokens[start : start + length] for start in starts], dtype=torch.long).view(-1, length)


def held_out(setting: Setting) -> torch.Tensor:
    """Passages of the setting's text; raises ValueError where they are too few for an interval."""
    assert setting.checkpoint, "a lossy technique needs the checkpoint, whose tokenizer reads its text"
    return read_passages(setting.checkpoint, setting.text, setting.model)


def read_passages(
    checkpoint: Path, text: str, model: PreTrainedModel, num_passages: int = NUM_PASSAGES
) -> torch.Tensor:
    """Passages as long as the model can read; raises ValueError where they are too few for an interval."""
    tokens, length = tokenise(checkpoint, text), passage_length(model)
    passages_RT = cut(tokens, length, num_passages)
    if len(passages_RT) < 2:
        raise ValueError(f"the text has {len(tokens)} tokens, two passages need {2 * length}: give a longer one")
    return passages_RT.to(model.device)


@torch.inference_mode()
def compare(reference: PreTrainedModel, others: Sequence[PreTrainedModel], passages_RT: torch.Tensor) -> list[Compared]:
    """Each of the others against the reference, which reads the passages once; teacher forced, uncompiled."""
    length, vocabulary = passages_RT.shape[1], reference.config.get_text_config().vocab_size
    kl, rise = ([[] for _ in others] for _ in range(2))
    for rows_RT in passages_RT.split(max(1, LOGITS_AT_ONCE // (length * vocabulary))):
        whole_RTV = _log_probabilities(reference, rows_RT)
        for place, other in enumerate(others):
            low_RTV = _log_probabilities(other, rows_RT)
            kl[place].append((whole_RTV.exp() * (whole_RTV - low_RTV)).sum(-1).mean(1))
            rise[place].append((_scored(whole_RTV, rows_RT) - _scored(low_RTV, rows_RT)).mean(1))
    return [Compared(*(torch.cat(parts).cpu().numpy() for parts in both)) for both in zip(kl, rise, strict=True)]


def _log_probabilities(model: PreTrainedModel, tokens_RT: torch.Tensor) -> torch.Tensor:
    return model(input_ids=tokens_RT, use_cache=False).logits.double().log_softmax(-1)


def _scored(logprobs_RTV: torch.Tensor, tokens_RT: torch.Tensor) -> torch.Tensor:
    """Of every token but a row's first (R, T - 1)."""
    return logprobs_RTV[:, :-1].gather(-1, tokens_RT[:, 1:, None])[..., 0]


# Abilities


def ability_delta(
    checkpoint: Path, reference: PreTrainedModel, other: PreTrainedModel, tasks: Sequence[str], items: Path | None
) -> dict[str, Any]:
    """Mean accuracy on tasks of lm-eval, the other's less the reference's, in all and task by task.

    What the bootstrap draws are items: one that several tasks ask is drawn with all its answers. changed counts the
    answers that turned right or wrong; where none did, the interval has no width and says less than it seems to.

    Raises ValueError as `evaluate` does and for a task whose metrics do not say whether an answer is right.
    """
    from evals.harness import ITEMS, evaluate  # ten seconds, for those who ask

    before, after = (
        evaluate(checkpoint, tasks, items=items or ITEMS, device=model.device.type, model=model)
        for model in (reference, other)
    )
    return paired_accuracy(before, after)


def paired_accuracy(reference: Evaluation, other: Evaluation) -> dict[str, Any]:
    """See `ability_delta`."""
    pairs = list(zip(reference.samples, other.samples, strict=True))
    assert all((before.task, before.key) == (after.task, after.key) for before, after in pairs)
    tasks = dict.fromkeys(before.task for before, _ in pairs)
    per_task = [{"task": task, **_difference([pair for pair in pairs if pair[0].task == task])} for task in tasks]
    return {"metric": "accuracy", **_difference(pairs), "tasks": per_task}


def _difference(pairs: Sequence[tuple[Sample, Sample]]) -> dict[str, Any]:
    before, after = (np.array([_right(pair[side]) for pair in pairs]) for side in range(2))
    _, item_of_pair = np.unique([pair[0].key for pair in pairs], return_inverse=True)
    delta, ci95 = mean_interval(np.bincount(item_of_pair, after - before), np.bincount(item_of_pair).astype(float))
    return {
        "reference": float(before.mean()),
        "delta": delta,
        "ci95": ci95,
        "items": int(item_of_pair.max()) + 1,
        "answers": len(pairs),
        "changed": int((before != after).sum()),
    }


def _right(sample: Sample) -> float:
    for metric in RIGHT:
        if metric in sample.metrics:
            return float(sample.metrics[metric])
    raise ValueError(f"tasks names {sample.task}, which tells no accuracy: ask one that gives {', '.join(RIGHT)}")
