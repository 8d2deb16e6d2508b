"""The pieces of `bench longcontext --overhead`; what needs the peer skips where it is not installed."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from experiments.bench import cli, overhead
from experiments.bench.overhead import (
    MOST_SECONDS,
    OURS,
    PEER,
    THEIRS,
    Load,
    load_table,
    our_seconds,
    show,
    start_table,
    their_seconds,
)

ONE_BY_ONE = Load("one by one", 100, batched=False, answer_seconds=0.0)
SIDE_BY_SIDE = Load("side by side", 32, batched=True, answer_seconds=0.05)
ANSWERED_IN_TURN = Load("one by one", 8, batched=False, answer_seconds=0.05)


def test_ideal_seconds_are_those_of_the_answers() -> None:
    assert ONE_BY_ONE.ideal_seconds == 0
    assert SIDE_BY_SIDE.ideal_seconds == pytest.approx(0.1)
    assert Load("one by one", 32, batched=False, answer_seconds=0.05).ideal_seconds == pytest.approx(1.6)


def test_our_run_takes_the_answers_time_and_not_more_than_one_after_another() -> None:
    assert SIDE_BY_SIDE.ideal_seconds <= our_seconds(SIDE_BY_SIDE) < 32 * 0.05
    assert ANSWERED_IN_TURN.ideal_seconds <= our_seconds(ANSWERED_IN_TURN)
    assert our_seconds(ONE_BY_ONE) < MOST_SECONDS


@pytest.mark.parametrize(
    ("ours", "theirs", "status"), [(0.1, 0.4, "ok"), (0.1, 0.2, "missed"), (2.5, 9.0, "missed")],
    ids=["faster", "too little faster", "too slow"],
)  # fmt: skip
def test_a_load_is_ok_where_ours_is_quick_and_theirs_three_times_slower(
    ours: float, theirs: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overhead, "our_seconds", lambda load: ours)
    monkeypatch.setattr(overhead, "their_seconds", lambda load: theirs)
    table = load_table(ONE_BY_ONE, 7, Console(file=io.StringIO()))
    assert table["status"] == status
    assert table["ratio"] == pytest.approx(theirs / ours)
    assert table["overhead_a_call"] == pytest.approx({OURS: ours / 100, THEIRS: theirs / 100})


def test_starts_are_measured_of_both_profiles() -> None:
    found = start_table(7)
    told = io.StringIO()
    show({"loads": [], "starts": found}, Console(file=told, width=200))
    for name in ("sealed", "open"):
        assert len(found["profiles"][name]["seconds"]) == len(found["bare"]) == 7
        assert f"a {name} session's first result" in told.getvalue()


def test_the_peer_makes_the_same_calls(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    if not PEER.python.exists():
        pytest.skip(
            f"{PEER} is not installed: `scalelab bench longcontext --overhead` installs it in {PEER.environment}"
        )
    assert their_seconds(ANSWERED_IN_TURN) >= ANSWERED_IN_TURN.ideal_seconds
    assert their_seconds(SIDE_BY_SIDE) >= SIDE_BY_SIDE.ideal_seconds


def test_it_has_loads_of_its_own() -> None:
    told = CliRunner().invoke(cli.app, ["longcontext", "--overhead", "--items", "3"])
    assert str(told.exception) == "--items: --overhead measures loads of its own: leave it out"
    assert CliRunner().invoke(cli.app, ["longcontext", "--overhead", "--dry-run"]).exit_code == 0
