"""Real web servers in processes of their own."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

STARTS_WITHIN_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(
    module: Sequence[str], answers_at: str, folder: Path, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[None]:
    """`python -m` of these words, which runs in the folder while the block does and answers at that URL before."""
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True
        )
        try:
            wait_until_it_answers(server, answers_at, log)
            yield
        finally:
            if server.poll() is None:
                os.killpg(server.pid, 15)
            server.wait(30)


def wait_until_it_answers(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text()}")
