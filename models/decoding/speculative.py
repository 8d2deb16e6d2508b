"""Speculative decoding (Leviathan et al. 2023): a cheap drafter proposes, the target checks the proposal in one step.

What comes out is the target's own: greedy decoding token for token, sampling in distribution. One sequence at a time;
the letters are T tokens so far, G tokens of a draft, V vocabulary.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from models.decoding.static import Emit, StaticDecoder, unheard

LONGEST = 3  # tokens that prompt lookup looks for


@dataclass(frozen=True)
class Draft:
    """Proposed tokens and what the drafter gave each of the vocabulary; None where it was certain (lookup)."""

    tokens: list[int]
    probabilities_GV: torch.Tensor | None


class Drafter(Protocol):
    """Proposes what follows a sequence that only grows from call to call, but for drafts that were refused."""

    def begin(self, prompt_1T: torch.Tensor) -> None:
        """Forgets the last sequence."""
        ...

    def draft(self, sequence: list[int], num_tokens: int, choose: "Choose") -> Draft:
        """At most `num_tokens` tokens that may follow."""
        ...


# Logits (V) to a token and the distribution it was drawn from; None: all on that token.
Choose = Callable[[torch.Tensor], tuple[int, torch.Tensor | None]]


def most_probable(logits_V: torch.Tensor) -> tuple[int, None]:
    """Greedy choice."""
    return int(logits_V.argmax()), None


@dataclass(frozen=True)
class Sampled:
    """Draws from the distribution at a temperature above 0."""

    temperature: float
    generator: torch.Generator

    def __call__(self, logits_V: torch.Tensor) -> tuple[int, torch.Tensor]:
        """A token and the distribution it was drawn from."""
        probabilities_V = torch.softmax(logits_V.double() / self.temperature, -1)
        return self.draw(probabilities_V), probabilities_V

    def draw(self, probabilities_V: torch.Tensor) -> int:
        """A token of that distribution."""
        return int(torch.multinomial(probabilities_V, 1, generator=self.generator))

    def uniform(self) -> float:
        """Uniform between 0 and 1."""
        return float(torch.rand((), generator=self.generator, dtype=torch.float64, device=self.generator.device))


# Logits of the target after the last token and after each of the draft ((G+1), V), and the draft: how many tokens of it
# stand, and the token that follows them.
Verify = Callable[[torch.Tensor, Draft], tuple[int, int]]


def verify_greedy(logits_QV: torch.Tensor, draft: Draft) -> tuple[int, int]:
    """The draft stands as far as it is what greedy decoding gives."""
    own = logits_QV.argmax(-1).tolist()
    num_accepted = 0
    while num_accepted < len(draft.tokens) and draft.tokens[num_accepted] == own[num_accepted]:
        num_accepted += 1
    return num_accepted, own[num_accepted]


@dataclass(frozen=True)
class VerifySampled:
    """Accepts a token with probability min(1, p/q); the first refused is drawn anew from what p has over q."""

    sampled: Sampled

    def __call__(self, logits_QV: torch.Tensor, draft: Draft) -> tuple[int, int]:
        """How many stand, and the token after them."""
        target_QV = torch.softmax(logits_QV.double() / self.sampled.temperature, -1)
        for place, token in enumerate(draft.tokens):
            q = 1.0 if draft.probabilities_GV is None else float(draft.probabilities_GV[place, token])
            if self.sampled.uniform() * q >= float(target_QV[place, token]):
                return place, self.sampled.draw(self._left(target_QV[place], draft, place))
        return len(draft.tokens), self.sampled.draw(target_QV[len(draft.tokens)])

    def _left(self, p_V: torch.Tensor, draft: Draft, place: int) -> torch.Tensor:
        """What p has over q, up to a factor."""
        if draft.probabilities_GV is not None:
            return (p_V - draft.probabilities_GV[place]).clamp_min(0)
        return p_V.index_fill(0, torch.tensor(draft.tokens[place], device=p_V.device), 0.0)


class ModelDrafter:
    """A smaller model with the target's vocabulary."""

    def __init__(self, decoder: StaticDecoder) -> None:
        self.decoder = decoder

    def begin(self, prompt_1T: torch.Tensor) -> None:
        """Reads the prompt."""
        self.decoder.prefill(prompt_1T)

    def draft(self, sequence: list[int], num_tokens: int, choose: Choose) -> Draft:
        """Decodes `num_tokens` tokens.

        The last two tokens of the sequence are read together: one where the last draft was refused, two where all of
        it stood; one shape for both spares a compiled step.
        """
        device = self.decoder.model.device
        self.decoder.rewind(len(sequence) - 2)
        logits_V = self.decoder.step(torch.tensor([sequence[-2:]], device=device))[0, -1]
        tokens, distributions = [], []
        while True:
            token, probabilities_V = choose(logits_V)
            tokens.append(token)
            distributions.append(probabilities_V)
            if len(tokens) == num_tokens:
                break
            logits_V = self.decoder.step(torch.tensor([[token]], device=device))[0, -1]
        sampled = [one for one in distributions if one is not None]
        return Draft(tokens, torch.stack(sampled) if sampled else None)


