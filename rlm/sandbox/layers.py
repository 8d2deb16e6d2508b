"""The layers of the jail: what each is called, and how a process puts itself under it.

Each holds off something alone, so that a hole in one is not a hole in the jail. `enclose` is for the process that forks
the sessions, once; `confine` is for each session.
"""

import os
import resource
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rlm.sandbox import kernel, seccomp

Layer = Literal[
    "user",  # as root: another user, who owns nothing
    "user namespace",  # what the following need
    "network namespace",  # no interface
    "ipc namespace",  # no shared memory, no queues
    "process namespace",  # no other processes; all end with the one that forks them
    "empty root",  # no files
    "limits",  # memory, descriptors, written bytes, processes, core dumps
    "capabilities",  # none, and no way to any
    "landlock files",
    "landlock tcp",
    "landlock scopes",  # no signals to others, no abstract sockets
    "seccomp",
]
LAYERS: tuple[Layer, ...] = get_args(Layer)
REQUIRED: tuple[Layer, ...] = ("landlock files", "seccomp")
# True: it holds. Otherwise why it does not, False where it was left out on purpose.
Report = dict[str, bool | str]

NOBODY = 65534
# Beyond the limit of memory: what it takes to tell that the limit is reached.
HEADROOM = 32 << 20
MAX_DESCRIPTORS = 16
_NONE = ("FSIZE", "CORE", "NPROC", "MEMLOCK", "MSGQUEUE", "SIGPENDING", "RTPRIO")
_NAMESPACES: dict[str, int] = {
    "network namespace": kernel.NEWNET,
    "ipc namespace": kernel.NEWIPC | kernel.NEWUTS,
    "process namespace": kernel.NEWPID,
    "empty root": kernel.NEWNS,
}


def _tried(step: Callable[[], None]) -> bool | str:
    try:
        step()
    except OSError as error:
        return error.strerror or str(error)
    return True


def enclose(skip: Collection[Layer]) -> Report:
    """Puts this process and all that it forks under the outer layers, as far as they work here."""
    report: Report = {"user": False if "user" in skip else _tried(_become_nobody)}
    report["user namespace"] = (
        False if "user namespace" in skip else _tried(lambda: kernel.enter_user_namespace(NOBODY))
    )
    for name, flag in _NAMESPACES.items():
        if name in skip:
            report[name] = False
        elif report["user namespace"] is not True:
            report[name] = "needs a user namespace"
        else:
            report[name] = _tried(lambda flag=flag: kernel.unshare(flag))
    if report["empty root"] is True:
        report["empty root"] = _tried(kernel.empty_root)
    kernel.set_dumpable(False)
    return report


def _become_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


@dataclass(frozen=True)
class Memory:
    """Bytes of address space: of the programs, and of what a session holds before the first."""

    limit: int
    before: int

    def bounds(self, headroom: bool) -> tuple[int, int]:
        """Soft and hard limit of address space, without or with the headroom."""
        most = self.before + self.limit
        return most + HEADROOM * headroom, most + HEADROOM


def address_space() -> int:
    """Bytes of address space that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def confine(skip: Collection[Layer], memory: Memory) -> Report:
    """Puts this process under the inner layers, for good, as far as they work here."""
    report: Report = dict.fromkeys(LAYERS[LAYERS.index("limits") :], False)

    def put(name: Layer, step: Callable[[], None]) -> None:
        if name not in skip:
            report[name] = _tried(step)

    put("limits", lambda: _limit(memory))
    put("capabilities", kernel.drop_capabilities)
    kernel.forgo_privileges()
    report.update(_landlock(skip))
    put("seccomp", lambda: kernel.filter_system_calls(seccomp.program(kernel.MACHINE)))
    return report


def _limit(memory: Memory) -> None:
    resource.setrlimit(resource.RLIMIT_AS, memory.bounds(headroom=True))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_DESCRIPTORS, MAX_DESCRIPTORS))
    for name in _NONE:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (0, 0))


def _landlock(skip: Collection[Layer]) -> Report:
    since: dict[str, int] = {"landlock files": 1, "landlock tcp": 4, "landlock scopes": 6}
    try:
        version = kernel.landlock_version()
    except OSError as error:
        return {name: False if name in skip else f"not in this kernel: {error.strerror}" for name in since}
    wanted = {name: name not in skip and since[name] <= version for name in since}
    files, tcp, scopes = wanted.values()
    scope = kernel.Scope.ABSTRACT_SOCKETS | kernel.Scope.SIGNALS if scopes else kernel.Scope(0)
    held = _tried(lambda: kernel.landlock(version, files, tcp, scope)) if any(wanted.values()) else True
    report: Report = {}
    for name, first in since.items():
        too_old = False if name in skip else f"needs ABI {first} of Landlock, this kernel has {version}"
        report[name] = held if wanted[name] else too_old
    return report


def missing(report: Report) -> str | None:
    """What the jail cannot do without and does not have, in one line."""
    lacking = [name for name in REQUIRED if report.get(name) is not True]
    if not lacking:
        return None
    reasons = "; ".join(f"{name}: {report.get(name) or 'left out'}" for name in lacking)
    return f"the sandbox lacks a layer it needs ({reasons}): --unsafe-local runs programs without it"
