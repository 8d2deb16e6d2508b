"""The host's end of a session's socket, and the session's process. Nothing that comes from there is believed."""

import contextlib
import os
import select
import signal
import socket
import time
from typing import Any

from rlm.sandbox import values

_SECONDS_TO_DIE = 5.0
_CHUNK = 1 << 16


class Lost(Exception):
    """The session can't go on: it ended, or said what it may not say. The text is the reason."""


class Child:
    """A session's process. Deadlines are of `time.monotonic`.

    must_hold: the layers that hold in this jail.
    """

    def __init__(self, line: socket.socket, process: int, must_hold: set[str]) -> None:
        self.must_hold = must_hold
        self._line, self._process = line, process
        self._line.setblocking(False)
        self._received = bytearray()

    def signal(self, number: signal.Signals) -> None:
        """Nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)

    def kill(self) -> None:
        """Ends it, and what the host holds of it."""
        self.signal(signal.SIGKILL)
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        poll.poll(_SECONDS_TO_DIE * 1000)
        self._line.close()
        os.close(self._process)

    def silent(self) -> bool:
        """Whether it said nothing that was not asked for."""
        if self._received:
            return False
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        return not poll.poll(0)

    def send(self, frame: bytes, deadline: float) -> None:
        """Raises TimeoutError, after which the line is of no use, and Lost."""
        rest = memoryview(frame)
        while rest:
            self._await(select.POLLOUT, deadline)
            try:
                rest = rest[self._line.send(rest) :]
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                raise Lost("it ended its process") from None

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next frame. Raises TimeoutError, after which another try may be made, and Lost."""
        header = values.HEADER_BYTES
        self._fill(header, deadline)
        length = int.from_bytes(self._received[:header], "big")
        if length > values.MAX_CALL_BYTES:
            raise Lost(f"it sent a frame of {length} bytes, at most {values.MAX_CALL_BYTES} may be")
        self._fill(header + length, deadline)
        body = self._received[header : header + length]
        del self._received[: header + length]
        try:
            return values.unpack(body)
        except ValueError as error:
            raise Lost(f"it sent what is no frame: {error}") from error

    def _fill(self, num_bytes: int, deadline: float) -> None:
        while len(self._received) < num_bytes:
            self._await(select.POLLIN, deadline)
            try:
                chunk = self._line.recv(_CHUNK)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise Lost("it ended its process")
            self._received += chunk

    def _await(self, event: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        poll = select.poll()
        poll.register(self._line, event)
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError
