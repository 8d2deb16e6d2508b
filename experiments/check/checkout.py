"""This checkout and another revision of it, in git's own words."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments.project import CODE_ROOT

BASELINE = Path("experiments") / "archive" / "baseline.json"
# What a run of the pipeline or a new baseline writes is no change of the code.
WRITTEN = ("results", "dvc.lock", BASELINE.as_posix())


def git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """git in this checkout; raises ValueError where there is no git."""
    try:
        return subprocess.run(["git", "-C", str(CODE_ROOT), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise ValueError("check: there is no git on this machine: install it") from None


def head() -> str:
    """HEAD's hash; raises ValueError where this is no git checkout."""
    found = git("rev-parse", "HEAD")
    if found.returncode:
        raise ValueError(f"check: {CODE_ROOT} is no git checkout: clone it with git")
    return found.stdout.strip()


def is_dirty() -> bool:
    """Whether tracked files, but for what is written, differ from HEAD."""
    excluded = [f":(exclude){name}" for name in WRITTEN]
    return bool(git("diff", "--quiet", "HEAD", "--", ".", *excluded).returncode)


def resolve(revision: str) -> str:
    """The hash of a revision; raises ValueError where this clone does not have it."""
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        is_shallow = git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        remedy = "git fetch --unshallow" if is_shallow else "fetch it, or name another by --against"
        raise ValueError(f"check: revision {revision} is not in this clone: {remedy}")
    return found.stdout.strip()


def file_at(revision: str, path: Path) -> str | None:
    """A file's text at a revision; None where it did not have it."""
    found = git("show", f"{revision}:{path.as_posix()}")
    return None if found.returncode else found.stdout


@contextlib.contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """A checkout of the revision in a temporary directory; raises ValueError where git cannot make one."""
    with tempfile.TemporaryDirectory(prefix="scalelab-check-") as name:
        place = Path(name).resolve() / "baseline"
        made = git("worktree", "add", "--detach", "--force", str(place), resolve(revision))
        if made.returncode:
            said = made.stderr.strip().splitlines() or ["git worktree add failed"]
            raise ValueError(f"check: no worktree of {revision} can be made ({said[-1]}): leave speed out by --only")
        try:
            yield place
        finally:
            git("worktree", "remove", "--force", str(place))
