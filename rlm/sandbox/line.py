"""A session's end of its socket, and what a program's output goes through. The host's end is in child.py."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rlm.sandbox import values

_FRAME_CHARACTERS, _LINE_FRAMES = 4096, 1000


class Line:
    """Frames to and from the host. An interrupt that comes within one is kept until it is over."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.shielded = 1
        self.interrupted = False

    def interrupt(self, *_: Any) -> None:
        """The handler of SIGINT, by which the host ends a program."""
        self.interrupted = True
        self._raise_if_interrupted()

    def _raise_if_interrupted(self) -> None:
        if self.interrupted and not self.shielded:
            self.interrupted = False
            raise KeyboardInterrupt("out of time")

    @contextmanager
    def shield(self) -> Iterator[None]:
        """No interrupt within."""
        self.shielded += 1
        try:
            yield
        finally:
            self.shielded -= 1
            self._raise_if_interrupted()

    @contextmanager
    def program(self) -> Iterator[None]:
        """Within: a program, which may be interrupted. An interrupt meant for one before it is forgotten."""
        self.interrupted = False
        self.shielded = 0
        try:
            yield
        finally:
            self.shielded = 1

    def send(self, frame: bytes) -> None:
        """All of it, whatever memory is left."""
        with self.shield():
            rest = memoryview(frame)
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]

    def receive(self) -> dict[str, Any]:
        """The next frame. MemoryError leaves the line fit for use; the process ends where the host has gone."""
        with self.shield():
            length = int.from_bytes(self._exactly(bytearray(values.HEADER_BYTES)), "big")
            try:
                body = bytearray(length)
            except MemoryError:
                self._drain(length)
                raise
            self._exactly(body)
        return values.unpack(body)

    def _exactly(self, buffer: bytearray) -> bytearray:
        rest = memoryview(buffer)
        while rest:
            num_read = os.readv(self.descriptor, [rest])
            if not num_read:
                os._exit(0)
            rest = rest[num_read:]
        return buffer

    def _drain(self, length: int) -> None:
        while length:
            length -= len(self._exactly(bytearray(min(length, 1 << 16))))


class Output(io.TextIOBase):
    """Standard output and error of a program: told to the host as it comes, up to a number of characters."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.begin(0)

    def begin(self, limit: int) -> None:
        """For a new program."""
        self.left, self.frames, self.kept = limit, 0, ""

    def writable(self) -> bool:
        """As a file's."""
        return True

    def write(self, text: str) -> int:
        """As a file's; what is beyond the limit is left out."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        taken = text[: self.left]
        self.left -= len(taken)
        self.kept += taken
        # Soon, so that it is known what a program printed that had to be killed; but not by the line for ever.
        by_the_line = self.frames < _LINE_FRAMES and "\n" in taken
        if by_the_line or len(self.kept) >= _FRAME_CHARACTERS:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """As a file's."""
        while self.kept:
            part, self.kept = self.kept[:_FRAME_CHARACTERS], self.kept[_FRAME_CHARACTERS:]
            self.frames += 1
            self.line.send(values.pack({"printed": part}))
