"""The commands of docs/cluster.md, and the smoke preset's sweeps on two machines, one worker killed: proofs of Ray."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.checkout import Checkout
from tests.killing import Killer
from tests.pages import commands

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]
SUITES = ("law", "saturation")
MEASURED = ("seconds", "tokens_per_second", "host", "num_devices")


def records(place: Path) -> dict[str, dict]:
    """What every branch's record says, without what time and place decide."""
    found = {}
    for path in sorted(place.glob("runs/*/*/t[0-9]*/record.json")):
        record = json.loads(path.read_text())
        found[str(path.relative_to(place))] = {key: record[key] for key in record if key not in MEASURED}
    return found


def weights(place: Path) -> dict[str, bytes]:
    files = place.glob("runs/*/*/t[0-9]*/checkpoint/model.safetensors")
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def runs_ray() -> bool:
    """Whether a cluster runs on this machine, a developer's own for one."""
    return any(process.name() in ("gcs_server", "raylet") for process in psutil.process_iter())


# First: `ray stop` ends every cluster of the machine.
def test_the_commands_of_the_page_train(root: Path, trained, workplace) -> None:
    if runs_ray():
        pytest.skip("a Ray cluster runs on this machine, and the page's `ray stop` would end it")
    bin_directory = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(root), "PATH": f"{bin_directory}:{os.environ['PATH']}"}
    for command in commands(root / "docs/cluster.md"):
        done = subprocess.run(
            command.split(), cwd=workplace.path, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for tokens in (61_440, 163_840):
        assert workplace.identity(tokens) == trained.identity(tokens)
        assert workplace.weights(tokens) == trained.weights(tokens)


def test_the_smoke_sweeps_are_those_of_local_processes(root: Path, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    checkout = Checkout(tmp_path / "scalelab", root)
    checkout.run("scalelab", "corpus")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    train = ("scalelab", "train", *SUITES, "--executor")
    running = checkout.start(*train, "ray", "--address", cluster.address)
    with Killer(checkout.path / "runs/law/w0064-s0") as killer:
        assert running.wait(timeout=800) == 0, checkout.started_log
    cluster.shutdown()
    assert len(killer.killed) == 1
    assert "w0064-s0: lost its worker (WorkerCrashedError" in checkout.started_log
    on_ray, weights_on_ray, stamps = records(checkout.path), weights(checkout.path), checkout.stamps()
    assert len(on_ray) == len(weights_on_ray) == 66
    assert {record["status"] for record in on_ray.values()} == {"done"}
    # What is finished runs nowhere again.
    checkout.run(*train, "local")
    assert checkout.stamps() == stamps
    shutil.rmtree(checkout.path / "runs")
    checkout.run(*train, "local")
    assert records(checkout.path) == on_ray
    assert weights(checkout.path) == weights_on_ray
