"""How much of a target's text a drafter would get right, measured before any speculative decoding is run.

On the target's own greedy continuations of prompts, token by token: whether the drafter's greedy choice is the
target's, which is what greedy speculation accepts; and sum_v min(p(v), q(v)), the probability that a token sampled from
the drafter's q is accepted under the target's p (Leviathan et al. 2023, theorem 3.5; alpha is its mean). Shapes: R rows
of a batch, T tokens of the longest of them, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel

Kind = Literal["greedy", "sampling"]

PAD = 0  # behind a row's end, where nothing is read
LOGITS_PER_BATCH = 1 << 24
DRAWS = 2000
LEVEL = 95


@dataclass(frozen=True)
class Continued:
    """A prompt's tokens and what the target's greedy decoding makes of them, its end token included."""

    prompt: list[int]
    tokens: list[int]


@dataclass(frozen=True)
class Acceptance:
    """Of one drafter, by prompt: tokens of the continuation, and how many of them are accepted, greedy and sampling."""

    tokens: np.ndarray
    accepted: dict[Kind, np.ndarray]

    def rate(self, kind: Kind) -> float:
        """Accepted a token, over all tokens of all prompts."""
        return float(self.accepted[kind].sum() / self.tokens.sum())

    def interval(self, kind: Kind, seed: int = 0) -> tuple[float, float]:
        """95% bootstrap interval of the rate over prompts."""
        num_prompts, accepted = len(self.tokens), self.accepted[kind]
        times = np.random.default_rng(seed).multinomial(num_prompts, np.full(num_prompts, 1 / num_prompts), DRAWS)
        low, high = np.percentile(times @ accepted / (times @ self.tokens), [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
        return float(low), float(high)

    def length(self, kind: Kind, num_draft: int) -> float:
        """Tokens a verification would yield, its own included, were acceptances independent: (1-a^(g+1)) / (1-a)."""
        return acceptance_length(self.rate(kind), num_draft)


def acceptance_length(rate: float, num_draft: int) -> float:
    """Expected tokens a verification of `num_draft` drafted ones (Leviathan et al. 2023, equation 1).

    Raises ValueError for a rate outside 0 to 1 and for fewer than one drafted token.
    """
    if not 0 <= rate <= 1 or num_draft < 1:
        raise ValueError(f"rate {rate}, num_draft {num_draft}: give a rate of 0 to 1 and at least one drafted token")
    return float(sum(rate**place for place in range(num_draft + 1)))


@torch.inference_mode()
def continue_greedily(
    target: PreTrainedModel, prompts: Sequence[Sequence[int]], num_tokens: int, end_token: int | None = None
) -> list[Continued]:
    """The target's greedy continuations, `num_tokens` long or up to the end token, in the order of the prompts.

    Prompts may differ in length: those of one length are decoded together, without padding. Raises ValueError where
    there is nothing to continue, and where prompt and continuation do not fit the window.
    """
    if num_tokens < 1 or not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError(f"num_tokens {num_tokens}, {len(prompts)} prompts: give at least one of each, none empty")
    longest = max(map(len, prompts))
    _check_window(target, "target", longest + num_tokens)
    config = GenerationConfig(
        do_sample=False, max_new_tokens=num_tokens, eos_token_id=end_token, pad_token_id=PAD, use_cache=True
    )
    generator: Any = target
    found: dict[int, Continued] = {}
    for length in sorted({len(prompt) for prompt in prompts}):
        places = [place for place, prompt in enumerate(prompts) if len(prompt) == length]
        for part in _parts(places, target, longest + num_tokens):
            rows_RT = torch.tensor([list(prompts[place]) for place in part], device=target.device)
            made = generator.generate(rows_RT, attention_mask=torch.ones_like(rows_RT), generation_config=config)
            for place, row in zip(part, made[:, length:].tolist(), strict=True):
                found[place] = Continued(list(prompts[place]), _until(row, end_token))
    return [found[place] for place in range(len(prompts))]


def _until(tokens: list[int], end_token: int | None) -> list[int]:
    return tokens[: tokens.index(end_token) + 1] if end_token in tokens else tokens


@torch.inference_mode()
def acceptance(target: PreTrainedModel, drafter: PreTrainedModel, continued: Sequence[Continued]) -> Acceptance:
    """Of the drafter on the target's continuations, as continue_greedily gives them, at temperature 1.

    Raises ValueError where the vocabularies differ and where a row does not fit the drafter's window.
    """
    ours, theirs = target.config.vocab_size, drafter.config.vocab_size
    if ours != theirs:
        raise ValueError(f"the drafter's vocabulary has {theirs} tokens, the target's {ours}: use one tokenizer")
    longest = max(len(one.prompt) + len(one.tokens) for one in continued)
    _check_window(drafter, "drafter", longest)
    accepted: dict[Kind, np.ndarray] = {"greedy": np.zeros(len(continued)), "sampling": np.zeros(len(continued))}
    for part in _parts(range(len(continued)), target, longest):
        rows_RT, counted_RT = _padded([continued[place] for place in part], target.device)
        p_RTV, q_RTV = (torch.softmax(_logits(model, rows_RT), -1) for model in (target, drafter))
        same_RT = q_RTV.argmax(-1) == rows_RT[:, 1:]
        overlap_RT = torch.minimum(p_RTV, q_RTV).sum(-1)
        values: dict[Kind, torch.Tensor] = {"greedy": same_RT.double(), "sampling": overlap_RT}
        for kind, values_RT in values.items():
            accepted[kind][part] = (values_RT * counted_RT).sum(1).cpu().numpy()
    return Acceptance(np.array([len(one.tokens) for one in continued]), accepted)


def _logits(model: PreTrainedModel, rows_RT: torch.Tensor) -> torch.Tensor:
    """Logits after every token but the last; a causal model does not see the padding behind a row."""
    return model(input_ids=rows_RT[:, :-1], use_cache=False).logits.double()


def _padded(rows: list[Continued], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompt and continuation side by side, [R, T], and which of the tokens after the first are continuation."""
    longest = max(len(one.prompt) + len(one.tokens) for one in rows)
    padded_RT = torch.full((len(rows), longest), PAD)
    counted_RT = torch.zeros(len(rows), longest, dtype=torch.bool)
    for row, one in enumerate(rows):
        whole = [*one.prompt, *one.tokens]
        padded_RT[row, : len(whole)] = torch.tensor(whole)
        counted_RT[row, len(one.prompt) : len(whole)] = True
    return padded_RT.to(device), counted_RT[:, 1:].to(device)


def _parts(places: Sequence[int], model: PreTrainedModel, longest: int) -> Iterator[list[int]]:
    num_rows = max(1, LOGITS_PER_BATCH // (longest * model.config.vocab_size))
    for first in range(0, len(places), num_rows):
        yield list(places[first : first + num_rows])


def _check_window(model: PreTrainedModel, name: str, num_tokens: int) -> None:
    window = getattr(model.config, "max_position_embeddings", None)
    if window is not None and num_tokens > window:
        raise ValueError(
            f"prompt and continuation have {num_tokens} tokens, the {name}'s window {window}: ask for fewer"
        )
