"""What a process needs to measure a row of the long-context table. Imports no model: a plan costs no such import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from evals.longcontext.params import ArmName, Profile

GateName = Literal["shuffled_leaf", "constant_leaf", "oracle_leaf", "oracle_program", "regex", "bag_of_words"]
GATES: tuple[GateName, ...] = get_args(GateName)


@dataclass(frozen=True)
class Job:
    """What a row is of; `gate` in the place of an arm's own model, else None."""

    checkpoint: Path
    device: str
    words: int
    world_seed: int
    task: str
    windows: int
    items: int
    seed: int
    arm: ArmName
    profile: Profile
    gate: GateName | None = None


@dataclass(frozen=True)
class Reading:
    """Of how many held-out questions a leaf's answers are looked at."""

    checkpoint: Path
    device: str
    words: int
    world_seed: int
    items: int
    seed: int
