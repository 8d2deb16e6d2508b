"""Cells by way of a store, here a folder by its URL: what of a cell goes there, what comes back, and what fails."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from experiments.bench.executors import nothing
from experiments.executors import stores
from experiments.executors.local import LocalExecutor
from experiments.executors.params import ExecutorParams
from experiments.executors.stores import SharedStore
from experiments.executors.worker import train_in_worker
from experiments.launch import run_cells
from experiments.sweep import relative_cost, train_suite
from sweeps import store
from sweeps.train import train_cell

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


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_trunk_of_another_recipe_stays_out_of_the_store(trained, workplace, place: Path) -> None:
    workplace.copy_runs(trained)
    shared, job, changed = SharedStore(f"file://{place}"), workplace.job(), workplace.job(learning_rate=0.02)
    longer = replace(job, cell=replace(job.cell, steps=(*job.cell.steps, 640)))
    shared.offer([longer])
    assert states(place) == states(workplace.path / "runs") != []
    assert {path.parent.name for path in place.glob("law/**/record.json")} == {f"t{SHORT}", f"t{LONG}"}
    shared.offer([changed])
    assert states(place) == []
    assert not list(place.glob("law/**/record.json"))


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


def test_a_trunk_that_is_further_here_is_kept(trained, workplace, place: Path) -> None:
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    shared.offer([job])
    with shared.checked_out(job) as here:
        train_cell(replace(here, cell=replace(job.cell, steps=job.cell.steps[:1])))
    workplace.copy_runs(trained)
    shutil.rmtree(workplace.branch(LONG))
    kept = store.trunk_steps(job.runs, job.cell, job.recipe)
    shared.recover([job])
    assert store.trunk_steps(job.runs, job.cell, job.recipe) == kept


def test_an_upload_that_fails_is_tried_again(workplace, place: Path) -> None:
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    shared.offer([job])
    place.joinpath("law").touch()  # a file where a folder should be: nothing can be put there
    with shared.checked_out(job) as here:
        train_cell(here)
        time.sleep(0.1)
        place.joinpath("law").unlink()
        wait_for(lambda: len(list(place.glob("law/**/record.json"))) == 2)


def test_a_store_that_takes_nothing_to_the_end_is_told(workplace, place: Path) -> None:
    shared, job = SharedStore(f"file://{place}"), workplace.job()
    shared.offer([job])
    place.joinpath("law").touch()
    with pytest.raises(OSError, match="law"), shared.checked_out(job) as here:
        train_cell(here)


def test_files_that_do_not_come_back_are_asked_for_again(trained, workplace, place: Path, capsys) -> None:
    shared, job, ended = SharedStore(f"file://{place}"), workplace.job(), []

    def bring_back(job) -> None:
        ended.append(job)
        if len(ended) == 1:
            raise ConnectionError("the bucket is away")
        shared.bring_back(job)

    shared.offer([job])
    work = partial(train_in_worker, store_url=f"file://{place}")
    with LocalExecutor(1, workplace.path / "cache", work) as executor:
        assert run_cells([job], executor, relative_cost, lambda: None, bring_back) == []
    assert ended == [job, job]
    assert "w0016-s0: lost its worker (its files did not come back: the bucket is away)" in capsys.readouterr().err
    for tokens in (SHORT, LONG):
        assert workplace.weights(tokens) == trained.weights(tokens)


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
    place.touch()
    with pytest.raises(ValueError, match=r"executor.store is 'file://.*' and cells do not travel: .*may be written"):
        SharedStore(f"file://{place}").offer([workplace.job()])
    with pytest.raises(ValueError, match=r"executor.store is 'gopher://b': .*: give a URL of file://"):
        SharedStore("gopher://b")
