"""Gates of honesty: a model whose leaves read elsewhere, or whose leaves or roots make no error.

Each wraps a model that is asked in the built-in model's format (`rlm.policy`). With leaves that read elsewhere a solver
must be at the floor, or its root knows what it should not; with leaves and roots without error it must be right.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evals.longcontext.item import Item
from evals.longcontext.leaves import leaf_answer
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.programs import programs
from rlm.lm import LanguageModel, Message, Messages, ModelError, Price, Reply
from rlm.policy import leaf_prompt, parse_leaf


@dataclass(frozen=True)
class Gate:
    """A model that passes on what it is asked; its subclasses change what leaves or roots say.

    Whatever is read instead, a reply has the tokens of the prompt that was asked.
    """

    lm: LanguageModel

    @property
    def name(self) -> str:
        """The model's, and the gate's."""
        return f"{type(self).__name__}({self.lm.name})"

    @property
    def window(self) -> int:
        """The model's."""
        return self.lm.window

    @property
    def price(self) -> Price:
        """The model's."""
        return self.lm.price

    def num_tokens(self, messages: Messages) -> int:
        """The model's."""
        return self.lm.num_tokens(messages)

    def most_tokens(self, messages: Messages) -> int:
        """The model's."""
        return self.lm.most_tokens(messages)

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """A leaf's answer or a root's program; raises ModelError."""
        asked = parse_leaf(messages[0].content)
        found = await (self.leaf(*asked, max_tokens) if asked else self.root(messages, max_tokens))
        return replace(found, prompt_tokens=self.num_tokens(messages))

    async def leaf(self, question: str, text: str, max_tokens: int) -> Reply:
        """The answer to a question about a text."""
        return await self.lm.complete((Message("user", leaf_prompt(question, text)),), max_tokens)

    async def root(self, messages: Messages, max_tokens: int) -> Reply:
        """The next program."""
        return await self.lm.complete(messages, max_tokens)

    def said(self, text: str, max_tokens: int) -> Reply:
        """A reply that no model wrote, nor read for; raises ModelError where it has more tokens than it may."""
        tokens = self.num_tokens((Message("user", text),))
        if tokens > max_tokens:
            raise ModelError(f"{self.name}: an answer of {tokens} tokens, {max_tokens} are allowed: allow more", True)
        return Reply(text, 0, tokens)


@dataclass(frozen=True)
class Shuffled(Gate):
    """Leaves answer about a text drawn at random from `texts`, which are of other contexts than the one asked about.

    Texts of the same context would not do: a sum over all chunks stays what it is whichever chunk is answered for
    which. The same question about the same text is answered from the same draw, in whatever order leaves are asked.

    Raises ValueError where there are no texts.
    """

    texts: Sequence[str]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.texts:
            raise ValueError("texts: there are none: give chunks of other contexts")

    async def leaf(self, question: str, text: str, max_tokens: int) -> Reply:
        """The answer about another text."""
        drawn = random.Random(f"shuffled {self.seed} {question} {text}").choice(self.texts)
        return await super().leaf(question, as_many_lines(drawn, text), max_tokens)


@dataclass(frozen=True)
class Constant(Gate):
    """Leaves answer about one text, of another context: a question about so many lines has one answer."""

    text: str

    async def leaf(self, question: str, text: str, max_tokens: int) -> Reply:
        """The answer about that text."""
        return await super().leaf(question, as_many_lines(self.text, text), max_tokens)


def as_many_lines(text: str, asked: str) -> str:
    """The first lines of a text, as many as another has: an answer is no longer than it would be."""
    return "".join(text.splitlines(keepends=True)[: len(asked.splitlines())])


@dataclass(frozen=True)
class OracleLeaf(Gate):
    """Leaves read without error. What is no question to a leaf has no answer: a ModelError."""

    lexicon: Lexicon

    async def leaf(self, question: str, text: str, max_tokens: int) -> Reply:
        """The right answer."""
        try:
            answer = leaf_answer(self.lexicon, question, text)
        except ValueError as error:
            raise ModelError(f"{self.name}: {error}", free=True) from None
        return self.said(answer, max_tokens)


@dataclass(frozen=True)
class OracleProgram(Gate):
    """Roots write the program to prefer for an item."""

    item: Item

    async def root(self, messages: Messages, max_tokens: int) -> Reply:
        """The program."""
        return self.said(programs(self.item)[0].source, max_tokens)
