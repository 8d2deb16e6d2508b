"""One large cell on several devices of a machine: torch's FSDP2 behind the face of a `Loop`.

Rank 0 walks through the cell as on one device and alone touches the store; what it asks of its loop it first tells the
other ranks, which do the same with their rows of the batch. Records and trunk states are those of one device, so that a
cell may be begun on one and ended on several; sums over ranks come in another order, and losses agree to rounding.
"""

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.fsdp import fully_shard
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.distributed.tensor import DTensor
from transformers import GraniteForCausalLM

from models import decoder
from models.orphans import end_with_parent
from sweeps import store
from sweeps.data import TrainingData, load_data
from sweeps.documents import NO_TARGET
from sweeps.grid import Cell
from sweeps.onednn import compile_options
from sweeps.schedule import Fork
from sweeps.train import CellRun, Loop, batch_loss
from sweeps.train_job import CellJob


class RankLost(RuntimeError):
    """A signal ended a rank: nothing is wrong with the cell, which goes on from its last state, begun anew."""


def train_cell_sharded(job: CellJob, num_devices: int) -> None:
    """Trains as `train_cell` does, every batch and all weights spread over that many devices of this machine.

    Raises ValueError where a batch has fewer rows than devices or does not divide, RankLost where a signal ended a
    rank, RuntimeError with what else did.
    """
    rows = job.recipe.training.batch_rows
    if rows % num_devices:
        raise ValueError(
            f"executor.devices_per_cell is {num_devices}: {rows} rows a batch do not divide by it: give a divisor of "
            f"{rows}"
        )
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=num_devices, run_id=job.cell.name, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.1,
    )  # fmt: skip
    try:
        elastic_launch(config, _rank)(job)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        said = failure.message if isinstance(failure.message, str) else failure.message["message"]
        kind = RankLost if failure.exitcode < 0 else RuntimeError
        raise kind(f"rank {rank} of {num_devices}: {said}") from None


@record
def _rank(job: CellJob) -> None:
    """What each of the processes does; rank 0 ends the others when it is through."""
    end_with_parent()
    torch.set_num_threads(1)
    dist.init_process_group("cpu:gloo,cuda:nccl" if job.recipe.device == "cuda" else "gloo")
    try:
        if dist.get_rank():
            _follow(ShardedLoop(job.cell, job.recipe, load_data(job.data)))
        else:
            run = CellRun(job, ShardedLoop)
            run.run()
            _tell("stop")
    finally:
        dist.destroy_process_group()


def _follow(loop: "ShardedLoop") -> None:
    """Does what rank 0 does with its loop until that stops."""
    while (order := _tell(None))[0] != "stop":
        name, arguments = order
        getattr(loop, name)(*arguments)


def _tell(name: str | None, *arguments: Any) -> tuple[str, tuple[Any, ...]]:
    """Rank 0 says what to call, the others hear it."""
    order = [(name, arguments)]
    dist.broadcast_object_list(order, src=0)
    return order[0]  # pyright: ignore[reportReturnType]


class ShardedLoop(Loop):
    """A loop whose weights, gradients and moments are spread over the ranks, each with its rows of the batch."""

    def __init__(self, cell: Cell, recipe: store.Recipe, data: TrainingData) -> None:
        self.rank, self.num_devices = dist.get_rank(), dist.get_world_size()
        if recipe.device == "cuda":
            torch.cuda.set_device(self.rank)
        super().__init__(cell, recipe, data)
        mesh = init_device_mesh(recipe.device, (self.num_devices,))
        for layer in self.model.model.layers:
            if self.training.compile:  # A layer at a time: what gathers its weights stands between them.
                layer.compile(dynamic=False, options=compile_options(self.device))
            fully_shard(layer, mesh=mesh)
        fully_shard(self.model, mesh=mesh)
        groups = decoder.parameter_groups(self.model, self.training.learning_rate, self.training.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, betas=(self.training.beta1, self.training.beta2), fused=True)
        self.parameters = list(self.model.parameters())
        self.loss_of = self._share_of_loss
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        self.names = [names[id(parameter)] for group in groups for parameter in group["params"]]

    def advance(self, cooldown: Fork | None) -> tuple[torch.Tensor, torch.Tensor]:
        """As of one device; the loss and the norm are those of the whole batch."""
        self._lead("advance", cooldown)
        loss, norm = super().advance(cooldown)
        dist.all_reduce(loss)
        assert isinstance(norm, DTensor)
        return loss / self.num_devices, norm.full_tensor()

    def state(self) -> dict[str, Any]:
        """As of one device, whole and on the CPU; on rank 0 alone."""
        self._lead("state")
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        model, optimizer = get_state_dict(self.model, self.optimizer, options=options)
        return (
            {"step": self.step, "model": model, "optimizer": _numbered(optimizer, self.names)} if not self.rank else {}
        )

    def load_state(self, state: dict[str, Any] | None = None) -> None:
        """Puts every rank where rank 0's `state` was taken."""
        self._lead("load_state")
        step = [state and state["step"]]
        dist.broadcast_object_list(step, src=0)
        model, optimizer = ({}, {}) if state is None else (dict(state["model"]), _named(state["optimizer"], self.names))
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_model_state_dict(self.model, model, options=options)
        set_optimizer_state_dict(self.model, self.optimizer, optimizer, options=options)
        self.step = step[0]

    def whole_model(self) -> GraniteForCausalLM:
        """A copy on rank 0's device, gathered from all."""
        self._lead("whole_model")
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = get_model_state_dict(self.model, options=options)
        whole = decoder.build(self.cell.shape, self.recipe.vocab_size, self.training.sequence_length, self.cell.seed)
        if not self.rank:
            whole.load_state_dict(weights)
            torch.nn.Module.to(whole, self.device)
        return whole

    def _lead(self, name: str, *arguments: Any) -> None:
        if not self.rank:
            _tell(name, *arguments)

    def _batch(self) -> tuple[np.ndarray, np.ndarray]:
        inputs, targets = super()._batch()
        rows = slice(self.rank, None, self.num_devices)
        return inputs[rows], targets[rows]

    def _share_of_loss(self, *batch: Any) -> torch.Tensor:
        """Whose mean over the ranks is the mean over the batch: rows differ in how many tokens they score, or none."""
        scored = (batch[-1] != NO_TARGET).sum()
        dist.all_reduce(scored)
        return batch_loss(*batch, reduction="sum") * (self.num_devices / scored)


def _numbered(optimizer: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """An optimiser's state by parameter names as torch's optimisers number them: by their place in the groups."""
    return _renamed(optimizer, {name: number for number, name in enumerate(names)})


def _named(optimizer: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The way back."""
    return _renamed(optimizer, dict(enumerate(names)))


def _renamed(optimizer: dict[str, Any], new: dict[Any, Any]) -> dict[str, Any]:
    groups = [{**group, "params": [new[old] for old in group["params"]]} for group in optimizer["param_groups"]]
    return {"state": {new[old]: moments for old, moments in optimizer["state"].items()}, "param_groups": groups}
