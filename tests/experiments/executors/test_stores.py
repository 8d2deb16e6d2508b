"""Cells by way of a store, here a folder by its URL: what of a cell goes there, what comes back, and what fails."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from experiments.bench.executors import nothing
from experiments.executors import WorkerLost, stores
from experiments.executors.local import LocalExecutor
from experiments.executors.params import ExecutorParams
from experiments.executors.stores import SharedStore
from experiments.executors.worker import train_in_worker
from experiments.launch import run_cells
from experiments.sweep import relative_cost, train_suite
from sweeps import store
from sweeps.train import train_cell
from sweeps.train_job import CellJob
from tests.away import train_impatiently

SHORT, LONG = 61_440, 163_840

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store's folder; workers push fast, and keep the data in a folder of the test's."""
    monkeypatch.setattr(stores, "PUSH_EVERY_SECONDS", 0.02)
    (tmp_path / "worker").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "worker"))
    return tmp_path / "store"


def states(place: Path) -> list[str]:
    return sorted(path.name for path in place.rglob("*.pt"))


def stamps(place: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_recipe_left_in_the_store_is_no_others_and_stays(trained, workplace, place: Path) -> None:
    workplace.copy_runs(trained)
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    longer = replace(job, cell=replace(job.cell, steps=(*job.cell.steps, 640)))
    shared.offer([longer])
    assert states(place) == states(workplace.path / "runs") != []
    assert {path.parent.name for path in place.glob("law/**/record.json")} == {f"t{SHORT}", f"t{LONG}"}
    before = stamps(place)
    # Another cooldown leaves the trunk what it is.
    for change, num_states in (({"learning_rate": 0.02}, 0), ({"cooldown_share": 0.5}, len(states(place)))):
        changed = workplace.job(**change)
        shared.offer([changed, longer])
        with shared.checked_out(changed) as here:
            assert not list(here.directory.glob("t*/record.json"))
            assert len(store.trunk_steps(here.runs, here.cell, here.recipe)) == num_states
    assert before.items() <= stamps(place).items()


def test_a_done_branch_whose_weights_are_not_all_in_the_store_is_left_there(trained, workplace, place: Path) -> None:
    workplace.copy_runs(trained)
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    shared.offer([job])
    (short,) = place.glob(f"law/**/t{SHORT}/checkpoint")
    shutil.rmtree(short)
    (long,) = place.glob(f"law/**/t{LONG}/checkpoint/model.safetensors")
    long.write_bytes(long.read_bytes()[:-1])
    elsewhere = replace(job, runs=workplace.path / "elsewhere")
    shared.recover([elsewhere])
    assert elsewhere.pending_steps() == list(job.cell.steps)
    shared.offer([job])
    shared.recover([elsewhere])
    assert not elsewhere.pending_steps()


def test_a_state_that_the_worker_drops_is_dropped_in_the_store(workplace, place: Path) -> None:
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    shared.offer([job])
    with shared.checked_out(job) as here:
        trunk = here.directory / store.TRUNK
        trunk.mkdir(parents=True)
        (trunk / "20.pt").touch()
        wait_for(lambda: states(place) == ["20.pt"])
        (trunk / "40.pt").touch()
        (trunk / "20.pt").unlink()
        wait_for(lambda: states(place) == ["40.pt"])
    assert states(place) == ["40.pt"]


def test_what_a_run_that_died_left_in_the_store_is_taken_up_by_the_next(trained, workplace, place: Path) -> None:
    url, job = f"file://{place}", workplace.job()
    shared = SharedStore(url)
    short = replace(job.cell, steps=job.cell.steps[:1])
    shared.offer([job])
    with shared.checked_out(job) as here:
        train_cell(replace(here, cell=short))
    assert not job.directory.exists()  # the run that offered it did not live to take it back
    shared.recover([job])
    assert [job.state(steps) for steps in job.cell.steps] == ["done", "pending"]
    (reached,) = store.trunk_steps(job.runs, job.cell, job.recipe)
    before = workplace.stamps()
    shared.offer([job])
    with shared.checked_out(job) as here:
        assert store.trunk_steps(here.runs, here.cell, here.recipe) == [reached]
        train_cell(here)
    # Nothing is left to train: no cluster is asked for.
    asked = ExecutorParams(kind="ray", address="127.0.0.1:1", store=url)
    assert train_suite([job], asked) == []
    assert before.items() <= workplace.stamps().items()
    for tokens in (SHORT, LONG):
        assert workplace.identity(tokens) == trained.identity(tokens)
        assert workplace.weights(tokens) == trained.weights(tokens)


def test_a_trunk_that_is_no_longer_there_than_here_is_kept(trained, workplace, place: Path) -> None:
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    shared.offer([job])
    with shared.checked_out(job) as here:
        train_cell(replace(here, cell=replace(job.cell, steps=job.cell.steps[:1])))
    shared.recover([job])
    trunk = job.directory / store.TRUNK
    stamp = trunk.stat().st_ino
    shared.recover([job])
    assert trunk.stat().st_ino == stamp
    shutil.rmtree(workplace.path / "runs")
    workplace.copy_runs(trained)
    shutil.rmtree(workplace.branch(LONG))
    kept = store.trunk_steps(job.runs, job.cell, job.recipe)
    shared.recover([job])
    assert store.trunk_steps(job.runs, job.cell, job.recipe) == kept


def test_a_worker_waits_for_a_store_that_is_away_for_a_while(workplace, place: Path) -> None:
    shared, job, away = SharedStore(f"away://{place}"), workplace.job(), place.with_name("store.away")
    shared.offer([job])
    away.touch()
    threading.Timer(0.2, away.unlink).start()
    with shared.checked_out(job) as here:
        assert not away.exists()
        away.touch()
        train_cell(here)
        threading.Timer(0.2, away.unlink).start()
    assert len(list(place.glob("law/**/record.json"))) == 2


def test_an_away_store_takes_a_worker_along_and_keeps_what_the_cell_raised(
    workplace, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PATIENCE_SECONDS", 0.1)
    job, away = workplace.job(), place.with_name("store.away")
    SharedStore(f"away://{place}").offer([job])

    def fail(here: CellJob) -> None:
        (here.directory / store.TRUNK).mkdir(parents=True)
        (here.directory / store.TRUNK / "20.pt").touch()
        away.touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised, SharedStore(f"away://{place}").checked_out(job) as here:
        fail(here)
    (note,) = raised.value.__notes__
    assert note.startswith("what it had trained did not reach the store: ")
    assert note.endswith("ServiceError: 503 slow down")
    with pytest.raises(WorkerLost, match=r"^the store was away: .*ServiceError: 503 slow down"):
        train_in_worker(job, store_url=f"away://{place}")


def test_a_cell_gets_through_a_store_that_comes_and_goes(trained, workplace, place: Path, capsys) -> None:
    """Away when the first worker begins, and when the driver fetches what the second has put there."""
    shared, job, away = SharedStore(f"away://{place}"), workplace.job(), place.with_name("store.away")
    ended = []

    def bring_back(job: CellJob) -> None:
        ended.append(job)
        if len(ended) == 1:
            away.unlink()
        else:
            away.touch()
            threading.Timer(0.1, away.unlink).start()
        shared.bring_back(job)

    shared.offer([job])
    away.touch()
    with LocalExecutor(1, workplace.path / "cache", partial(train_impatiently, store_url=shared.url)) as executor:
        assert run_cells([job], executor, relative_cost, lambda: None, bring_back) == []
    assert ended == [job, job]
    err = capsys.readouterr().err
    assert "w0016-s0: lost its worker (the store was away: " in err
    assert err.count("\n") == 1
    for tokens in (SHORT, LONG):
        assert workplace.weights(tokens) == trained.weights(tokens)


def test_a_full_disk_here_is_not_the_stores_fault(trained, workplace, place: Path, monkeypatch) -> None:
    workplace.copy_runs(trained)
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    shared.offer([job])
    shutil.rmtree(workplace.path / "runs")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfile", full)
    for fetch in (lambda: shared.recover([job]), lambda: shared.bring_back(job)):
        with pytest.raises(OSError, match="No space left") as raised:
            fetch()
        assert raised.value.errno == errno.ENOSPC


def test_data_of_which_this_machine_lost_a_file_are_taken_anew(workplace, place: Path) -> None:
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    shared.offer([job])
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"")):
        with shared.checked_out(job) as here:
            assert (here.data / "train.bin").read_bytes() == (job.data / "train.bin").read_bytes()
        damage(here.data / "train.bin")
    with shared.checked_out(job) as here:
        assert (here.data / "train.bin").read_bytes() == (job.data / "train.bin").read_bytes()


