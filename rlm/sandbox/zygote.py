"""A small process that has all modules ready and forks a confined child for each session.

The host starts it by exec, so that nothing of the host's memory, environment or descriptors is in it. It serves one
socket: a request is one message, `{"memory": bytes, "number": of the request}`, with the descriptor of the context if
there is one; the answer is one message, the number, with the session's socket and a pidfd of its process. It ends, and
every session with it, when the host does.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rlm.sandbox import inside, kernel, layers
from rlm.sandbox.layers import Layer, Memory, Report

# What programs may import: nothing can be read from a file later.
MODULES = """
    _strptime abc array ast base64 binascii bisect builtins calendar cmath codecs collections.abc contextlib copy csv
    ctypes dataclasses datetime decimal difflib enum fnmatch fractions functools gc graphlib hashlib heapq hmac html
    html.entities html.parser inspect io ipaddress itertools json keyword locale logging math mmap numbers operator os
    os.path pathlib pickle platform pprint queue random re reprlib resource secrets select shlex signal socket
    stat statistics string stringprep struct subprocess sys tempfile textwrap threading time timeit token tokenize
    traceback types typing unicodedata unittest urllib.parse uuid warnings weakref xml.etree.ElementTree zlib
    encodings.ascii encodings.cp1252 encodings.hex_codec encodings.idna encodings.latin_1 encodings.punycode
    encodings.raw_unicode_escape encodings.rot_13 encodings.unicode_escape encodings.utf_16 encodings.utf_32
    encodings.utf_8 encodings.utf_8_sig
"""
# Zygote and sessions are what the kernel ends first where memory runs out.
_FIRST_TO_END = "1000"
_REQUEST_BYTES = 4096
_NULL = 2


@dataclass(frozen=True)
class Zygote:
    """What it keeps between requests. own: a pidfd of itself, where each session has a process namespace of its own."""

    control: socket.socket
    skip: Collection[Layer]
    before: int
    own: int | None


def main(control_fd: int, host: int, skip: list[Layer]) -> NoReturn:
    """Never returns; what goes wrong before the report is on standard error."""
    control = socket.socket(fileno=control_fd)
    host_pidfd = os.pidfd_open(host)
    for name in MODULES.split():
        importlib.import_module(name)
    # No import looks for a file any more.
    sys.path.clear()
    sys.path_importer_cache.clear()
    sys.argv[:] = sys.orig_argv[:] = [""]
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_END)
    before = layers.address_space()
    report = layers.enclose(skip)
    own = None
    if report["process namespace"] is True:
        child = os.fork()
        if child:
            control.close()
            os.waitpid(child, 0)
            os._exit(0)
        own = os.pidfd_open(os.getpid())
    kernel.die_with_parent()
    zygote = Zygote(control, skip, before, own)
    report.update(_probe(zygote))
    control.send(json.dumps(report).encode())
    os.dup2(1, _NULL)  # standard error was for what goes wrong before this
    gc.collect()
    gc.freeze()
    _serve(zygote, host_pidfd)
    os._exit(0)


def _probe(zygote: Zygote) -> Report:
    """Which inner layers hold: a child puts itself under them, and only under them."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        report = layers.confine(zygote.skip, Memory(1 << 30, zygote.before))
        os.write(writing, json.dumps(report).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    if not told:
        raise SystemExit("a process does not survive the layers of the sandbox here")
    return json.loads(told)


def _serve(zygote: Zygote, host: int) -> None:
    """Until the host ends or closes the socket."""
    sessions: dict[int, int] = {}  # pidfd -> process
    poll = select.poll()
    poll.register(zygote.control, select.POLLIN)
    poll.register(host, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == host:
                return
            if ready != zygote.control.fileno():
                os.waitpid(sessions.pop(ready), 0)
                poll.unregister(ready)
                os.close(ready)
                continue
            request, received, _, _ = socket.recv_fds(zygote.control, _REQUEST_BYTES, 1)
            if not request:
                return
            process = _start(zygote, json.loads(request), received)
            pidfd = os.pidfd_open(process)
            sessions[pidfd] = process
            poll.register(pidfd, select.POLLIN)


def _start(zygote: Zygote, request: dict[str, int], received: list[int]) -> int:
    """Forks a session and hands the host its socket; returns its process."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        if zygote.own is not None:
            kernel.unshare(kernel.NEWPID)
        process = os.fork()
        if not process:
            try:
                inside.main(ours.fileno(), received, zygote.skip, Memory(request["memory"], zygote.before))
            finally:
                os._exit(1)
        if zygote.own is not None:
            kernel.set_namespace(zygote.own, kernel.NEWPID)
        for descriptor in received:
            os.close(descriptor)
        pidfd = os.pidfd_open(process)
        socket.send_fds(zygote.control, [str(request["number"]).encode()], [theirs.fileno(), pidfd])
        os.close(pidfd)
    return process
