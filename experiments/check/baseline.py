"""The committed baseline: the numbers of every kind but speed, the revision and the machine that they are of."""

import json
import platform
from importlib.metadata import version
from typing import Any

from experiments.check.checkout import BASELINE, file_at, head, is_dirty, resolve
from experiments.check.row import Kind
from experiments.measurements import processor
from experiments.project import CODE_ROOT
from sweeps import store

SCHEMA_VERSION = 1
LIBRARIES = ("torch", "transformers", "numpy", "scipy", "torchao")
# What sums of floating point numbers depend on; elsewhere numbers are the same within a tolerance.
ALIKE = ("processor", "cpu_capability", "threads")


def describe_machine() -> dict[str, Any]:
    """What numbers depend on besides code: the processor and how torch uses it. In a process with one thread."""
    import torch

    return {
        "processor": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Of Python and the libraries that numbers come from."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def is_alike(kept: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether numbers of the one must be those of the other, digit for digit."""
    same = all(kept["machine"].get(name) == now["machine"][name] for name in ALIKE)
    return same and all(kept["versions"].get(name) == now["versions"][name] for name in LIBRARIES)


def read_baseline(against: str | None) -> dict[str, Any]:
    """The checkout's baseline, or that of a revision; raises ValueError where there is none that can be read."""
    if against is None:
        path = CODE_ROOT / BASELINE
        if not path.exists():
            raise ValueError(f"check: {path} is not there: `scalelab check --update` writes it")
        found = store.read_json(path)
    else:
        text = file_at(resolve(against), BASELINE)
        if text is None:
            raise ValueError(f"--against {against}: that revision has no {BASELINE}: name another, or --only speed")
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            raise ValueError(f"--against {against}: its {BASELINE} is not JSON: name another") from None
    if found.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"check: {BASELINE} is of another version of scalelab: `scalelab check --update` renews it")
    return found


def revision_to_time(against: str | None) -> str:
    """What the speed check is held against: the revision named, else the one that the baseline is of."""
    return resolve(against if against is not None else read_baseline(None)["revision"])


def write_baseline(machine: dict[str, Any], kinds: dict[Kind, Any]) -> None:
    """Writes the checkout's numbers as its baseline; see `require_clean`."""
    written = {
        "schema_version": SCHEMA_VERSION, "revision": head(), "machine": machine, "versions": versions(), "kinds": kinds
    }  # fmt: skip
    store.write_json(CODE_ROOT / BASELINE, written)


def require_clean() -> None:
    """Raises ValueError where no commit holds this code: speed could not be held against it later."""
    if is_dirty():
        raise ValueError("--update: tracked files differ from HEAD, which the baseline is to name: commit them first")