def test_a_cell_whose_branches_are_not_in_the_store_failed_and_no_other(trained, workplace, place: Path) -> None:
    workplace.copy_runs(trained)
    shared, whole = SharedStore(f"file://{place}"), workplace.job()
    job = replace(whole, runs=workplace.path / "empty")
    with LocalExecutor(1, workplace.path / "cache", nothing) as executor:
        (failure,) = run_cells([job, whole], executor, lambda job: 0, lambda: None, shared.bring_back)
    assert failure.reason == (
        f"WorkerLost: its files did not come back: file://{place} has no whole t{SHORT}, t{LONG} of w0016-s0"
    )
    assert [job.state(steps) for steps in job.cell.steps] == ["failed", "failed"]
    assert not whole.pending_steps()


def test_a_store_that_does_not_answer_is_told_before_anything_runs(workplace, place: Path) -> None:
    shared, told = SharedStore(f"away://{place}"), r"executor.store is 'away://.*' and cells do not travel: .*written"
    place.with_name("store.away").touch()
    for ask in (shared.recover, shared.offer):
        with pytest.raises(ValueError, match=told):
            ask([workplace.job()])
    with pytest.raises(ValueError, match=r"executor.store is 'gopher://b': .*: give a URL of file://"):
        SharedStore("gopher://b")
