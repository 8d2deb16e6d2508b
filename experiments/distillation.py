"""The comparison of ways to distil: students trained side by side, judged alike, and held against data alone."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.evaluate import Judgement, ability_tasks, evaluate_in_worker, judge_identity
from experiments.executors.worker import MAX_WIDTHS
from experiments.points import checkpoint_of
from experiments.pools import worker_pool
from experiments.project import CODE_ROOT, COMPILE_CACHE, Project, git_revision
from models.ladder import Shape
from sweeps import store
from sweeps.cost import branch_flops
from sweeps.distil.job import SUITE, DistilJob, checkpoint_digest, code_digest
from sweeps.distil.params import DistillationParams
from sweeps.grid import branch_name
from sweeps.train_job import CellJob

if TYPE_CHECKING:
    from rich.console import Console

    from evals.inference.acceptance import Acceptance

SCHEMA_VERSION = 1
DRAFTING = "drafting.json"
# A task an ability: the answer at once, and after steps where there are any.
ANSWERS = ("_direct", "_steps_generate")
JUDGED_BY = ("evals/inference/acceptance.py", "sweeps/validation.py", "experiments/distillation.py")


@dataclass(frozen=True)
class Judged:
    """A student, or the teacher itself, beside what it is judged with; what is found lies in the judgement's directory.

    data: the token store whose held-out documents give loss and acceptance.
    """

    judgement: Judgement
    teacher: Path
    data: Path
    sequence_length: int


@dataclass(frozen=True)
class Comparison:
    """What params ask of a project. Raises ValueError where the teacher is not trained or the data cannot be used."""

    project: Project
    params: DistillationParams

    @cached_property
    def teacher(self) -> tuple[CellJob, Path, dict[str, Any]]:
        """Job, branch directory and record of the teacher."""
        suite, asked = self.params.suite, self.params.teacher
        if self.project.suite(suite).data != "abilities":
            raise ValueError(f"suite {suite!r} trains on text: distil in one whose data are abilities, with answers")
        branches = [(job, steps) for job in self.project.jobs(suite) for steps in job.cell.steps]
        if asked is None:
            flops = [branch_flops(job.cell, job.recipe, steps) for job, steps in branches]
            branches = [one for one, cost in zip(branches, flops, strict=True) if cost == max(flops)]
        else:
            branches = [one for one in branches if _branch_of(*one) == asked]
        if not branches:
            raise ValueError(f"teacher {asked!r} is no branch of {suite}: give cell/branch, or leave it out")
        waiting = [_branch_of(job, steps) for job, steps in branches if not store.is_settled(job.state(steps))]
        if waiting:
            raise ValueError(f"teacher {waiting[0]} is not trained: run `scalelab train {suite}`")
        found = []
        for job, steps in branches:
            directory = job.directory / branch_name(steps * job.recipe.training.batch_tokens)
            record = store.read_record(directory)
            assert record is not None
            if record["status"] == "done":
                found.append((job, directory, record))
        if not found:
            raise ValueError(f"the teacher's run in {suite} diverged: name another with teacher")
        return min(found, key=lambda one: one[2]["loss"])

    @cached_property
    def jobs(self) -> list[DistilJob]:
        """One a student, in the order of sizes, seeds and ways."""
        (job, directory, _), params = self.teacher, self.params
        data, manifest = self.project.data(params.suite)
        usable = manifest["train"]["documents"] * job.recipe.training.sequence_length
        if params.tokens > usable:
            raise ValueError(f"tokens is {params.tokens}, there are {usable}: raise abilities.documents or lower it")
        recipe = dataclasses.replace(job.recipe, code_digest=code_digest(CODE_ROOT))
        teacher, revision = checkpoint_of(directory), git_revision()
        digest = checkpoint_digest(teacher)
        return [
            DistilJob(
                way, teacher, digest, Shape(width), seed, params.tokens, params.on_policy_share, params.beta, recipe,
                data, self.project.runs, revision,
            )
            for width in params.sizes
            for seed in params.seeds
            for way in params.ways
        ]  # fmt: skip

    def judged(self, checkpoint: Path, name: str, fingerprint: str) -> Judged:
        """How the checkpoint is judged; what is there is kept as long as it is of these weights and this judge."""
        job, directory, _ = self.teacher
        teacher = directory / "checkpoint"
        asked = tuple(task for task in ability_tasks(self.project.abilities) if task.endswith(ANSWERS))
        judge = [judge_identity(asked), job.recipe.device, job.recipe.validation_digest, checkpoint_digest(teacher)]
        judge += [(CODE_ROOT / path).read_text() for path in JUDGED_BY]
        identity = hashlib.sha256("\n".join([*judge, checkpoint_digest(checkpoint)]).encode()).hexdigest()[:16]
        place = self.project.runs / store.EVALUATIONS / SUITE / name
        judgement = Judgement(checkpoint, place, asked, identity, fingerprint, job.recipe.device)
        data, _ = self.project.data(self.params.suite)
        return Judged(judgement, teacher, data, job.recipe.training.sequence_length)


def _branch_of(job: CellJob, steps: int) -> str:
    return f"{job.cell.name}/{branch_name(steps * job.recipe.training.batch_tokens)}"


def describe_distillation(project: Project, params: DistillationParams) -> str:
    """What would run, in a paragraph."""
    comparison = Comparison(project, params)
    _, directory, record = comparison.teacher
    jobs = comparison.jobs
    pending = [job for job in jobs if not job.is_settled]
    flops = sum(branch_flops(job.cell, job.recipe, job.steps) for job in pending)
    tokens = jobs[0].steps * jobs[0].recipe.training.batch_tokens
    return (
        f"teacher {directory.parent.name}/{directory.name} of {params.suite} ({record['params_non_embedding']:,} "
        f"parameters, loss {record['loss']:.3f}); {len(jobs)} students: sizes {_listed(params.sizes)}, seeds "
        f"{_listed(params.seeds)}, ways {_listed(params.ways)}, {tokens:,} tokens each, of which the on-policy ones "
        f"sample the last {params.on_policy_share:.0%}; {len(pending)} to train, {flops:.3g} FLOPs besides those of "
        "teacher and sampling; then loss, abilities and acceptance of each"
    )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def run_distillation(project: Project, params: DistillationParams, progress: "Console") -> dict[str, Any]:
    """Trains and judges what is pending and returns the table: `teacher`, a row a student, and the contrasts.

    Raises ValueError in one line where the teacher is not trained and where a student diverged.
    """
    from experiments.distillation_table import table

    comparison, workers = Comparison(project, params), project.params.executor.workers
    _, directory, record = comparison.teacher
    _side_by_side(
        distil_in_worker, [job for job in comparison.jobs if not job.is_settled], workers, "distilling", progress
    )
    students = [(job, store.read_json(job.directory / "record.json")) for job in comparison.jobs]
    lost = [job.name for job, found in students if found["status"] != "done"]
    if lost:
        raise ValueError(f"student {lost[0]} diverged: lower suites.{params.suite}.training.learning_rate")
    judged = [comparison.judged(job.directory / "checkpoint", job.name, job.fingerprint) for job in comparison.jobs]
    teacher = comparison.judged(directory / "checkpoint", "teacher", record["fingerprint"])
    pending = [one for one in [teacher, *judged] if not one.judgement.is_done]
    _side_by_side(judge_in_worker, pending, workers, "judging", progress)
    return {
        "schema_version": SCHEMA_VERSION,
        "revision": git_revision(),
        "suite": params.suite,
        "params": json.loads(json.dumps(asdict(params))),
        **table(
            (record, teacher.judgement.directory),
            [(found, one.judgement.directory) for (_, found), one in zip(students, judged, strict=True)],
            params.num_draft,
        ),
    }


def _side_by_side(
    work: Callable[[Any], None], jobs: Sequence[Any], workers: int, doing: str, console: "Console"
) -> None:
    """Does them in workers, with a bar on a terminal and a line each elsewhere."""
    from rich.progress import track

    if not jobs:
        return
    with worker_pool(min(workers, len(jobs)), COMPILE_CACHE) as pool:
        running = [pool.submit(work, job) for job in jobs]
        done = track(
            as_completed(running), doing, len(jobs), console=console, transient=True, disable=not console.is_terminal
        )
        for number, future in enumerate(done, start=1):
            future.result()
            if not console.is_terminal:
                console.print(f"{doing}: {number} of {len(jobs)} done")


def distil_in_worker(job: DistilJob) -> None:
    """One student, one thread."""
    import torch

    from sweeps.distil.train import distil

    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = MAX_WIDTHS
    distil(job)


def judge_in_worker(judged: Judged) -> None:
    """Loss by document and acceptance by prompt, then lm-eval, whose file vouches for both."""
    import torch
    from transformers import AutoModelForCausalLM

    from sweeps.data import load_data
    from sweeps.distil.answers import answer_format
    from sweeps.documents import DocumentData

    torch.set_num_threads(1)
    data = load_data(judged.data)
    assert isinstance(data, DocumentData)
    paths = (judged.teacher, judged.judgement.checkpoint)
    target, drafter = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in paths)
    for model in (target, drafter):
        torch.nn.Module.to(model, torch.device(judged.judgement.device))
    end_token = answer_format(data.train).end_token
    found = drafting(target, drafter, data.validation, judged.sequence_length, end_token)
    nats, tokens = document_nats(drafter, data, judged.sequence_length)
    written = {
        "nats": nats,
        "tokens": tokens,
        "continued": found.tokens.tolist(),
        "accepted": {kind: values.tolist() for kind, values in found.accepted.items()},
    }
    store.write_json(judged.judgement.directory / DRAFTING, written)
    evaluate_in_worker(judged.judgement)


def drafting(target: Any, drafter: Any, held_out: Any, sequence_length: int, end_token: int) -> "Acceptance":
    """Acceptance on the target's answers to every held-out prompt, up to their end or the window."""
    import numpy as np

    from evals.inference.acceptance import acceptance, continue_greedily

    tokens, scored = held_out.rows(np.arange(len(held_out.offsets) - 1), sequence_length)
    prompts = [row[:length].tolist() for row, length in zip(tokens, scored.argmax(1), strict=True)]
    num_tokens = sequence_length - max(map(len, prompts))
    return acceptance(target, drafter, continue_greedily(target, prompts, num_tokens, end_token))


def document_nats(model: Any, data: Any, sequence_length: int) -> tuple[list[float], list[float]]:
    """Of every held-out document the nats of its scored tokens, and how many these are."""
    import numpy as np

    from sweeps.validation import validation_loss
    from sweeps.windows import Windows

    windows = data.validation_windows(sequence_length)
    nats, tokens = [], []
    for document in np.unique(windows.document_W):
        rows = windows.document_W == document
        parts = (windows.inputs_WT[rows], windows.targets_WT[rows], windows.scored_WT[rows])
        one = Windows(*parts, np.zeros(rows.sum(), np.int64))
        tokens.append(float(one.scored_WT.sum()))
        nats.append(validation_loss(model, one, 1, model.device).loss * tokens[-1])
    return nats, tokens
