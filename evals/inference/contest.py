"""The same work done without a technique and with it, and the check that must hold.

A technique that this model or machine cannot run says why and is reported so; nothing is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from evals.inference.checks import Check, first_divergence, repeated, token_exact
from evals.inference.protocol import Pairs, take_turns, timed
from models.decoding.static import Emit, StaticDecoder, unheard

NUM_DRAFT = 4
# Stated before anything is measured. A number of bfloat16 has 8 bits: two logits that lie closer than this may swap.
BFLOAT16_MARGIN = 0.25

Tokens = list[list[int]]
Work = Callable[[], Tokens]
Judge = Callable[[Tokens, Tokens], list[Check]]
Held = Sequence[PreTrainedModel | StaticDecoder]


class Stream(Protocol):
    """A work that tells of its tokens as they are there: 0 where a prompt is begun, then how many more of each row."""

    def __call__(self, emit: Emit = unheard) -> Tokens:
        """All tokens, in the end."""
        ...


class Unsupported(Exception):
    """Why this model or machine cannot run a technique; a row says so."""


@dataclass(frozen=True)
class Setting:
    """One cell of the grid: what every contest of it works on.

    prompts_BT: prompts of one length, to be continued by `num_tokens` tokens. drafter: a smaller model with the same
    vocabulary, None where there is none. checkpoint: where the model came from, for processes that load it themselves
    and for its tokenizer. text, training_text, tasks, items: the job's, for techniques that change the answers. random:
    whether the weights are, whose answers to a text are worth nothing: what is lost of them is not asked.
    """

    model: PreTrainedModel
    prompts_BT: torch.Tensor
    num_tokens: int
    drafter: PreTrainedModel | None = None
    checkpoint: Path | None = None
    text: str = ""
    training_text: str | None = None
    tasks: tuple[str, ...] = ()
    items: Path | None = None
    random: bool = False

    @property
    def window(self) -> int:
        """Room for the longest sequence and for a draft that overshoots it."""
        return self.prompts_BT.shape[1] + self.num_tokens + NUM_DRAFT


@dataclass(frozen=True)
class Quality:
    """What a lossy technique changes: technique minus reference, with a 95% interval paired over what was asked."""

    metric: str
    delta: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class Trial:
    """The checks, the technique's seconds in its first call, and the turns, None if a check failed.

    Where a first call cannot be told from its preparations, its seconds are None.
    """

    checks: list[Check]
    num_tokens: int
    first_call_seconds: float | None
    pairs: Pairs | None

    @property
    def failed(self) -> list[Check]:
        """The checks that did not hold."""
        return [check for check in self.checks if not check.passed]


@dataclass(frozen=True)
class Contest:
    """Both sides do the same work; `check` judges what they returned.

    held: what each side keeps between its calls; the first of the technique's is the model whose weights a step reads.
    figures: what the technique tells besides, whatever the check says; speeds: what it tells only if every check held.
    quality: what it loses, None where its answers are the reference's and where the weights are random. streams: both
    sides as they tell of each token, where they decode token by token.
    """

    against: str
    baseline: Work
    technique: Work
    check: Judge
    held: tuple[Held, Held]
    figures: Callable[[], dict[str, Any]] = field(default=dict)
    quality: Callable[[], Quality] | None = None
    speeds: Callable[[], dict[str, Any]] = field(default=dict)
    streams: tuple[Stream, Stream] | None = None

    @property
    def model(self) -> PreTrainedModel:
        """Whose weights a step of the technique reads."""
        (first, *_) = self.held[1]
        return first.model if isinstance(first, StaticDecoder) else first

    def run(self, num_pairs: int, device: torch.device, least_seconds: float) -> Trial:
        """The checks on a first call of both sides, which also warms them up; then they take turns.

        What the technique returned in its last turn is to be what the checks saw.
        """
        reference = self.baseline()
        found: Tokens = []
        last: Tokens = []
        seconds = timed(lambda: found.extend(self.technique()), device)
        checks, pairs = self.check(reference, found), None
        if all(check.passed for check in checks):
            pairs = take_turns(self.baseline, keeping(self.technique, last), num_pairs, device, least_seconds)
            checks.append(repeated(found, last))
        held = all(check.passed for check in checks)
        return Trial(checks, sum(map(len, found)), seconds, pairs if held else None)


def keeping(work: Work, last: Tokens) -> Work:
    """The work, that leaves what it returned in `last`."""

    def kept() -> Tokens:
        last[:] = work()
        return last

    return kept


def lossless(setting: Setting, prompts: Sequence[Sequence[int]] | None = None) -> Judge:
    """What a technique is held to that changes no answer: token by token the same.

    In bfloat16, where sums in another order may tip a near tie: `near_greedy`. prompts: of the rows, the setting's if
    not given.
    """
    if setting.model.dtype == torch.float32:
        return lambda reference, found: [token_exact(reference, found)]
    rows = setting.prompts_BT.tolist() if prompts is None else prompts
    return lambda reference, found: [near_greedy(setting.model, rows, reference, found)]


def near_greedy(model: PreTrainedModel, prompts: Sequence[Sequence[int]], reference: Tokens, found: Tokens) -> Check:
    """Every token is the model's most probable after those before it, or within `BFLOAT16_MARGIN` of it."""
    behind = [_behind(model, *row) for row in zip(prompts, found, strict=True)]
    return first_divergence(reference, found, behind, BFLOAT16_MARGIN)


