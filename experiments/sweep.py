"""The train stage: what is pending of a suite, trained side by side with its progress on the screen."""

from collections import Counter

from experiments.launch import Failure, run_cells
from experiments.params import ExecutorParams
from experiments.progress import sweep_progress
from experiments.project import COMPILE_CACHE
from sweeps.cost import branch_flops, steps_to_train
from sweeps.train_job import CellJob


def report_states(jobs: list[CellJob]) -> None:
    """One line: how many branches are done, stale, failed or pending."""
    states = Counter(job.state(steps) for job in jobs for steps in job.cell.steps)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    print(f"{sum(states.values())} branches in {len(jobs)} cells: {counts}", flush=True)
    if states["stale"]:
        print("stale: params, data or training code changed since; they are trained again", flush=True)


def train_suite(jobs: list[CellJob], executor: ExecutorParams) -> list[Failure]:
    """Trains the pending jobs."""
    pending = [job for job in jobs if job.pending_steps()]
    if not pending:
        return []
    with sweep_progress(pending) as progress:
        return run_cells(pending, executor.workers, COMPILE_CACHE, relative_cost, progress.tick)


def relative_cost(job: CellJob) -> float:
    """FLOPs that the job still has to spend: enough to start the longest first."""
    return branch_flops(job.cell, job.recipe, sum(steps_to_train(job).values()))


def check_device(device: str) -> None:
    """Raises ValueError for an accelerator that torch does not see."""
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ValueError("executor.device is 'cuda' and torch sees no GPU: set it to cpu, or `scalelab use laptop`")
