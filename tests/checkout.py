"""A copy of the checkout with the smoke preset in place, in which DVC is real."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

USER = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "test"), ("EMAIL", "test@localhost"))
}


def heed_interrupts() -> None:
    """A shell's background jobs, and so the tests in one, have Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
        path_variable = f"{bin_directory}:{os.environ['PATH']}"
        self.env = {**os.environ, **USER, "PYTHONPATH": str(path), "PATH": path_variable}
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
            self.git(*arguments)
        self.run("scalelab", "use", "smoke")

    def ended(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A command, once it has ended, however it did."""
        return subprocess.run(command, cwd=self.path, env=self.env, capture_output=True, text=True, timeout=900)

    def run(self, *command: str) -> str:
        """A command that must succeed; what it printed."""
        done = self.ended(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def law(self) -> dict[str, Any]:
        return json.loads((self.path / "results/law.json").read_text())

    def stamps(self) -> dict[Path, tuple[int, int]]:
        """Inode and time of change of every record."""
        records = (self.path / "runs").glob("*/*/*/record.json")
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in records}

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """A command that runs in a process group of its own, as a shell starts it, with its output in `started.log`."""
        with (self.path.parent / "started.log").open("w") as log:
            return subprocess.Popen(
                command,
                cwd=self.path,
                env=self.env,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=heed_interrupts,
            )

    @property
    def started_log(self) -> str:
        """What the last started command has said."""
        return (self.path.parent / "started.log").read_text()

    def wait_for_branches(self, suite: str, count: int, process: "subprocess.Popen[str]") -> None:
        """Until so many branches of the suite are whole while that process runs."""
        deadline = time.monotonic() + 500
        while len(list(self.path.glob(f"runs/{suite}/*/t[0-9]*/record.json"))) < count:
            assert process.poll() is None, self.started_log
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def refused(self, *command: str) -> str:
        """A command that must fail; what it printed."""
        done = self.ended(*command)
        assert done.returncode, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shell(self, script: str) -> str:
        """Lines of a page as one types them, which must all succeed; what they printed."""
        return self.run("bash", "-ec", script)

    def clone(self, path: Path) -> "Checkout":
        """What git gives to another machine."""
        self.git("clone", "-q", str(self.path), str(path))
        made = object.__new__(Checkout)
        made.path, made.env = path, {**self.env, "PYTHONPATH": str(path)}
        return made

    def git(self, *arguments: str) -> str:
        """What git prints."""
        return self.run("git", *arguments)
