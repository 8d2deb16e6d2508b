"""A copy of the checkout with the smoke preset in place, in which DVC is real."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@localhost")


class Checkout:
    """A copy of the files git knows, committed anew, in which the smoke preset is in place."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True
        )
        for name in listed.stdout.splitlines():
            if (root / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes((root / name).read_bytes())
        (path / "dvc.lock").unlink(missing_ok=True)
        bin_directory = Path(sys.executable).parent
        self.env = {**os.environ, "PYTHONPATH": str(path), "PATH": f"{bin_directory}:{os.environ['PATH']}"}
        for arguments in (["init", "-q"], ["add", "-A"], [*IDENTITY, "commit", "-qm", "all"]):
            subprocess.run(["git", *arguments], cwd=path, check=True)
        self.run("scalelab", "use", "smoke")

    def run(self, *command: str) -> str:
        """A command of the README, which must succeed; what it printed."""
        done = subprocess.run(command, cwd=self.path, env=self.env, capture_output=True, text=True, timeout=560)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def law(self) -> dict[str, Any]:
        return json.loads((self.path / "results/law.json").read_text())

    def stamps(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (self.path / "runs").glob("*/*/*/record.json")}

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """A command that runs in a process group of its own, as a shell starts it, with its output in `started.log`."""
        with (self.path.parent / "started.log").open("w") as log:
            return subprocess.Popen(
                command, cwd=self.path, env=self.env, stdout=log, stderr=log, text=True, start_new_session=True
            )

    def refused(self, *command: str) -> str:
        """A command that must fail; what it printed."""
        done = subprocess.run(command, cwd=self.path, env=self.env, capture_output=True, text=True, timeout=560)
        assert done.returncode, done.stdout + done.stderr
        return done.stdout + done.stderr

    def git(self, *arguments: str) -> str:
        """What git prints, as a user with a name."""
        return self.run("git", *IDENTITY, *arguments)

    def commit(self, message: str) -> None:
        """Everything that git does not ignore."""
        self.git("add", "-A")
        self.git("commit", "-qm", message)
