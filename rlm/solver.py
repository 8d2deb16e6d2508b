"""The recursive language model: a root that reads a context by programs, which call models on parts of it.

Zhang, Kraska and Khattab 2025, arXiv 2512.24601. Three lines to use it:

    from rlm.solver import RLM
    solver = RLM(lm)
    solver.solve("Who signed the treaty?", Path("archive.txt")).answer
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlm.budget import Budget, Ledger
from rlm.calls import Caller
from rlm.lm import LanguageModel
from rlm.loop import result_of
from rlm.prompts import Chat, Prompts
from rlm.replay import Recorded
from rlm.sandbox.sealed import Sealed
from rlm.sandbox.session import Limits, Sandbox
from rlm.text import Text, gather
from rlm.trace import Listen, Trace, read_events
from rlm.tree import Status, Tree

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Solution:
    """What a run found.

    status: done; exhausted, where the budget or the turns ended first and `answer` is the best until then; failed,
    where a model did not answer. reason: why it is not done.
    """

    answer: Any
    status: Status
    reason: str
    depth: int
    calls: int
    tokens: int
    seconds: float
    usd: float
    trace: str | None


@dataclass(frozen=True)
class RLM:
    """A solver for contexts of any length.

    lm: the model, or one for each level from the root down, of which the last reads. sandbox: makes one for each run.
    depth: of sub-calls; 0: programs alone, 1: they ask models, 2: they ask solvers that ask models. reply_tokens: of a
    root's reply; leaf_tokens: of a sub-call's. max_turns: programs of a node. trace: where to write what happens; with
    `resume` what is there already is not asked again, and what it cost counts. listen: is told of every event.

    Raises ValueError for what makes no solver.
    """

    lm: LanguageModel | Sequence[LanguageModel]
    sandbox: Callable[[], Sandbox] = Sealed
    prompts: Prompts = field(default_factory=Chat)
    depth: int = 1
    budget: Budget = field(default_factory=Budget)
    limits: Limits = field(default_factory=Limits)
    max_turns: int = 12
    reply_tokens: int = 1024
    leaf_tokens: int = 256
    concurrency: int = 16
    trace: Path | None = None
    resume: bool = False
    listen: Listen | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("lm: give at least one model")
        for name in ("max_turns", "reply_tokens", "leaf_tokens", "concurrency"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: give at least 1")
        if self.depth < 0:
            raise ValueError(f"depth {self.depth}: give 0 or more")
        if len(self.models) > self.depth + 1:
            told = f"{len(self.models)} models, but depth {self.depth} calls no more than {self.depth + 1}"
            raise ValueError(f"lm: {told}: give fewer, or depth {len(self.models) - 1}")
        if self.resume and (self.trace is None or not self.trace.exists()):
            told = f"trace {self.trace} is not there" if self.trace else "there is no trace"
            raise ValueError(f"resume: {told}: give that of the run that is to go on")

    @property
    def models(self) -> Sequence[LanguageModel]:
        """From the root down."""
        return self.lm if isinstance(self.lm, Sequence) else [self.lm]

    def solve(self, question: str, context: str | Path | Text, answer_type: Any = None) -> Solution:
        """The answer; see `asolve`."""
        return result_of(self.asolve(question, context, answer_type))

    async def asolve(self, question: str, context: str | Path | Text, answer_type: Any = None) -> Solution:
        """The answer to a question about a text: itself, or a file, or a folder of them.

        answer_type: what pydantic is to make of the answer; a program that gives something else is told, and may give
        another.

        Raises ValueError for an empty question, what is no text, and a trace that is of another run.
        """
        if not question.strip():
            raise ValueError("the question is empty: ask something")
        text = (
            Text.of(context) if isinstance(context, str) else gather(context) if isinstance(context, Path) else context
        )
        sandbox = self.sandbox()
        asked = {
            "schema_version": SCHEMA_VERSION,
            "question": question,
            "context": {"digest": text.source.index.digest, "start": text.start, "end": text.end},
            "models": [{"name": lm.name, "window": lm.window, "price": asdict(lm.price)} for lm in self.models],
            "profile": sandbox.profile,
            "depth": self.depth,
            "reply_tokens": self.reply_tokens,
            "leaf_tokens": self.leaf_tokens,
            "printed": self.limits.printed,
        }
        recorded = self._recorded(asked)
        ledger = Ledger(self.budget, spent=recorded.spent)
        with Trace(self.trace, self.listen) as trace, sandbox:
            trace.write("run", **asked)
            trace.write("sandbox", layers=sandbox.layers)
            tree = Tree(self, sandbox, Caller(trace, self.concurrency, recorded), trace, answer_type)
            found = await tree.solve(question, text, self.depth, ledger)
        return Solution(
            found.answer,
            found.status,
            found.reason,
            self.depth,
            int(ledger.spent.calls),
            int(ledger.spent.tokens),
            ledger.seconds,
            ledger.spent.usd,
            str(self.trace) if self.trace else None,
        )

    def _recorded(self, asked: dict[str, Any]) -> Recorded:
        """What the trace has already; nothing where it begins."""
        if self.trace is None or not self.trace.exists():
            return Recorded(())
        if not self.resume:
            raise ValueError(f"trace {self.trace} is there already: name another file, or resume it")
        events = read_events(self.trace)
        if not events or events[0]["event"] != "run":
            raise ValueError(f"trace {self.trace} is of no run: name another file")
        for event in events:
            differing = [name for name in asked if event["event"] == "run" and event.get(name) != asked[name]]
            if differing:
                raise ValueError(f"trace {self.trace} is of a run with other {differing[0]}: name another file")
        return Recorded(events)
