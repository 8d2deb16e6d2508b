"""What is not whole is seen, said before training, and mended by it."""

import json
import shutil
from pathlib import Path

import pytest

from sweeps.repair import repairs
from sweeps.train import train_cell
from sweeps.whole import checkpoint_is_whole, state_is_whole, weights_are_whole

SHORT, LONG = 61_440, 163_840  # 120 and 320 steps of 512; forks at 96 and 256


@pytest.fixture
def copied(trained, workplace):
    workplace.copy_runs(trained)
    return workplace


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def test_whole_files_are_whole_and_every_shorter_one_is_not(copied, tmp_path: Path) -> None:
    weights = (copied.branch(SHORT) / "checkpoint" / "model.safetensors").read_bytes()
    state = (copied.branch(SHORT).with_name("trunk") / "96.pt").read_bytes()
    assert checkpoint_is_whole(copied.branch(SHORT) / "checkpoint")
    for content, is_whole in ((weights, weights_are_whole), (state, state_is_whole)):
        path = tmp_path / "file"
        path.write_bytes(content)
        assert is_whole(path)
        for length in (0, 4, 20, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            assert not is_whole(path), length
    assert repairs([copied.job()]) == []


def test_a_damaged_checkpoint_is_trained_again_to_the_same_weights(trained, copied) -> None:
    cut(copied.branch(LONG) / "checkpoint" / "model.safetensors")
    (job, before) = copied.job(), copied.stamps()
    assert [job.state(steps) for steps in job.cell.steps] == ["done", "pending"]
    assert repairs([job]) == [f"law/w0016-s0/t{LONG}: its checkpoint is damaged: the branch is trained again"]
    done = copied.trained()
    assert f"t{LONG}: its checkpoint is damaged" in done.stdout
    assert copied.weights(LONG) == trained.weights(LONG)
    untouched = {name for name in before if f"t{SHORT}" in name}
    assert {name: copied.stamps()[name] for name in untouched} == {name: before[name] for name in untouched}
    assert repairs([copied.job()]) == []


def test_a_record_without_its_checkpoint_stays_a_data_point(copied) -> None:
    shutil.rmtree(copied.branch(LONG) / "checkpoint")
    assert copied.job().pending_steps() == []
    assert repairs([copied.job()]) == []


def test_everything_broken_is_named_and_mended(trained, copied, one_thread) -> None:
    trunk = copied.branch(SHORT).with_name("trunk")
    (copied.branch(SHORT) / "record.json").write_text("{")
    (copied.branch(LONG) / "record.json").unlink()
    copied.branch(LONG).with_name(f".t{LONG}.part").mkdir()
    cut(trunk / "96.pt")
    (trunk / "64.tmp").write_bytes(b"PK")
    with (trunk / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 2')
    job = copied.job()
    assert repairs([job]) == [
        "law/w0016-s0/trunk/64.tmp is half written: it is removed",
        "law/w0016-s0/trunk/96.pt is damaged: it is removed and the trunk trained again from the start",
        "law/w0016-s0/trunk/metrics.jsonl ends in the middle of a line: the line is dropped",
        f"law/w0016-s0/t{SHORT}: record.json cannot be read: the branch is trained again",
        f"law/w0016-s0/t{LONG}: it has no record: the branch is trained again",
        f"law/w0016-s0/t{LONG}: a run left half of it: that is removed and the branch trained from the trunk",
    ]
    train_cell(job)
    assert repairs([job]) == []
    for tokens in (SHORT, LONG):
        assert copied.weights(tokens) == trained.weights(tokens)
        assert copied.identity(tokens)["loss"] == trained.identity(tokens)["loss"]


def test_metrics_end_before_the_first_line_that_is_not_whole(copied) -> None:
    from sweeps import store

    log = copied.branch(LONG) / "metrics.jsonl"
    lines = store.read_metrics(copied.branch(LONG))
    text = log.read_text()
    log.write_text(text[:-5])
    assert store.read_metrics(copied.branch(LONG)) == lines[:-1]
    # What a machine that lost its power leaves: bytes that were never written, and more after them.
    log.write_bytes(text.encode()[:-5] + b"\0\0\0\0\xff" + json.dumps(lines[-1]).encode() + b"\n")
    assert store.read_metrics(copied.branch(LONG)) == lines[:-1]
