"""The smoke preset's sweeps on a Ray cluster of two machines, one worker killed in the middle of a cell: a proof."""

import json
import shutil
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.killing import Killer

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
