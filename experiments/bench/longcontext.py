"""`scalelab bench longcontext`: arms on generated tasks, with any model that `solve` takes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from analysis.paired import contrasts, mean_interval
from evals.longcontext import oolong, ruler, tasks
from evals.longcontext.arms.agentic import Agentic
from evals.longcontext.arms.arm import Arm
from evals.longcontext.arms.arms import ARMS, arm
from evals.longcontext.arms.chunks import MapReduce, Summary, chunks
from evals.longcontext.arms.recursive import Recursive
from evals.longcontext.arms.whole import Direct
from evals.longcontext.item import Item
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.measure import SIDE, compared
from evals.longcontext.params import Profile, check_direct
from evals.longcontext.programs import CHUNK_BYTES
from evals.longcontext.task import Task, items
from experiments.bench.metered import Metered
from experiments.solve import BUILTIN, language, language_model, sandbox_of
from rlm.budget import Budget, Exhausted, Ledger
from rlm.lm import Price
from rlm.prompts import Chat

if TYPE_CHECKING:
    from rlm.lm import LanguageModel

TASKS: dict[str, Task] = {**tasks.TASKS, **ruler.TASKS, **oolong.TASKS}
LEAF_TOKENS, ROOT_TOKENS = 256, 1024  # of a chat model's answers
CONCURRENCY = 16  # calls to a server under way


@dataclass(frozen=True)
class LongContextBench:
    """What is compared. windows: lengths of contexts, in windows of 128 words and signs.

    budget, price and concurrency (calls under way, 16 by default) are of a server: what all rows together may spend.

    Raises ValueError for a name that is none, and for what cannot be.
    """

    lm: str
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    windows: tuple[int, ...]
    items: int
    profile: Profile
    seed: int = 1
    budget: Budget = field(default_factory=Budget)
    price: Price = field(default_factory=Price)
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for kind, names, known in (("task", self.tasks, TASKS), ("arm", self.arms, ARMS)):
            for name in names:
                if name not in known:
                    raise ValueError(f"--{kind} {name}: there is none such: give one of {', '.join(known)}")
        for name, least in (
            ("windows", min(self.windows)),
            ("items", self.items),
            ("concurrency", CONCURRENCY if self.concurrency is None else self.concurrency),
        ):
            if least < 1:
                raise ValueError(f"--{name} {least}: give 1 or more")
        if self.lm == BUILTIN:
            check_direct(self.arms, self.windows)
        if not self.is_served and (self.budget, self.price, self.concurrency) != (Budget(), Price(), None):
            raise ValueError(
                f"--max-calls, --max-tokens, --max-usd, its prices and --concurrency are of a server: leave them out "
                f"with --lm {self.lm}"
            )

    @property
    def num_rows(self) -> int:
        """Of the table."""
        return len(self.tasks) * len(self.arms) * len(self.windows)

    @property
    def is_served(self) -> bool:
        """Whether the model is behind a server: then calls are metered."""
        return self.lm.startswith("openai:")

    @property
    def max_turns(self) -> int:
        """Programs of a solver."""
        return language([self.lm]).get("max_turns", Recursive.max_turns)

    def drawn(self, lexicon: Lexicon) -> Iterator[tuple[Task, int, list[Item]]]:
        """Each task and length, and the items that every arm is asked."""
        for name in self.tasks:
            for windows in self.windows:
                task = TASKS[name]
                yield task, windows, items(task, lexicon, windows, self.items, self.seed, SIDE)


def describe(bench: LongContextBench) -> str:
    """What would run, in a line, with how many calls at most where that does not hang on what models write."""
    asked = [item for _, _, drawn in bench.drawn(_lexicon(bench.lm)) for item in drawn]
    told = [
        f"{bench.num_rows} rows of {bench.items} items: {', '.join(bench.arms)} on {', '.join(bench.tasks)}, contexts "
        f"of {', '.join(map(str, bench.windows))} windows, with {bench.lm}",
        f"{len(asked)} items for each arm",
    ]
    most = {called: [_most_calls(bench, called, item) for item in asked] for called in bench.arms}
    bounded = {called: sum(filter(None, counts)) for called, counts in most.items() if None not in counts}
    if bounded:
        counts = ", ".join(f"{count:,} by {called}" for called, count in bounded.items())
        told.append(
            f"calls at most, but for those that fail and are made again, and chunks that no window holds: {counts}"
        )
    if len(bounded) < len(most):
        others = " and ".join(called for called in most if called not in bounded)
        told.append(f"those of {others} hang on programs, of which a solver writes {bench.max_turns} at most")
    return "; ".join(told)


def _most_calls(bench: LongContextBench, called: str, item: Item) -> int | None:
    """Of an arm, for an item; None where programs make them."""
    if called in ("rlm-1", "rlm-2"):
        return None
    if called in (Summary.called, MapReduce.called):
        return len(chunks(item.context, CHUNK_BYTES))
    return {Agentic.called: Agentic.max_steps, "rlm-0": bench.max_turns}.get(called, 1)


def run(
    bench: LongContextBench,
    base_url: str,
    window: int | None,
    progress: Console,
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Every row until the budget ends, and the solvers' contrasts with the other arms.

    keep: is given what there is, before the first row and after each. Raises ValueError for an arm not for this model.
    """
    lm, ledger = language_model(bench.lm, base_url, window, bench.price), Ledger(bench.budget)
    for called in bench.arms:
        _arm(bench, called, lm)  # what an arm refuses it refuses now
    rows: list[dict[str, Any]] = []

    def found(exhausted: str = "") -> dict[str, Any]:
        return {
            "model": lm.name,
            "rows": rows,
            "contrasts": contrasts(rows, [a for a in bench.arms if a.startswith("rlm-")]),
            "spent": asdict(ledger.spent) if bench.is_served else None,
            "exhausted": exhausted,
        }

    keep(found())
    try:
        for row in _rows(bench, lm, ledger, progress):
            rows.append(row)
            progress.print(f"{row['task']}, {row['length_windows']} windows, {row['arm']}: {row['accuracy']:.2f}")
            keep(found())
    except Exhausted as over:
        return found(str(over))
    return found()


