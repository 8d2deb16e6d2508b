"""What a worker needs to train one cell. Standard library only: plan and status build jobs without loading torch."""

from dataclasses import dataclass
from pathlib import Path

from sweeps import store
from sweeps.grid import Cell


@dataclass(frozen=True)
class CellJob:
    """A cell and all it takes to train it anywhere; paths are resolved where the job runs."""

    cell: Cell
    recipe: store.Recipe
    data: Path
    runs: Path
    revision: str

    @property
    def directory(self) -> Path:
        """Where the cell lies in the store."""
        return store.cell_dir(self.runs, self.cell)

    def pending_steps(self) -> list[int]:
        """Where the branches end that are not settled yet, in optimiser steps."""
        return [steps for steps in self.cell.steps if not store.is_settled(self.state(steps))]

    def state(self, steps: int) -> store.State:
        """Where the branch that ends after `steps` stands."""
        return store.branch_state(self.runs, self.cell, self.recipe, steps)
