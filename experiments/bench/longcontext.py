"""`scalelab bench longcontext`: arms on generated tasks, with any model that `solve` takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from analysis.paired import contrasts, mean_interval
from evals.longcontext import oolong, ruler, tasks
from evals.longcontext.arms.arms import ARMS, arm
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.measure import SIDE, compared
from evals.longcontext.params import Profile
from evals.longcontext.task import Task, items
from experiments.solve import BUILTIN, language, language_model, sandbox_of
from rlm.lm import Price
from rlm.prompts import Chat

if TYPE_CHECKING:
    from rlm.lm import LanguageModel

TASKS: dict[str, Task] = {**tasks.TASKS, **ruler.TASKS, **oolong.TASKS}
LEAF_TOKENS, ROOT_TOKENS = 256, 1024  # of a chat model's answers


@dataclass(frozen=True)
class LongContextBench:
    """What is compared. windows: lengths of contexts, in windows of 128 words and signs.

    Raises ValueError for a name that is none.
    """

    lm: str
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    windows: tuple[int, ...]
    items: int
    profile: Profile
    seed: int = 1

    def __post_init__(self) -> None:
        for kind, names, known in (("task", self.tasks, TASKS), ("arm", self.arms, ARMS)):
            for name in names:
                if name not in known:
                    raise ValueError(f"--{kind} {name}: there is none such: give one of {', '.join(known)}")
        for name, least in (("windows", min(self.windows)), ("items", self.items)):
            if least < 1:
                raise ValueError(f"--{name} {least}: give 1 or more")

    @property
    def num_rows(self) -> int:
        """Of the table."""
        return len(self.tasks) * len(self.arms) * len(self.windows)


def describe(bench: LongContextBench) -> str:
    """What would run, in a line."""
    return (
        f"{bench.num_rows} rows of {bench.items} items: {', '.join(bench.arms)} on {', '.join(bench.tasks)}, contexts "
        f"of {', '.join(map(str, bench.windows))} windows, with {bench.lm}"
    )


def run(bench: LongContextBench, base_url: str, window: int | None, progress: Console) -> dict[str, Any]:
    """Every row, and the solvers' contrasts with the other arms; raises ValueError for an arm not for this model."""
    lm, lexicon = language_model(bench.lm, base_url, window, Price()), _lexicon(bench.lm)
    makers = {called: _maker(bench, called, lm) for called in bench.arms}
    for make in makers.values():
        make()  # what an arm refuses it refuses now
    chosen = [(task, windows) for task in bench.tasks for windows in bench.windows]
    rows = []
    for name, windows in track(chosen, "comparing", console=progress, disable=not progress.is_terminal):
        task = TASKS[name]
        asked = items(task, lexicon, windows, bench.items, bench.seed, SIDE)
        for called, made in makers.items():
            row = {"arm": called, **compared(task, windows, asked, lambda _, made=made: made())}
            row["profile"] = bench.profile if called.startswith("rlm-") else None
            row["accuracy"], row["ci95"] = sum(row["scores"]) / len(asked), list(mean_interval(row["scores"]))
            rows.append(row)
            if not progress.is_terminal:
                progress.print(f"{name}, {windows} windows, {called}: {row['accuracy']:.2f}")
    return {
        "model": lm.name,
        "rows": rows,
        "contrasts": contrasts(rows, [a for a in bench.arms if a.startswith("rlm-")]),
    }


def _maker(bench: LongContextBench, called: str, lm: "LanguageModel") -> Callable[[], Any]:
    own = language([bench.lm])
    prompts, leaf_tokens = own.get("prompts", Chat()), own.get("leaf_tokens", LEAF_TOKENS)
    dials: dict[str, Any] = {}
    if called.startswith("rlm-"):
        reply_tokens = own.get("reply_tokens", ROOT_TOKENS)
        dials = {"sandbox": sandbox_of(bench.profile, unsafe=False), "reply_tokens": reply_tokens}
        dials["concurrency"] = own.get("concurrency", 16)
    return lambda: arm(called, lm, prompts, leaf_tokens, **dials)


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


def _reasons(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Of rows in which an arm failed."""
    return [
        f"{row['task']}, {row['length_windows']} windows, {row['arm']}: {row['failed']} of {row['num_items']} failed: "
        f"{row['reason']}"
        for row in rows
        if row["failed"]
    ]
