"""One cell over two processes: the losses of one process, the same records, and states that either goes on from."""

import contextlib
import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from experiments.executors import WorkerLost
from experiments.executors.worker import train
from experiments.launch import ATTEMPTS
from sweeps import store
from sweeps.grid import Cell, Training
from sweeps.sharded import train_cell_sharded
from sweeps.train import train_cell
from sweeps.train_job import CellJob
from tests.sweeps.distil_runs import SAME, B, T, build

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT, LONG = 61_440, 163_840
STREAMS = ("trunk", f"t{SHORT}", f"t{LONG}")
# At these rates training does not amplify rounding; at three times as much another order of a batch's rows shows alike.
RATE, RATE_OF_DOCUMENTS = 0.003, 0.001


def curve(job: CellJob, stream: str, name: str = "loss") -> list[float]:
    return [line[name] for line in store.read_metrics(job.directory / stream)]


def records(job: CellJob) -> list[dict]:
    return [json.loads((job.directory / stream / "record.json").read_text()) for stream in STREAMS[1:]]


def train_on_two(job: CellJob) -> None:
    """As a worker does, whose cell is begun again where a signal ended a rank: gloo sometimes dies of one."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(WorkerLost):
            return train(job, 2)
    raise AssertionError(f"ranks of {job.cell.name} were lost {ATTEMPTS} times")


@pytest.fixture(scope="module")
def alone(make_workplace) -> CellJob:
    job = make_workplace().job(learning_rate=RATE)
    train_cell(job)
    return job


@pytest.fixture(scope="module")
def shared(alone: CellJob, tmp_path_factory: pytest.TempPathFactory) -> CellJob:
    job = replace(alone, runs=tmp_path_factory.mktemp("sharded"))
    train_on_two(job)
    return job


def test_two_processes_have_the_losses_of_one(alone: CellJob, shared: CellJob) -> None:
    for stream in STREAMS:
        assert curve(shared, stream) == pytest.approx(curve(alone, stream), abs=1e-4)
        assert curve(shared, stream, "learning_rate") == curve(alone, stream, "learning_rate")
        assert curve(shared, stream, "gradient_norm") == pytest.approx(curve(alone, stream, "gradient_norm"), abs=1e-3)


def test_the_record_is_that_of_one_process(alone: CellJob, shared: CellJob) -> None:
    measured = {"seconds", "tokens_per_second", "loss", "loss_se", "bits_per_byte", "num_devices"}
    for one, two in zip(records(alone), records(shared), strict=True):
        assert {name: two[name] for name in set(two) - measured} == {name: one[name] for name in set(one) - measured}
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-4)
        assert (one["num_devices"], two["num_devices"]) == (1, 2)
    assert not shared.pending_steps()


def test_one_process_goes_on_where_two_were_and_two_where_one_was(
    alone: CellJob, shared: CellJob, tmp_path: Path
) -> None:
    for number, (before, go_on) in enumerate(((shared, train_cell), (alone, train_on_two))):
        job = replace(alone, runs=tmp_path / str(number))
        shutil.copytree(before.runs, job.runs)
        shutil.rmtree(job.directory / STREAMS[2])
        last = max((job.directory / "trunk").glob("*.pt"), key=lambda path: int(path.stem))
        last.unlink()
        go_on(job)
        assert curve(job, STREAMS[2]) == pytest.approx(curve(alone, STREAMS[2]), abs=1e-4)
        assert records(job)[0] == records(before)[0]


def test_documents_that_score_unlike_numbers_of_tokens_weigh_as_on_one_process(tmp_path: Path) -> None:
    """Rows differ in how much of them counts: a mean of the ranks' means would be another loss."""
    data = build(tmp_path / "documents", SAME)
    manifest = json.loads((data / "manifest.json").read_text())
    training = Training(T, T * B, learning_rate=RATE_OF_DOCUMENTS, warmup_steps=10, compile=False)
    recipe = store.Recipe(training, 260, manifest["digest"], manifest["validation_digest"], "cpu", "code")
    cell = Cell("emergence", "decoder", 8, 0, steps=(80,))
    alone = CellJob(cell, recipe, data, tmp_path / "alone", "")
    shared = replace(alone, runs=tmp_path / "shared")
    train_cell(alone)
    train_on_two(shared)
    for stream in ("trunk", f"t{80 * T * B}"):
        assert curve(shared, stream) == pytest.approx(curve(alone, stream), abs=1e-4)


@pytest.mark.proof
def test_compiled_layers_over_two_processes_have_the_losses_of_one_compiled_model(
    alone: CellJob, tmp_path: Path
) -> None:
    training = replace(alone.recipe.training, compile=True, learning_rate=RATE_OF_DOCUMENTS)
    one, two = (replace(alone, recipe=replace(alone.recipe, training=training), runs=tmp_path / n) for n in "12")
    train_cell(one)
    train_on_two(two)
    for stream in STREAMS:
        assert curve(two, stream) == pytest.approx(curve(one, stream), abs=1e-4)


def test_a_batch_that_does_not_divide_is_refused(alone: CellJob) -> None:
    with pytest.raises(ValueError, match="devices_per_cell is 3: 8 rows a batch do not divide by it"):
        train_cell_sharded(alone, 3)


def test_what_ends_a_rank_is_told(alone: CellJob, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"rank . of 2: .*holds no manifest"):
        train_cell_sharded(replace(alone, runs=tmp_path, data=tmp_path), 2)


def test_a_rank_that_a_signal_ends_is_a_lost_worker_and_the_cell_goes_on(alone: CellJob, tmp_path: Path) -> None:
    job = replace(alone, runs=tmp_path)

    def kill() -> None:
        while not list((job.directory / "trunk").glob("*.pt")):
            time.sleep(0.02)
        ranks = [one for one in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(one.cmdline())]
        ranks[0].kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(WorkerLost, match=r"rank . of 2: Signal 9"):
        train(job, 2)
    train_on_two(job)
    assert curve(job, STREAMS[2]) == pytest.approx(curve(alone, STREAMS[2]), abs=1e-4)