@torch.inference_mode()
def _behind(model: PreTrainedModel, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """By how much each token's logit trails the best of its place, the tokens before it given."""
    inputs_1T = torch.tensor([[*prompt, *tokens[:-1]]], device=model.device)
    logits_TV = model(input_ids=inputs_1T, use_cache=False).logits[0, len(prompt) - 1 :].float()
    own_T = logits_TV.gather(1, torch.tensor(tokens, device=model.device)[:, None])[:, 0]
    return (logits_TV.amax(1) - own_T).tolist()


class _Heard(BaseStreamer):
    """generate's hook: called with the prompt, then with each token of all rows."""

    def __init__(self, emit: Emit) -> None:
        self.emit, self.step = emit, 0

    def put(self, value: torch.Tensor) -> None:
        """A step."""
        self.emit(min(self.step, 1))
        self.step += 1

    def end(self) -> None:
        """Nothing is left to tell."""


def generated(setting: Setting, model: PreTrainedModel | None = None, **options: bool) -> Stream:
    """Greedy decoding by transformers' own generate, all rows at once."""
    model, prompts_BT = model or setting.model, setting.prompts_BT

    def work(emit: Emit = unheard) -> Tokens:
        out = cast(Any, model).generate(
            prompts_BT,
            attention_mask=torch.ones_like(prompts_BT),
            max_new_tokens=setting.num_tokens,
            min_new_tokens=setting.num_tokens,
            do_sample=False,
            streamer=None if emit is unheard else _Heard(emit),
            **options,
        )
        return out[:, prompts_BT.shape[1] :].tolist()

    return work


def all_rows(setting: Setting, decode: Callable[[torch.Tensor, int, Emit], torch.Tensor]) -> Stream:
    """All rows together."""

    def work(emit: Emit = unheard) -> Tokens:
        emit(0)
        return decode(setting.prompts_BT, setting.num_tokens, emit).tolist()

    return work


def row_by_row(setting: Setting, decode: Callable[[torch.Tensor, int, Emit], torch.Tensor]) -> Stream:
    """The rows one after another."""

    def work(emit: Emit = unheard) -> Tokens:
        found = []
        for row_T in setting.prompts_BT:
            emit(0)
            found.append(decode(row_T[None], setting.num_tokens, emit)[0].tolist())
        return found

    return work


def streamed(
    against: str,
    baseline: Stream,
    technique: Stream,
    check: Judge,
    held: tuple[Held, Held],
    figures: Callable[[], dict[str, Any]] = dict,
    speeds: Callable[[], dict[str, Any]] = dict,
) -> Contest:
    """A contest of two sides that decode token by token."""
    return Contest(against, baseline, technique, check, held, figures, speeds=speeds, streams=(baseline, technique))