def _rows(bench: LongContextBench, lm: "LanguageModel", ledger: Ledger, progress: Console) -> Iterator[dict[str, Any]]:
    """Each as it is measured; raises Exhausted where the budget ends within one: that one is none."""
    drawn, count = bench.drawn(_lexicon(bench.lm)), len(bench.tasks) * len(bench.windows)
    for task, windows, asked in track(drawn, "comparing", count, console=progress, disable=not progress.is_terminal):
        for called in bench.arms:
            metered = Metered(lm, ledger, bench.concurrency or CONCURRENCY) if bench.is_served else None
            make = partial(_arm, bench, called, metered or lm)
            row = {"arm": called, **compared(task, windows, asked, lambda _, make=make: make())}
            if metered and metered.over:  # a solver gives its best answer then, which is not what it would have found
                raise metered.over
            row["profile"] = bench.profile if called.startswith("rlm-") else None
            row["accuracy"], row["ci95"] = sum(row["scores"]) / len(asked), list(mean_interval(row["scores"]))
            yield row


def _arm(bench: LongContextBench, called: str, lm: "LanguageModel") -> Arm:
    own = {"prompts": Chat(), "leaf_tokens": LEAF_TOKENS, "reply_tokens": ROOT_TOKENS, "concurrency": CONCURRENCY}
    own |= language([bench.lm])
    prompts, leaf_tokens = own.pop("prompts"), own.pop("leaf_tokens")
    dials: dict[str, Any] = {}
    if called.startswith("rlm-"):
        dials = {**own, "sandbox": sandbox_of(bench.profile, unsafe=False)}
    elif called == Direct.called and bench.lm != BUILTIN:
        dials = {"most_tokens": lm.window}  # what lies beyond, not every model reads
    return arm(called, lm, prompts, leaf_tokens, **dials)


def _lexicon(lm: str) -> Lexicon:
    """The world that the built-in model learnt; another's is the default, of which it knows nothing."""
    if lm != BUILTIN:
        return Lexicon()
    from experiments.project import Project

    return Project.here().world.lexicon


def show(found: dict[str, Any], console: Console) -> None:
    """A row a task, length and arm."""
    table = Table("task", "windows", "arm", "accuracy", "chance", "calls", "tokens", "seconds", title=found["model"])
    for row in found["rows"]:
        low, high = row["ci95"]
        table.add_row(
            row["task"],
            str(row["length_windows"]),
            row["arm"],
            f"{row['accuracy']:.2f} ({low:.2f} to {high:.2f})",
            f"{row['chance']:.2f}",
            f"{row['calls']:.1f}",
            f"{row['tokens']:,.0f}",
            f"{row['seconds']:.2f}",
        )
    console.print(table)
    for reason in _reasons(found["rows"]):
        console.print(reason)
    if found["spent"]:
        spent = found["spent"]
        usd = f", ${spent['usd']:.4f}" if spent["usd"] else ""
        console.print(f"{spent['calls']:,} calls, {spent['tokens']:,} tokens{usd}")


def _reasons(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Of rows in which an arm failed."""
    return [
        f"{row['task']}, {row['length_windows']} windows, {row['arm']}: {row['failed']} of {row['num_items']} failed: "
        f"{row['reason']}"
        for row in rows
        if row["failed"]
    ]
