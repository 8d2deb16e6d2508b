"""A host in a process of its own, as root or another user: stages attacks and tells what came of each, line by line."""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rlm.sandbox import kernel
from rlm.sandbox.jail import Jail
from rlm.sandbox.session import Limits
from tests.rlm.sandbox.attack import PRELUDE
from tests.rlm.sandbox.reaching import REACHING
from tests.rlm.sandbox.scene import ROOT, Scene, answers
from tests.rlm.sandbox.straining import STRAINING

ATTACKS = {str(attack): attack for attack in REACHING + STRAINING}
LIMITS = Limits(seconds=0.5, memory_bytes=128 << 20, printed=5000, calls=20)
_SECONDS_OUTSIDE = 5.0


def main(user: int) -> None:
    """Answers each line of standard input by one on standard output; ends with the input."""
    with contextlib.ExitStack() as stack:
        try:
            if user != os.geteuid():
                become(user)
            jails = {(): stack.enter_context(Jail())}
        except (OSError, ValueError) as error:
            print(json.dumps({"lacking": str(error)}), flush=True)
            return
        print(json.dumps({"layers": jails[()].layers}), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            without = tuple(order["without"])
            if order["outside"]:
                outcome = outside(order["attack"])
            else:
                if without not in jails:
                    jails[without] = stack.enter_context(Jail(unsafe=bool(without), without=without))
                outcome = inside(jails[without], order["attack"])
            print(json.dumps(outcome), flush=True)


def become(user: int) -> None:
    """Another user, for whom Python and this checkout are in their places, even beneath a folder of root's alone."""
    needed = {Path(sys.base_prefix), Path(sys.prefix), ROOT}
    closed: dict[Path, set[Path]] = {}
    for path in needed:
        shut = [parent for parent in reversed([path, *path.parents]) if not parent.stat().st_mode & 1]
        if shut:
            closed.setdefault(shut[0], set()).add(path)
    kernel.unshare(kernel.NEWNS)
    private, bind = 0x4_4000, 0x1000
    _mount("none", "/", private)
    for folder, paths in closed.items():
        opened = {path: os.open(path, os.O_PATH) for path in paths}
        _mount("tmpfs", str(folder), 0, b"tmpfs", b"mode=755")
        for path, descriptor in opened.items():
            path.mkdir(parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{descriptor}", str(path), bind)
            os.close(descriptor)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kernel.set_dumpable(True)


def _mount(source: str, target: str, flags: int, kind: bytes | None = None, options: bytes | None = None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), options):
        raise OSError(ctypes.get_errno(), f"cannot mount {target}")


def inside(jail: Jail, name: str) -> dict[str, Any]:
    """In a session of the jail."""
    scene = Scene(jail)
    told: list[str] = []

    def ask(value: Any) -> Any:
        told.append(str(value)[:1000])
        return len(str(value))

    try:
        with jail.session({"ask": ask}, LIMITS) as session:
            session.run("".join(f"{key} = {value!r}\n" for key, value in scene.names().items()) + PRELUDE)
            before = time.monotonic()
            ran = session.run(ATTACKS[name].program)
            wall = time.monotonic() - before
            seen = _won(ran.printed + "".join(told), scene)
            same = answers(session)
        with jail.session({}, LIMITS) as session:
            new = answers(session)
    finally:
        scene.close()
    return {**vars(ran), "won": seen, "wall": wall, "answers": [same, new]}


def outside(name: str) -> dict[str, Any]:
    """In a child of this process, with all that it has."""
    scene = Scene(None)
    names = scene.names()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 1)
        sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115
        try:
            exec(PRELUDE + ATTACKS[name].program, names)
        finally:  # whatever it raised is told, and never reaches the tests that this child is a copy of
            if (error := sys.exception()) is not None:
                print(f"{type(error).__name__}: {error}")
            sys.stdout.flush()
            os._exit(0)
    os.close(writing)
    printed = _read(reading)
    os.close(reading)
    won = _won(printed, scene)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    scene.close()
    return {"won": won, "printed": printed[-2000:]}


def _read(descriptor: int) -> str:
    """All until it is closed or time is over."""
    end, parts = time.monotonic() + _SECONDS_OUTSIDE, []
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        part = os.read(descriptor, 1 << 16) if ready else b""
        if not part:
            return b"".join(parts).decode("utf-8", "replace")
        parts.append(part)


def _won(told: str, scene: Scene) -> list[str]:
    """What the attack got."""
    got = [secret for secret in scene.secrets if secret in told] + ["WON"] * ("WON" in told)
    return got + scene.marks()
