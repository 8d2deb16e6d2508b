"""The recursive language model as an arm."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evals.longcontext.arms.arm import Answered, Asked
from rlm.lm import LanguageModel
from rlm.prompts import Prompts
from rlm.sandbox.sealed import Sealed
from rlm.sandbox.session import Sandbox
from rlm.solver import RLM
from rlm.trace import Listen


@dataclass(frozen=True)
class Recursive:
    """A solver of a depth: 0 for programs alone, 1 for programs that ask the model, 2 for those that ask solvers too.

    lm: the model, or one for each level from the root down, of which the last reads. sandbox: makes the one in which a
    question's programs run. max_turns: programs of a node. listen: is told of every event.
    """

    lm: LanguageModel | Sequence[LanguageModel]
    prompts: Prompts
    leaf_tokens: int
    depth: int
    sandbox: Callable[[], Sandbox] = Sealed
    reply_tokens: int = 128
    max_turns: int = 12
    concurrency: int = 256
    listen: Listen | None = None

    @property
    def name(self) -> str:
        """With its depth."""
        return f"rlm-{self.depth}"

    @property
    def profile(self) -> str:
        """Of its sandbox."""
        return self.sandbox().profile

    async def answer(self, asked: Asked) -> Answered:
        """The solver's answer; raises ValueError for dials that make no solver."""
        solver = RLM(
            self.lm,
            self.sandbox,
            self.prompts,
            self.depth,
            max_turns=self.max_turns,
            reply_tokens=self.reply_tokens,
            leaf_tokens=self.leaf_tokens,
            concurrency=self.concurrency,
            listen=self.listen,
        )
        found = await solver.asolve(asked.question, asked.context)
        return Answered(found.answer, found.calls, found.tokens, found.status, found.reason)
