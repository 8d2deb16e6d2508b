"""The verb: bad input in a line, dry runs, revisions that are not there, and the commands of its page."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.bench.check import Clone


@pytest.fixture
def run(cloned: Clone, tmp_path: Path):
    """`scalelab` of a checkout, the clone where none is named, in an empty folder."""

    def command(*arguments: str, checkout: Path = cloned.root) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-m", "experiments", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)

    return command


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("scalelab: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_bad_input_ends_in_a_line(run, tmp_path: Path) -> None:
    assert "--only losses is no kind of check: give one of golden, law" in refused(run("check", "--only", "losses"))
    assert "leave out --only" in refused(run("check", "--update", "--only", "law"))
    said = refused(run("check", "--against", "no-such-branch"))
    assert "revision no-such-branch is not in this clone: fetch it" in said
    assert list(tmp_path.iterdir()) == []


def test_a_shallow_clone_says_how_to_get_the_revision(cloned: Clone, run, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{cloned.root}", shallow], check=True)
    baseline = json.loads((shallow / "experiments/archive/baseline.json").read_text())
    (shallow / "experiments/archive/baseline.json").write_text(json.dumps(baseline | {"revision": "0" * 40}))
    said = refused(run("check", "--only", "speed", checkout=shallow))
    assert said == f"scalelab: check: revision {'0' * 40} is not in this clone: git fetch --unshallow\n"


def test_a_revision_without_a_baseline_is_refused(cloned: Clone, run) -> None:
    first = subprocess.run(
        ["git", "rev-list", "--max-parents=0", "HEAD"], cwd=cloned.root, capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert "that revision has no experiments/archive/baseline.json" in refused(run("check", "--against", first))


def test_a_new_baseline_is_of_a_commit(cloned: Clone, run) -> None:
    source = cloned.root / "sweeps/train.py"
    before = source.read_text()
    source.write_text(before + "\n")
    try:
        assert "commit them first" in refused(run("check", "--update", "--dry-run"))
    finally:
        source.write_text(before)
    done = run("check", "--update", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would measure" in done.stdout


def test_dry_run_says_what_would_run_and_leaves_nothing(run, tmp_path: Path) -> None:
    done = run("check", "--dry-run", "--only", "speed", "--only", "golden", "--against", "HEAD")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["baseline", "speed", "golden:", "speed:"]
    assert list(tmp_path.iterdir()) == []


def test_the_commands_of_the_page_run(root: Path, run) -> None:
    """Dry where they would measure: what they print then is read from the same baseline and revision."""
    page = (root / "docs/regression.md").read_text()
    commands = [line for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(commands) >= 5
    for command in commands:
        words = command.split()[1:]
        done = run(*words, *(() if "--dry-run" in words else ("--dry-run",)))
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_weekly_workflow_checks_and_keeps_the_result(root: Path) -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((root / ".github/workflows/regression.yml").read_text())
    assert set(workflow[True]) == {"schedule", "workflow_dispatch"}  # YAML 1.1 reads `on` as true
    steps = workflow["jobs"]["check"]["steps"]
    assert steps[0]["with"]["fetch-depth"] == 0
    ran = " ".join(step.get("run", "") for step in steps)
    assert "scalelab check --json results/check.json" in ran
    # The server's address is there for every later step: the report draws its history too.
    assert 0 < ran.find('MLFLOW_TRACKING_URI=$TRACKING_URI" >> "$GITHUB_ENV"') < ran.find("scalelab check")
    (upload,) = (step for step in steps if "upload-artifact" in step.get("uses", ""))
    assert upload["if"] == "always()"
    assert "runs/checks/" in upload["with"]["path"]
