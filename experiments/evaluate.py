"""The evaluate stage: lm-eval on every checkpoint of a suite, kept by what was judged and by what."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.abilities.params import TEXT, AbilitiesParams
from experiments.abilities import ITEMS
from experiments.points import checkpoint_of, settled_branches
from experiments.pools import worker_pool
from experiments.project import CODE_ROOT, COMPILE_CACHE, Project
from sweeps import store

TASKS = CODE_ROOT / "evals" / "tasks"
LINE_EVERY = 5


@dataclass(frozen=True)
class Judgement:
    """One checkpoint and the tasks it is asked; the result lies in `directory` once its identity says so."""

    checkpoint: Path
    directory: Path
    tasks: tuple[str, ...]
    identity: str
    fingerprint: str
    device: str

    @property
    def is_done(self) -> bool:
        """Whether the scores there are of this checkpoint's weights, these tasks and these items."""
        try:
            return store.read_json(self.directory / store.SCORES)["identity"] == self.identity
        except FileNotFoundError:
            return False


def judgements(project: Project, suite: str, tasks: Sequence[str] = ()) -> list[Judgement]:
    """One a branch that is done; raises ValueError where some are still to be trained or a checkpoint is gone.

    Without `tasks` those of the mixture are asked; the answers to others lie apart, by a digest of their names.
    """
    asked = tuple(tasks or ability_tasks(project.abilities))
    judge, found = judge_identity(asked), []
    for job, branch, record in settled_branches(project, suite):
        if record["status"] != "done":
            continue
        checkpoint = checkpoint_of(branch)
        judged = f"{judge} {job.recipe.device} {_digest(sorted(checkpoint.iterdir()))}"
        directory = store.evaluation_dir(job.runs, job.cell, branch.name)
        if tasks:
            directory /= f"asked-{_short(' '.join(asked))}"
        found.append(Judgement(checkpoint, directory, asked, _short(judged), record["fingerprint"], job.recipe.device))
    return found


def ability_tasks(params: AbilitiesParams) -> list[str]:
    """Of every ability with a share, each style by likelihood, by choice, by generation and by samples where it can."""
    names = [
        f"scalelab_{ability.name}_{path.stem}"
        for ability in params.catalogue.values()
        for path in sorted((TASKS / ability.name).glob("*.yaml"))
    ]
    return names + [f"scalelab_text_{end}" for end in ("early", "late") if params.shares.get(TEXT)]


def judge_identity(tasks: Sequence[str]) -> str:
    """Digest of the tasks asked, the items, the code that asks and judges them, and lm-eval's version."""
    code = [CODE_ROOT / "evals" / name for name in ("harness.py", "judge.py", "scores.py")]
    for room in ("abilities", "tasks"):
        code += sorted(path for path in (CODE_ROOT / "evals" / room).rglob("*") if path.name.endswith((".py", "yaml")))
    parts = [*tasks, _digest(code), _digest(sorted(ITEMS.glob("*.jsonl"))), importlib.metadata.version("lm_eval")]
    return _short("\n".join(parts))


def evaluate_suite(pending: Sequence[Judgement], workers: int) -> Iterator[Judgement]:
    """Evaluates side by side; yields each when its files are in place."""
    with worker_pool(min(workers, len(pending)), COMPILE_CACHE) as pool:
        running = {pool.submit(evaluate_in_worker, judgement): judgement for judgement in pending}
        for future in as_completed(running):
            future.result()
            yield running[future]


def evaluate_in_worker(judgement: Judgement) -> None:
    """One checkpoint, one call of lm-eval, one thread; samples are written before the scores that vouch for them."""
    import torch

    from evals.harness import evaluate

    torch.set_num_threads(1)
    found = evaluate(judgement.checkpoint, judgement.tasks, items=ITEMS, device=judgement.device)
    judgement.directory.mkdir(parents=True, exist_ok=True)
    partial = judgement.directory / f".{store.SAMPLES}"
    partial.write_text("".join(json.dumps(asdict(sample)) + "\n" for sample in found.samples))
    partial.replace(judgement.directory / store.SAMPLES)
    identity = {"identity": judgement.identity, "fingerprint": judgement.fingerprint}
    store.write_json(
        judgement.directory / store.SCORES, identity | {"scores": [asdict(score) for score in found.scores]}
    )


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def read_scores(judgement: Judgement) -> dict[str, Any]:
    """What the checkpoint scores: a row a task and metric."""
    scores = store.read_json(judgement.directory / store.SCORES)["scores"]
    return {"checkpoint": str(judgement.checkpoint), "scores": scores}


def with_progress(judged: Iterable[Judgement], count: int) -> Iterator[Judgement]:
    """A bar on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    done = track(judged, "evaluating", count, console=console, transient=True, disable=not console.is_terminal)
    for number, judgement in enumerate(done, start=1):
        if not console.is_terminal and (number % LINE_EVERY == 0 or number == count):
            console.print(f"{number} of {count} checkpoints evaluated")
        yield judgement
