"""The train stage: what is pending of a suite, trained side by side with its progress on the screen."""

import importlib.util
import sys
from collections import Counter
from functools import partial

from experiments.executors import Executor
from experiments.executors.local import LocalExecutor
from experiments.executors.params import ExecutorParams
from experiments.executors.worker import train_in_worker
from experiments.launch import Failure, run_cells
from experiments.progress import sweep_progress
from experiments.project import CACHE, COMPILE_CACHE
from sweeps.cost import branch_flops, steps_to_train
from sweeps.train_job import CellJob

PACKAGES = {"ray": "ray", "slurm": "submitit"}


def report_states(jobs: list[CellJob]) -> None:
    """One line: how many branches are done, stale, failed or pending."""
    states = Counter(job.state(steps) for job in jobs for steps in job.cell.steps)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    print(f"{sum(states.values())} branches in {len(jobs)} cells: {counts}", flush=True)
    if states["stale"]:
        print("stale: params, data or training code changed since; they are trained again", flush=True)


def train_suite(jobs: list[CellJob], executor: ExecutorParams) -> list[Failure]:
    """Trains the pending jobs where `executor` says."""
    pending = [job for job in jobs if job.pending_steps()]
    if not pending:
        return []
    if executor.store is not None:
        return _train_by_store(pending, executor, executor.store)
    with executor_of(executor) as cluster, sweep_progress(pending) as progress:
        return run_cells(pending, cluster, relative_cost, progress.tick)


def _train_by_store(jobs: list[CellJob], executor: ExecutorParams, url: str) -> list[Failure]:
    """The same by way of a store, from where an earlier run left the cells there."""
    from experiments.executors.stores import SharedStore

    shared = SharedStore(url)
    shared.recover(jobs)
    pending = [job for job in jobs if job.pending_steps()]
    if not pending:
        return []
    with executor_of(executor) as cluster, sweep_progress(pending) as progress:
        shared.offer(pending)
        print(f"a cell that runs shows here when it ends: results come by way of {url}", file=sys.stderr, flush=True)
        return run_cells(pending, cluster, relative_cost, progress.tick, shared.bring_back)


def executor_of(params: ExecutorParams) -> Executor:
    """What trains cells there; raises ValueError where the package for it is not installed."""
    package = PACKAGES.get(params.kind)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ValueError(
            f"executor.kind is {params.kind!r} and {package} is not installed: pip install -e '.[{params.kind}]'"
        )
    work = partial(train_in_worker, num_devices=params.devices_per_cell, store_url=params.store)
    if params.kind == "ray":
        from experiments.executors.ray import RayExecutor

        ships_code = params.store is not None
        return RayExecutor(params.address, work, params.cores, params.gpus, COMPILE_CACHE, ships_code)
    if params.kind == "slurm":
        from experiments.executors.slurm import SlurmExecutor

        return SlurmExecutor(params.workers, CACHE / "slurm", work, params.submitit_options(), COMPILE_CACHE)
    return LocalExecutor(params.workers, COMPILE_CACHE, work)


def relative_cost(job: CellJob) -> float:
    """FLOPs that the job still has to spend: enough to start the longest first."""
    return branch_flops(job.cell, job.recipe, sum(steps_to_train(job).values()))


def check_rows(jobs: list[CellJob], executor: ExecutorParams) -> None:
    """Raises ValueError for a job whose batches do not spread evenly over the devices of a cell."""
    devices = executor.devices_per_cell
    for job in jobs:
        rows = job.recipe.training.batch_rows
        if rows % devices:
            raise ValueError(
                f"executor.devices_per_cell is {devices} and a batch of {job.cell.suite} has {rows} rows: give a "
                f"divisor of {rows}"
            )


def has_device(device: str) -> bool:
    """Whether torch sees it on this machine."""
    if device != "cuda":
        return True
    import torch

    return torch.cuda.is_available()


def check_device(device: str) -> None:
    """Raises ValueError for an accelerator that torch does not see."""
    if not has_device(device):
        raise ValueError("executor.device is 'cuda' and torch sees no GPU: set it to cpu, or `scalelab use laptop`")
