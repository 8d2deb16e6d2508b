"""lm-eval on a checkpoint: every task in one run, tasks and their data loaded once a process."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from pathlib import Path

import torch
from lm_eval.api.task import Task
from lm_eval.evaluator import evaluate as run
from lm_eval.tasks import TaskManager
from transformers import PreTrainedModel

from evals.judge import Judge
from evals.scores import Evaluation, read
from evals.tasks.dataset import ITEMS

TASKS = Path(__file__).parent / "tasks"
SEED = 1234  # lm-eval's own, so that its command line shows the same shots.


def evaluate(
    checkpoint: Path,
    tasks: Sequence[str],
    *,
    items: Path = ITEMS,
    include: Sequence[Path] = (),
    num_fewshot: int | None = None,
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "cpu",
    model: PreTrainedModel | None = None,
) -> Evaluation:
    """Scores of a Hugging Face directory on tasks and groups, ours or lm-eval's.

    model: answers in place of the checkpoint's own, which then lends its tokenizer only; it is where `device` says.
    items: the folder of the item files. include: more folders with tasks. num_fewshot: examples of the training side
    before every prompt; None stands for the task's own number, 0 of ours. limit: so many items of every task, the
    first. Tasks and items are read once a process. The same checkpoint and tasks give the same scores and samples on
    the same device.

    Raises ValueError in one line for a task that is not known and for one whose data are not on disk. Warns where
    prompts do not fit the model's window.
    """
    loaded = load_tasks(tuple(tasks), items.resolve(), tuple(include), num_fewshot)
    for task in loaded.values():
        task.set_fewshot_seed(SEED)
    with _seeded(device), redirect_stderr(io.StringIO()):  # Progress bars without a switch.
        judge = Judge(checkpoint, batch_size, device, model)
        results = run(judge, {"tasks": loaded}, limit=limit, bootstrap_iters=0)
    assert results is not None
    for task, count in judge.cut.items():
        warnings.warn(
            f"{task}: {count} prompts do not fit the model's {judge.max_length} tokens and lost their beginnings",
            stacklevel=2,
        )
    return read(results)


@lru_cache(maxsize=8)
def load_tasks(
    names: tuple[str, ...], items: Path, include: tuple[Path, ...], num_fewshot: int | None
) -> dict[str, Task]:
    """The tasks of these names and of the groups of these names, each once; raises ValueError as `evaluate` does."""
    loaded: dict[str, Task] = {}
    for name in names:
        manager = _manager_that_knows(name, items, include)
        try:
            with redirect_stderr(io.StringIO()):
                loaded |= manager.load([name])["tasks"]
        except (OSError, ValueError) as error:
            raise ValueError(f"tasks names {name}, whose data are not on disk: {str(error).splitlines()[0]}") from error
    for task in loaded.values():
        own = task.get_config("num_fewshot")
        if own is None or (num_fewshot is not None and own != 0):  # 0 in a task's file forbids shots.
            task.set_config("num_fewshot", num_fewshot or 0)
    return loaded


def _manager_that_knows(name: str, items: Path, include: tuple[Path, ...]) -> TaskManager:
    ours = _manager(items, include, include_defaults=False)
    if name in ours.task_index:
        return ours
    everything = _manager(items, include, include_defaults=True)
    if name not in everything.task_index:
        raise ValueError(f"tasks names {name}, which is no task: use {', '.join(ours.all_groups)} or one of lm-eval's")
    return everything


@lru_cache(maxsize=4)
def _manager(items: Path, include: tuple[Path, ...], include_defaults: bool) -> TaskManager:
    """Without lm-eval's own tasks it takes a tenth of a second, with them many."""
    folders: list[str | Path] = [TASKS, *include]
    return TaskManager(include_path=folders, include_defaults=include_defaults, metadata={"items": str(items)})


@contextmanager
def _seeded(device: str) -> Iterator[None]:
    with torch.random.fork_rng(devices=[] if device == "cpu" else [device]):
        torch.manual_seed(SEED)
        yield
