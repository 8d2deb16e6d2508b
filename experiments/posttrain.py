"""The post-training stage: the built-in model as it is, and after each way to go on, on the same held-out questions."""

import hashlib
import importlib.metadata
import json
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.longcontext import Model, chosen_model
from experiments.longcontext import own_params as longcontext_params
from experiments.measurements import machine
from experiments.pools import worker_pool
from experiments.project import CODE_ROOT, COMPILE_CACHE, PARAMS, RESULTS, Project
from sweeps import store
from sweeps.posttrain.params import Method, PosttrainParams

if TYPE_CHECKING:
    from rich.console import Console

    from evals.longcontext.lexicon import Lexicon
    from rlm.hf import HuggingFace

POSTTRAIN = RESULTS / "posttrain.json"
ARMS = "posttrain"  # below runs/
BASE = "base"
SCHEMA_VERSION = 1
MADE_BY = (
    "evals/longcontext", "rlm", "sweeps/posttrain", "models/decoder.py", "experiments/posttrain.py",
    "experiments/rollouts.py",
)  # fmt: skip
LIBRARIES = ("torch", "transformers", "trl", "pydantic-monty")
OWN, FIRST = "own", "base"  # whose leaves read for an arm's root: its own weights, or the first model's


@dataclass(frozen=True)
class Job:
    """An arm, or the first model where `method` is None, and what a worker needs for it.

    identity: of its checkpoint. seed: of the held-out items.
    """

    method: Method | None
    start: Path
    directory: Path
    params: PosttrainParams
    words: int
    world_seed: int
    seed: int
    device: str
    identity: str

    @property
    def name(self) -> str:
        """The method, or base."""
        return self.method or BASE

    @property
    def checkpoint(self) -> Path:
        """Of the model that is asked."""
        return self.start if self.method is None else self.directory / "checkpoint"

    @property
    def judged(self) -> str:
        """Identity of its rows."""
        return _digest([self.identity, self.params.tasks, self.params.windows, self.params.items, self.seed])

    def trained(self) -> dict[str, Any] | None:
        """What training left; None where it is still to be done."""
        return _kept(self.directory / "record.json", self.identity)

    def rows(self) -> list[dict[str, Any]] | None:
        """What it scores; None where that is still to be measured."""
        kept = _kept(self.directory / "rows.json", self.judged)
        return kept["rows"] if kept else None

    @property
    def is_pending(self) -> bool:
        """Whether anything is to be done."""
        return self.rows() is None or (self.method is not None and self.trained() is None)


def _kept(path: Path, identity: str) -> dict[str, Any] | None:
    try:
        found = store.read_json(path)
    except FileNotFoundError:
        return None
    return found if found["identity"] == identity else None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def own_params(project: Project) -> PosttrainParams:
    """Raises ValueError where params.yaml does not ask for it, or for a task that there is not."""
    from evals.longcontext.tasks import TASKS

    params = project.params.posttrain
    if params is None:
        raise ValueError(f"posttrain is missing in {PARAMS}: add it, with its tasks, or `scalelab use longcontext`")
    for task in params.tasks:
        if task not in TASKS:
            raise ValueError(f"posttrain.tasks has {task!r}: choose of {', '.join(TASKS)}")
    return params


def planned(project: Project, params: PosttrainParams) -> tuple[Model, list[Job]]:
    """The model that the long-context stage asks, and the jobs: the model itself, then each arm."""
    longcontext, world = longcontext_params(project), project.world
    model, device = chosen_model(project, longcontext), project.params.executor.device
    trains_by = {name: value for name, value in asdict(params).items() if name not in ("methods", "items")}
    common = [model.digest, world.words, world.seed, device, _code_digest()]
    methods: list[Method | None] = [None, *params.methods]
    return model, [
        Job(
            method,
            model.checkpoint,
            project.runs / ARMS / (method or BASE),
            params,
            world.words,
            world.seed,
            longcontext.seed,
            device,
            _digest([method, common, trains_by if method else None]),
        )
        for method in methods
    ]


def _code_digest() -> str:
    paths = [CODE_ROOT / name for name in MADE_BY]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    code = store.code_digest(CODE_ROOT, sorted(str(file.relative_to(CODE_ROOT)) for file in files))
    return _digest([code, *map(importlib.metadata.version, LIBRARIES)])


def describe(project: Project) -> str:
    """What would be trained and measured, in a line."""
    params = own_params(project)
    _, jobs = planned(project, params)
    arms = [job for job in jobs if job.method]
    return (
        f"{' and '.join(params.methods)} of {longcontext_params(project).model}, each on {params.questions} questions "
        f"x {params.group} programs: {sum(job.trained() is None for job in arms)} to train; {len(params.tasks)} tasks, "
        f"{len(params.windows)} lengths, {params.items} items: {sum(job.rows() is None for job in jobs)} of "
        f"{len(jobs)} to measure"
    )


def own_posttrain(progress: "Console") -> dict[str, Any]:
    """Trains and measures what is pending and returns what posttrain.json says."""
    project = Project.here()
    params = own_params(project)
    model, jobs = planned(project, params)
    pending = [job for job in jobs if job.is_pending]
    failures: list[BaseException] = []
    with worker_pool(min(project.params.executor.workers, max(1, len(pending))), COMPILE_CACHE) as pool:
        running = {pool.submit(in_worker, job): job for job in pending}
        for number, future in enumerate(as_completed(running), start=1):
            error = future.exception()
            if error is not None:
                failures.append(error)
            progress.print(f"{number} of {len(pending)}: {running[future].name}: {error or 'done'}")
    if failures:
        raise failures[0]
    base, *arms = jobs
    name = longcontext_params(project).model
    return {
        "schema_version": SCHEMA_VERSION,
        "base": {"name": name, "rows": _rows(base)},
        "arms": [_told(job, base) for job in arms],
        "params": asdict(params),
        "inputs": {name: model.digest},
        "provenance": machine(),
    }


