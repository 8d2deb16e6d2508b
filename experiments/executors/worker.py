"""What a worker does with a cell, on whatever machine it stands."""

from experiments.executors import WorkerLost
from sweeps.train_job import CellJob

MAX_WIDTHS = 64


def train_in_worker(job: CellJob, num_devices: int = 1, store_url: str | None = None) -> None:
    """One cell, a thread a device; without a folder that all machines see, by way of the store at that URL.

    Raises WorkerLost where that store stays away, and as `train` does.
    """
    import torch

    torch.set_num_threads(1)
    # Dynamo keeps one compiled step a width and gives up at 8 in a process.
    torch._dynamo.config.recompile_limit = MAX_WIDTHS
    if store_url is None:
        train(job, num_devices)
        return
    from experiments.executors.remote import StoreAway
    from experiments.executors.stores import SharedStore

    try:
        with SharedStore(store_url).checked_out(job) as here:
            train(here, num_devices)
    except StoreAway as away:
        raise WorkerLost(f"the store was away: {away}") from away


def train(job: CellJob, num_devices: int) -> None:
    """The cell on that many devices of this machine. Raises WorkerLost where a signal ended one of its processes."""
    if num_devices == 1:
        from sweeps.train import train_cell

        train_cell(job)
    else:
        from sweeps.sharded import RankLost, train_cell_sharded

        try:
            train_cell_sharded(job, num_devices)
        except RankLost as lost:
            raise WorkerLost(str(lost)) from lost
