"""`scalelab bench check`: whether `scalelab check` notices regressions that are planted in clones, and nothing else."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.bench.planted import PLANTS, WHOLE, Plant, apply
from experiments.check.row import KINDS, Kind
from experiments.measurements import machine
from experiments.project import CODE_ROOT

TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class CheckBench:
    """What is run: a baseline, so many checks of the same revision, and one of every plant; an hour of two cores."""

    reruns: int = 10
    plants: tuple[Plant, ...] = PLANTS


class Clone:
    """A clean clone of this checkout's HEAD, in which `scalelab check` is run as a user runs it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self, *arguments: str) -> tuple[int, dict[str, Any] | None, str]:
        """The exit code, the result where one was written, and what was said on standard error."""
        out = self.root.parent / "result.json"
        out.unlink(missing_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        environment.pop("MLFLOW_TRACKING_URI", None)
        told = () if "--update" in arguments else ("--json", str(out))
        done = subprocess.run(
            [sys.executable, "-m", "experiments", "check", *arguments, *told],
            cwd=self.root, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
        return done.returncode, json.loads(out.read_text()) if out.exists() else None, done.stdout + done.stderr

    def make_baseline(self) -> None:
        """The clone's own, of this machine, committed."""
        code, _, said = self.check("--update")
        assert code == 0, said
        self.git("add", "--all", "experiments/archive/baseline.json")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A baseline of this machine")

    @contextmanager
    def planted(self, plant: Plant) -> Iterator[None]:
        """The clone with the plant in it."""
        apply(plant, self.root)
        try:
            yield
        finally:
            self.git("checkout", "--quiet", "--", ".")

    def git(self, *arguments: str) -> None:
        """git in the clone, by a name of its own."""
        name = ("-c", "user.name=scalelab", "-c", "user.email=scalelab@localhost")
        subprocess.run(["git", *name, *arguments], cwd=self.root, check=True, capture_output=True)


@contextmanager
def clone() -> Iterator[Clone]:
    """A clone of HEAD in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="scalelab-clone-") as name:
        root = Path(name).resolve() / "clone"
        subprocess.run(["git", "clone", "--quiet", str(CODE_ROOT), str(root)], check=True, capture_output=True)
        yield Clone(root)


def asked_of(plant: Plant) -> list[Kind]:
    """The kinds that the plant is held against."""
    return [kind for kind in KINDS if kind != "speed" or plant.name in WHOLE]


def run_plant(place: Clone, plant: Plant) -> dict[str, Any]:
    """A row of the table: which kinds failed, and what the first failing rows are."""
    kinds = asked_of(plant)
    with place.planted(plant):
        code, result, said = place.check(*(word for kind in kinds for word in ("--only", kind)))
    if result is None:
        return {"plant": plant.name, "kinds": kinds, "expected": list(plant.kinds), "exit": code, "failing": None,
                "rows": [], "said": said[-2000:], "status": "missed"}  # fmt: skip
    failing = [row for row in result["rows"] if row["fails"]]
    return {
        "plant": plant.name,
        "kinds": kinds,
        "expected": list(plant.kinds),
        "exit": code,
        "failing": result["failing"],
        "num_failing": len(failing),
        "rows": [{key: row[key] for key in ("kind", "name", "verdict", "reason")} for row in failing[:3]],
        "seconds": result["seconds"],
        "status": "ok" if code == 1 and set(result["failing"]) == set(plant.kinds) else "missed",
    }


def rerun(place: Clone) -> dict[str, Any]:
    """One check of the unchanged clone: its exit code, its seconds and its ratios of speed."""
    code, result, said = place.check()
    assert result is not None, said
    speeds = {row["name"]: row["reason"] for row in result["rows"] if row["kind"] == "speed"}
    return {"exit": code, "failing": result["failing"], "seconds": result["seconds"], "speed": speeds}


def describe(bench: CheckBench) -> str:
    """One paragraph: what would run."""
    return (
        f"a clone of HEAD with a baseline of this machine; {bench.reruns} checks of it unchanged, and one with each of "
        f"{len(bench.plants)} regressions planted, {sum(p.name in WHOLE for p in bench.plants)} of them against every "
        "kind, the others against all but speed; two to four minutes each"
    )


def run(bench: CheckBench, progress: Console) -> dict[str, Any]:
    """The table of `--json`."""
    progress.print(describe(bench))
    reruns, plants = [], []
    with clone() as place:
        place.make_baseline()
        for plant in bench.plants:
            plants.append(run_plant(place, plant))
            progress.print(f"{plant.name}: {plants[-1]['status']}, failing {plants[-1]['failing']}")
        for number in range(bench.reruns):
            reruns.append(rerun(place))
            progress.print(f"rerun {number + 1}: exit {reruns[-1]['exit']}, {reruns[-1]['seconds']:.0f} s")
    alarms = sum(one["exit"] != 0 for one in reruns)
    missed = [one["plant"] for one in plants if one["status"] != "ok"]
    return {
        "schema_version": 1,
        "command": "scalelab bench check --json experiments/archive/bench/check.json",
        "plants": plants,
        "reruns": reruns,
        "false_alarms": alarms,
        "missed": missed,
        "status": "missed" if alarms or missed else "ok",
        "machine": machine(),
    }


def show(result: dict[str, Any], console: Console) -> None:
    """A row a plant, then the reruns in a line."""
    table = Table("plant", "must fail", "failed", "rows", "first", "")
    for row in result["plants"]:
        first = row["rows"][0]["name"] if row["rows"] else "-"
        failing = "no result" if row["failing"] is None else ", ".join(row["failing"]) or "none"
        expected, count = ", ".join(row["expected"]), str(len(row["rows"]) and row["num_failing"])
        table.add_row(row["plant"], expected, failing, count, first, row["status"])
    console.print(table)
    console.print(f"{result['false_alarms']} alarms in {len(result['reruns'])} checks of the same revision")
