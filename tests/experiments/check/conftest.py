"""Checks as they were, and a clone of this checkout in which one is run."""

import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.bench.check import Clone, clone
from tests.analysis.check_results import HISTORY


@pytest.fixture
def history() -> list[dict[str, Any]]:
    return copy.deepcopy(HISTORY)


@pytest.fixture(scope="session")
def cloned(root: Path) -> Iterator[Clone]:
    """Of HEAD; skips where this is no git checkout."""
    if subprocess.run(["git", "rev-parse"], cwd=root, capture_output=True).returncode:
        pytest.skip(f"{root} is no git checkout: it cannot be cloned")
    with clone() as place:
        yield place
