"""A sandbox of full CPython: programs that a model wrote run in processes that the kernel confines.

with Jail() as jail, jail.session({"ask": ask}, Limits()) as session:
    print(session.run("ask('why')").printed)

Not held off: faults of the kernel, what can be told from timing, and the memory of many sessions together, each of
which has its own limit. Sessions of one jail share the layout of their memory and the order of hashes.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path

from rlm.sandbox import layers
from rlm.sandbox.binding import Context
from rlm.sandbox.child import Child
from rlm.sandbox.confined import Confined
from rlm.sandbox.layers import LAYERS, Layer
from rlm.sandbox.session import Functions, Limits

_BOOT = """
import json, sys
sys.path.append(sys.argv[1])
from rlm.sandbox.zygote import main
main(int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
"""
_SECONDS_TO_START, _SECONDS_TO_END = 60.0, 5.0
_MESSAGE_BYTES = 1 << 16
_ENDED = "the sandbox's own process has ended: open a new jail"


def _exec_zygote(control: int, without: Collection[Layer]) -> subprocess.Popen[bytes]:
    arguments = [str(Path(__file__).parents[2]), str(control), str(os.getpid()), json.dumps(list(without))]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _BOOT, *arguments],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[control],
        start_new_session=True,  # an interrupt from the terminal is the host's
    )


class Jail:
    """Holds a zygote, from which each session's process is forked.

    layers: for each layer True, or why it does not hold, False where it is left out. unsafe: run with those there are.
    without: layers to leave out, to see what each is worth. Safe to use from several threads.

    Raises ValueError, in one line, where Landlock or seccomp is missing and `unsafe` is not set, and off Linux.
    """

    def __init__(self, unsafe: bool = False, without: Collection[Layer] = ()) -> None:
        unknown = sorted(set(without) - set(LAYERS))
        if unknown:
            raise ValueError(f"without {', '.join(unknown)}: the layers are {', '.join(LAYERS)}")
        if sys.platform != "linux":
            raise ValueError(f"this sandbox is made of what Linux offers, and this is {sys.platform}: choose another")
        self._lock, self._num_asked = threading.Lock(), 0
        self._sessions: set[Confined] = set()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = _exec_zygote(theirs.fileno(), without)
        started = False
        try:
            self.layers: layers.Report = {"environment": True, **self._report()}
            lacking = None if unsafe else layers.missing(self.layers)
            if lacking:
                raise ValueError(lacking)
            started = True
        finally:
            if not started:
                self.close()

    def _report(self) -> layers.Report:
        self._control.settimeout(_SECONDS_TO_START)
        report = self._control.recv(_MESSAGE_BYTES)
        assert self._process.stderr is not None
        if not report:
            raise RuntimeError(f"the sandbox did not start: {self._process.stderr.read().decode().strip()[-2000:]}")
        self._process.stderr.close()
        return json.loads(report)

    def session(self, functions: Functions, limits: Limits, context: Context | None = None) -> Confined:
        """A session whose programs may call `functions`, and have `context` and its question where they are given."""
        session = Confined(self._fork, functions, limits, context, self._sessions.discard)
        self._sessions.add(session)
        return session

    def _fork(self, memory_bytes: int, context_fd: int | None) -> Child:
        """A child that awaits its first frame."""
        with self._lock:
            if self._control.fileno() < 0:
                raise ValueError("the jail is closed")
            self._num_asked += 1
            request = json.dumps({"memory": memory_bytes, "number": self._num_asked}).encode()
            try:
                socket.send_fds(self._control, [request], [] if context_fd is None else [context_fd])
                line, process = self._answer()
            except (BrokenPipeError, ConnectionResetError):
                raise RuntimeError(_ENDED) from None
        return Child(socket.socket(fileno=line), process, {name for name in LAYERS if self.layers[name] is True})

    def _answer(self) -> list[int]:
        """Descriptors of the session asked for last; those of one whose wait was interrupted are closed."""
        while True:
            number, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, 2, socket.MSG_CMSG_CLOEXEC)
            if not number:
                raise RuntimeError(_ENDED)
            if int(number) == self._num_asked:
                return descriptors
            for descriptor in descriptors:
                os.close(descriptor)

    def close(self) -> None:
        """Kills all sessions and the zygote."""
        for session in tuple(self._sessions):
            session.close()
        self._control.close()  # on which the zygote ends
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def __enter__(self) -> "Jail":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
