"""Packages that ours are measured against, each in an environment of its own: none of them is installed beside ours."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.pools import ONE_THREAD
from experiments.project import CACHE


@dataclass(frozen=True)
class Peer:
    """A package of PyPI's, and the script that is run by path in its environment: JSON in, a last line of JSON out."""

    package: str
    version: str
    script: Path

    def __str__(self) -> str:
        return f"{self.package} {self.version}"

    @property
    def environment(self) -> Path:
        """Where it is installed."""
        return CACHE / "peers" / self.package

    @property
    def python(self) -> Path:
        """The interpreter there."""
        return (self.environment / "bin" / "python").absolute()

    def install(self, progress: Console) -> None:
        """Makes the environment where it is not there yet; raises ValueError where the package cannot be installed."""
        asked = f"from importlib.metadata import version; assert version({self.package!r}) == {self.version!r}"
        asking = [self.python, "-I", "-c", asked]
        if self.python.exists() and subprocess.run(asking, capture_output=True).returncode == 0:
            return
        progress.print(f"installing {self} in {self.environment}")
        for command in (
            [sys.executable, "-m", "venv", "--clear", self.environment],
            [self.python, "-m", "pip", "install", "--quiet", f"{self.package}=={self.version}"],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                reason = last_line(done.stderr)
                raise ValueError(
                    f"{self} cannot be installed in {self.environment} ({reason}): give pip an index that has it"
                )

    def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What its script says; raises RuntimeError with its last line where it fails."""
        done = subprocess.run(
            [self.python, "-I", self.script],
            input=json.dumps(asked),
            env={**os.environ, **ONE_THREAD, "MPLBACKEND": "Agg"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{self.package} failed: {last_line(done.stderr)}")
        return json.loads(last_line(done.stdout))


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
