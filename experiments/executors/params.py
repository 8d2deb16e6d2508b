"""Where cells run. Standard library only."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

ExecutorKind = Literal["local", "ray", "slurm"]


@dataclass(frozen=True)
class SlurmParams:
    """What a job asks SLURM for: minutes of wall time, GB of memory, a partition and an account where it has them."""

    minutes: int = 240
    memory_gb: int = 8
    partition: str | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        for name in ("minutes", "memory_gb"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give 1 or more")


@dataclass(frozen=True)
class ExecutorParams:
    """`kind`: processes of this machine, Ray's tasks, or SLURM's jobs.

    workers: cells at a time on this machine or in SLURM's queue, one thread each (Ray begins what there is room for).
    device: more than one cell may share an accelerator. gpu_share: the part of a GPU that a cell takes of Ray.
    devices_per_cell: above 1, FSDP2 spreads each cell over so many devices of one machine. address: of the Ray cluster.
    store: an fsspec URL by way of which cells travel where workers share no folder with this machine.
    """

    workers: int = 2
    device: Literal["cpu", "cuda"] = "cpu"
    kind: ExecutorKind = "local"
    devices_per_cell: int = 1
    gpu_share: float = 1.0
    address: str | None = None
    store: str | None = None
    slurm: SlurmParams | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}: give 1 or more, one a core")
        if self.devices_per_cell < 1:
            raise ValueError(f"devices_per_cell is {self.devices_per_cell}: give 1 or more")
        if not 0 < self.gpu_share <= 1:
            raise ValueError(f"gpu_share is {self.gpu_share}: give a part of a GPU above 0, at most 1")
        if self.kind == "local" and self.device == "cuda" and min(self.workers, self.devices_per_cell) > 1:
            raise ValueError(
                f"devices_per_cell is {self.devices_per_cell} with {self.workers} workers on one machine: set workers "
                "to 1, or kind to ray or slurm, which give every cell GPUs of its own"
            )
        for name, kind in (("address", "ray"), ("slurm", "slurm")):
            if getattr(self, name) is not None and self.kind != kind:
                raise ValueError(f"{name} is given and kind is {self.kind!r}: set kind to {kind}, or leave it out")
        for name, value in (("kind", "ray"), ("device", "cuda"), ("devices_per_cell", 1)):
            if self.gpu_share != 1 and getattr(self, name) != value:
                raise ValueError(
                    f"gpu_share is {self.gpu_share:g} and {name} is {getattr(self, name)!r}: set {name} to {value}, or "
                    "leave gpu_share out"
                )
        if self.store is not None and self.kind == "local":
            raise ValueError(f"store is {self.store!r} and kind is 'local', which needs none: set kind or leave it out")

    def overridden(self, kind: ExecutorKind | None, address: str | None) -> "ExecutorParams":
        """With another kind, without the settings that are the old kind's alone, and with another address."""
        of_kind = self
        if kind is not None and kind != self.kind:
            kept = None if kind == "local" else self.store
            of_kind = replace(self, kind=kind, address=None, slurm=None, gpu_share=1.0, store=kept)
        return of_kind if address is None else replace(of_kind, address=address)

    @property
    def cores(self) -> int:
        """That a cell takes."""
        return self.devices_per_cell

    @property
    def gpus(self) -> float:
        """That a cell takes."""
        if self.device == "cpu":
            return 0
        return self.devices_per_cell if self.devices_per_cell > 1 else self.gpu_share

    def submitit_options(self) -> dict[str, Any]:
        """A job's demands in submitit's words."""
        asked = self.slurm or SlurmParams()
        options: dict[str, Any] = {
            "timeout_min": asked.minutes,
            "mem_gb": asked.memory_gb,
            "cpus_per_task": self.cores,
            "gpus_per_node": math.ceil(self.gpus),
        }
        named = {"slurm_partition": asked.partition, "slurm_account": asked.account}
        return options | {name: value for name, value in named.items() if value is not None}