def _told(job: Job, base: Job) -> dict[str, Any]:
    record, rows = job.trained(), _rows(job)
    assert record is not None
    told = {name: record[name] for name in ("sampled", "kept", "trained_tokens", "seconds")}
    return {"method": job.method, **told, "rows": rows, "contrasts": contrasts(rows, _rows(base))}


def _rows(job: Job) -> list[dict[str, Any]]:
    """What it scores, with intervals."""
    from analysis.paired import mean_interval

    rows = job.rows()
    assert rows is not None
    return [row | {"ci95": list(mean_interval(row["scores"]))} for row in rows]


def contrasts(rows: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an arm scores more than the first model, and how many times its tokens, by task and length and over all.

    Both have 95% intervals over the questions: each arm is trained once, and another training may score otherwise.
    """
    from analysis.paired import contrast, ratio

    def joined(side: Sequence[dict[str, Any]], name: str) -> list[float]:
        return [value for row in side for value in row[name]]

    found = []
    for leaves in dict.fromkeys(row["leaves"] for row in rows):
        pairs = list(zip([row for row in rows if row["leaves"] == leaves], before, strict=True))
        for of in [*([pair] for pair in pairs), pairs]:
            assert all(own["task"] == other["task"] for own, other in of)
            own, others = zip(*of, strict=True)
            difference, interval = contrast(joined(own, "scores"), joined(others, "scores"))
            times, times_interval = ratio(joined(own, "tokens_by_item"), joined(others, "tokens_by_item"))
            found.append(
                {
                    "task": of[0][0]["task"] if of is not pairs else "all",
                    "length_windows": of[0][0]["length_windows"] if of is not pairs else None,
                    "leaves": leaves,
                    "num_items": sum(row["num_items"] for row in own),
                    "difference": difference,
                    "ci95": list(interval),
                    "tokens_ratio": times,
                    "tokens_ratio_ci95": list(times_interval),
                }
            )
    return found


def in_worker(job: Job) -> None:
    """What a worker does: trains the arm and measures it, with one thread; what is kept is whole."""
    import torch

    from evals.longcontext.lexicon import Lexicon
    from experiments.rollouts import held_out_rows
    from rlm.hf import HuggingFace

    torch.set_num_threads(1)
    lexicon, first = Lexicon(job.world_seed, job.words), HuggingFace(job.start, job.device)
    if job.method is not None and job.trained() is None:
        train_arm(job, first, lexicon)
    if job.rows() is not None:
        return
    root = first if job.method is None else HuggingFace(job.checkpoint, job.device)
    readers = {OWN: root} if job.method is None else {OWN: root, FIRST: first}
    rows = [
        row | {"leaves": whose}
        for whose, leaves in readers.items()
        for row in held_out_rows(root, leaves, lexicon, job.params, job.seed)
    ]
    store.write_json(job.directory / "rows.json", {"identity": job.judged, "rows": rows})


def train_arm(job: Job, leaves: "HuggingFace", lexicon: "Lexicon") -> None:
    """Trains beside the arm's place and moves what is whole into it; programs are run with the first model's leaves."""
    from experiments.rollouts import Rollouts, prompt, questions
    from rlm.policy import ROOT_TOKENS
    from sweeps.posttrain.tuning import Start

    if job.method == "rft":
        from sweeps.posttrain.rft import train
    else:
        from sweeps.posttrain.grpo import train
    began, drawn = time.perf_counter(), questions(job.params, lexicon)
    partial = job.directory.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    prompts = [prompt(item) for item in drawn]
    start = Start(job.start, prompts, Rollouts(leaves, drawn), job.params, ROOT_TOKENS, job.device)
    told = train(start, partial / "checkpoint")
    seconds = time.perf_counter() - began
    store.write_json(partial / "record.json", {"identity": job.identity, **told, "seconds": seconds})
    store.put_in_place(partial, job.directory)


def print_posttrain(found: dict[str, Any]) -> None:
    """Accuracy and tokens of the first model and of each arm, by task and length."""
    from rich.console import Console
    from rich.table import Table

    table = Table("task", "windows", "leaves", BASE, *(arm["method"] for arm in found["arms"]))
    table.title = f"accuracy (tokens) of {found['base']['name']} and after it"
    for whose in (OWN, FIRST):
        columns = [found["base"]["rows"], *([r for r in arm["rows"] if r["leaves"] == whose] for arm in found["arms"])]
        for rows in zip(*columns, strict=True):
            told = (f"{row['accuracy']:.2f} ({row['tokens']:,.0f})" for row in rows)
            table.add_row(rows[0]["task"], str(rows[0]["length_windows"]), whose, *told)
    Console(soft_wrap=True, highlight=False).print(table)
    for arm in found["arms"]:
        for pair in arm["contrasts"]:
            if pair["task"] == "all":
                (low, high), (least, most) = pair["ci95"], pair["tokens_ratio_ci95"]
                print(
                    f"{arm['method']}, {pair['leaves']} leaves: {pair['difference']:+.3f} ({low:+.3f} to {high:+.3f}) "
                    f"on {pair['num_items']} items, {pair['tokens_ratio']:.2f} ({least:.2f} to {most:.2f}) times the "
                    "tokens"
                )
    print("Each method is trained once: intervals are over questions, not over trainings.")
