"""A Ray cluster of two machines on one: cells are those of local processes, bit for bit, whoever dies."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from experiments.executors.params import ExecutorParams
from experiments.launch import run_cells
from experiments.sweep import executor_of, relative_cost, train_suite
from tests.killing import Killer, saving_often, steps_trained, worker_of_a_store

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

SHORT, LONG = 61_440, 163_840


@pytest.fixture(scope="module")
def cluster() -> Iterator["Cluster"]:
    """A head that takes no cells, and two machines of a core each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_all_cells_finish_though_a_worker_dies(trained, workplace, cluster: "Cluster") -> None:
    workplace.set("suites.law.grid", [{"sizes": [8, 16], "tokens": [SHORT, LONG]}])
    running = workplace.start("train", "--executor", "ray", "--address", cluster.address)
    with Killer(workplace.path / "runs/law/w0016-s0") as killer:
        _, err = running.communicate(timeout=250)
    assert running.returncode == 0, err
    assert len(killer.killed) == 1
    assert "w0016-s0: lost its worker (WorkerCrashedError" in err
    for tokens in (SHORT, LONG):
        assert workplace.record(tokens, "w0008-s0")["status"] == "done"
        assert workplace.identity(tokens) == trained.identity(tokens)
        assert workplace.weights(tokens) == trained.weights(tokens)
    before = workplace.stamps()
    assert "2 branches in 1 cells: 2 done" not in err
    workplace.trained("--executor", "ray", "--address", cluster.address)
    assert workplace.stamps() == before


def test_what_a_cell_raised_is_told_and_is_no_lost_worker(workplace, cluster: "Cluster") -> None:
    job = replace(workplace.job(), data=workplace.path / "gone")
    with executor_of(ExecutorParams(kind="ray", address=cluster.address)) as executor:
        (failure,) = run_cells([job], executor, relative_cost, lambda: None)
    assert failure.reason.startswith("ValueError: ")
    assert "holds no manifest.json" in failure.reason
    assert "in train_cell" in failure.log.read_text()


def test_machines_that_share_no_folder_go_by_way_of_a_store(
    trained, workplace, cluster: "Cluster", monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine goes down in the middle of the cell: the other goes on from what the first left in the store."""
    monkeypatch.setattr("experiments.sweep.train_in_worker", saving_often)
    job, store = workplace.job(), workplace.path / "store"
    gone = threading.Event()

    def take_down() -> None:
        """The machine that has the cell, as soon as a state of its trunk is in the store."""
        while not list(store.glob("law/w0016-s0/*/trunk/*.pt")):
            time.sleep(0.02)
        worker = worker_of_a_store()
        worker.suspend()
        raylets = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}
        cluster.remove_node(raylets[worker.ppid()], allow_graceful=False)
        worker.kill()
        gone.set()

    job = replace(job, cell=replace(job.cell, steps=job.cell.steps[1:]))
    asked = ExecutorParams(kind="ray", address=cluster.address, store=f"file://{store}")
    thread = threading.Thread(target=take_down, daemon=True)
    thread.start()
    assert train_suite([job], asked) == []
    assert gone.is_set()
    assert not job.pending_steps()
    assert steps_trained(workplace.record(LONG), 512) < job.cell.steps[0]
    assert workplace.identity(LONG) == trained.identity(LONG)
    assert workplace.weights(LONG) == trained.weights(LONG)


def test_an_address_without_a_cluster_is_refused(workplace) -> None:
    done = workplace.scalelab("train", "--executor", "ray", "--address", "127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr.startswith("scalelab: executor.address is '127.0.0.1:1' and no Ray cluster answers there: ")
    assert done.stderr.endswith("(`ray start --head`), or leave the address out for one on this machine\n")
    assert done.stderr.count("\n") == 1
    assert not (workplace.path / "runs").exists()


def test_an_address_of_the_environment_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    told = r"^RAY_ADDRESS is '127.0.0.1:1' and no Ray cluster answers there: "
    with pytest.raises(ValueError, match=told), executor_of(ExecutorParams(kind="ray")):
        pass