class PromptLookup:
    """Proposes what followed the last LONGEST tokens, or fewer, where they stood before (Saxena 2023)."""

    def begin(self, prompt_1T: torch.Tensor) -> None:
        """Keeps nothing."""

    def draft(self, sequence: list[int], num_tokens: int, choose: Choose) -> Draft:
        """The continuation of the latest earlier occurrence; nothing where there is none."""
        for length in range(min(LONGEST, len(sequence) - 1), 0, -1):
            suffix = sequence[-length:]
            for start in range(len(sequence) - length - 1, -1, -1):
                if sequence[start : start + length] == suffix:
                    return Draft(sequence[start + length : start + length + num_tokens], None)
        return Draft([], None)


def early_exit(model: PreTrainedModel, num_layers: int) -> PreTrainedModel:
    """The model's first layers under its own norm and head, as a model that shares the weights.

    Raises ValueError where it does not have more than `num_layers`, or keeps its layers where we do not know.
    """
    body: Any = getattr(model, "model", None)
    if not isinstance(getattr(body, "layers", None), torch.nn.ModuleList):
        raise ValueError(f"early exit: {type(model).__name__} keeps its layers elsewhere than in model.layers")
    if not 0 < num_layers < model.config.num_hidden_layers:
        raise ValueError(
            f"early exit after {num_layers} of {model.config.num_hidden_layers} layers: give 1 to "
            f"{model.config.num_hidden_layers - 1}"
        )
    shallow = copy.copy(model)
    shallow._modules = {**model._modules}
    shallow.config = copy.deepcopy(model.config)
    shallow.config.num_hidden_layers = num_layers
    inner = copy.copy(body)
    inner._modules = {**body._modules, "layers": body.layers[:num_layers]}
    inner.config = shallow.config
    shallow.model = inner
    return shallow


@dataclass(frozen=True)
class Speculated:
    """What was decoded, and how the drafts fared: of every place how often one was proposed and stood."""

    tokens: list[int]
    num_verifications: int
    proposed_G: list[int]
    accepted_G: list[int]


class SpeculativeDecoder:
    """A target and a drafter that proposes `num_draft` tokens at a time.

    Raises ValueError for fewer than one and where the two have vocabularies of different sizes.
    """

    def __init__(self, target: StaticDecoder, drafter: Drafter, num_draft: int) -> None:
        if num_draft < 1:
            raise ValueError(f"num_draft {num_draft}: give at least 1")
        if isinstance(drafter, ModelDrafter):
            ours, theirs = target.model.config.vocab_size, drafter.decoder.model.config.vocab_size
            if ours != theirs:
                raise ValueError(
                    f"the drafter's vocabulary has {theirs} tokens, the target's {ours}: use one tokenizer"
                )
        self.target, self.drafter, self.num_draft = target, drafter, num_draft

    def greedy(
        self, prompt_1T: torch.Tensor, num_tokens: int, emit: Emit = unheard, verify: Verify = verify_greedy
    ) -> Speculated:
        """What the target's greedy decoding gives, or as `verify` has it."""
        return self._decode(prompt_1T, num_tokens, most_probable, verify, emit)

    def sample(
        self,
        prompt_1T: torch.Tensor,
        num_tokens: int,
        sampled: Sampled,
        emit: Emit = unheard,
        verify: Verify | None = None,
    ) -> Speculated:
        """A sample of the target's distribution at the temperature of `sampled`, or as `verify` has it."""
        return self._decode(prompt_1T, num_tokens, sampled, verify or VerifySampled(sampled), emit)

    def round(self, sequence: list[int], choose: Choose, verify: Verify) -> tuple[Draft, list[int]]:
        """A draft after a sequence of which all but the last token was read, and what of it and after it stands.

        One number of tokens a step is one compiled step: a draft is read as long as a whole one, or not at all where
        there is none. What fills it up is never asked about, and rewound.
        """
        draft = self.drafter.draft(sequence, self.num_draft, choose)
        read = [sequence[-1], *draft.tokens]
        fill = [0] * (self.num_draft - len(draft.tokens)) if draft.tokens else []
        logits_QV = self.target.step(torch.tensor([read + fill], device=self.target.model.device))[0, : len(read)]
        num_accepted, token = verify(logits_QV, draft)
        self.target.rewind(len(sequence) + num_accepted)
        return draft, [*draft.tokens[:num_accepted], token]

    @torch.inference_mode()
    def _decode(
        self, prompt_1T: torch.Tensor, num_tokens: int, choose: Choose, verify: Verify, emit: Emit
    ) -> Speculated:
        """What the last round gives too much is cut."""
        sequence: list[int] = prompt_1T[0].tolist()
        first, _ = choose(self.target.prefill(prompt_1T)[0, -1])
        emit(1)
        self.drafter.begin(prompt_1T)
        sequence.append(first)
        end, num_verifications = prompt_1T.shape[1] + num_tokens, 0
        proposed, accepted = [0] * self.num_draft, [0] * self.num_draft
        while len(sequence) < end:
            draft, found = self.round(sequence, choose, verify)
            emit(min(len(found), end - len(sequence)))
            sequence += found
            num_verifications += 1
            for place in range(len(draft.tokens)):
                proposed[place] += place < len(found)
                accepted[place] += place < len(found) - 1
        return Speculated(sequence[prompt_1T.shape[1] : end], num_verifications, proposed, accepted)
