"""Peers of benchmarks: installed apart, and what fails is said in one line."""

import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from experiments.bench import peers
from experiments.bench.peers import Peer


def test_a_peer_that_cannot_be_had_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "CACHE", tmp_path)
    failed = subprocess.CompletedProcess([], 1, "", "a traceback\nERROR: No matching distribution\n\n")
    monkeypatch.setattr(peers.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ValueError, match=r"it 1.0 cannot be installed .*\(ERROR: No matching distribution\)") as told:
        Peer("it", "1.0", Path("it.py")).install(Console(file=io.StringIO()))
    assert "\n" not in str(told.value)


def test_a_peer_that_fails_says_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "it.py"
    peer = Peer("it", "1.0", script)
    monkeypatch.setattr(peers.Peer, "python", Path(peers.sys.executable))
    script.write_text("import json, sys\nprint('said before')\nprint(json.dumps({'heard': json.load(sys.stdin)}))")
    assert peer.run({"a": 1}) == {"heard": {"a": 1}}
    script.write_text("raise KeyError('gone')")
    with pytest.raises(RuntimeError, match="it failed: KeyError: 'gone'"):
        peer.run({})
