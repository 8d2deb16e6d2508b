"""Hosts to attack: as root and as a user without privileges."""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from rlm.sandbox.jail import Jail
from tests.rlm.sandbox.scene import ROOT

SOMEONE = 12345
_CODE = "import sys\nsys.path[0] = sys.argv[1]\nfrom tests.rlm.sandbox.host import main\nmain(int(sys.argv[2]))"


class Host:
    """A process that stages attacks as a user."""

    def __init__(self, user: int) -> None:
        self.user = user
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(ROOT), str(user)],
            cwd=ROOT,
            env={"CANARY_KEY": f"secret-key-{os.urandom(8).hex()}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> dict[str, Any]:
        """A line of it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the host ended"
        return json.loads(line)

    def stage(self, attack: str, outside: bool = False, without: Collection[str] = ()) -> dict[str, Any]:
        """What came of an attack; `outside` of any sandbox, or in one without some layers."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"attack": attack, "outside": outside, "without": list(without)}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """Ends it."""
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module", params=["root", "unprivileged"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("needs root")
    host = Host({"root": 0, "unprivileged": SOMEONE}[request.param] if os.geteuid() == 0 else os.geteuid())
    first = host.answer()
    if "lacking" in first:
        host.close()
        pytest.skip(first["lacking"])
    yield host
    host.close()


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    try:
        jail = Jail()
    except ValueError as error:
        pytest.skip(str(error))
    with jail:
        yield jail
