"""What Linux offers and Python's library does not wrap, through ctypes. What is refused raises OSError."""

import ctypes
import os
import platform
from enum import IntFlag
from typing import Any

MACHINE = platform.machine()
NEWUSER, NEWPID, NEWNS, NEWIPC, NEWUTS, NEWNET = (
    0x1000_0000,
    0x2000_0000,
    0x2_0000,
    0x800_0000,
    0x400_0000,
    0x4000_0000,
)
EXECUTABLE = 4  # PROT_EXEC

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446  # the same everywhere
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SIGKILL = 9
_libc = ctypes.CDLL(None, use_errno=True)


class Scope(IntFlag):
    """What Landlock keeps a process from reaching outside of its own ruleset."""

    ABSTRACT_SOCKETS = 1
    SIGNALS = 2


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


def _done(outcome: int) -> int:
    if outcome < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return outcome


def _control(option: int, value: int, pointer: Any = None) -> None:
    _done(_libc.prctl(option, ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0)))


def unshare(flags: int) -> None:
    """Moves this process (for NEWPID: what it forks next) into new namespaces."""
    _done(_libc.unshare(flags))


def set_namespace(descriptor: int, kind: int) -> None:
    """Moves this process (for NEWPID: what it forks next) into the namespace of a process, given as a pidfd."""
    _done(_libc.setns(descriptor, kind))


def enter_user_namespace(inside: int) -> None:
    """Moves this process into a new one, where its user and group are `inside` and it may make the other namespaces."""
    users, groups = os.geteuid(), os.getegid()  # as they are called outside: unknown once within
    set_dumpable(True)  # a change of user took away this process's own files in /proc
    unshare(NEWUSER)
    entries = {"setgroups": "deny", "uid_map": f"{inside} {users} 1", "gid_map": f"{inside} {groups} 1"}
    for name, text in entries.items():
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def empty_root() -> None:
    """In a mount namespace of its own: nothing but an empty directory is left of the file system."""
    private, read_only, no_setuid, no_devices, no_exec, recursive, detach = 0x4_0000, 1, 2, 4, 8, 0x4000, 2
    if MACHINE not in _PIVOT_ROOT:
        raise OSError(f"not known for {MACHINE}")
    _done(_libc.mount(b"none", b"/", None, ctypes.c_ulong(recursive | private), None))
    flags = ctypes.c_ulong(read_only | no_setuid | no_devices | no_exec)
    _done(_libc.mount(b"tmpfs", b"/proc", b"tmpfs", flags, b"size=4k,nr_inodes=2,mode=555"))
    os.chdir("/proc")
    _done(_libc.syscall(ctypes.c_long(_PIVOT_ROOT[MACHINE]), b".", b"."))
    _done(_libc.umount2(b".", detach))
    os.chdir("/")


def die_with_parent() -> None:
    """This process is killed when its parent ends. Forgotten at a change of user."""
    _control(_PR_SET_PDEATHSIG, _SIGKILL)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same user may trace this process; also who owns its files in /proc."""
    _control(_PR_SET_DUMPABLE, int(dumpable))


def forgo_privileges() -> None:
    """No program that this process executes gives it any."""
    _control(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Gives up all that make a process more than its user."""
    header = _CapabilityHeader(0x2008_0522, 0)
    _done(_libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())))


def landlock_version() -> int:
    """Of Landlock's ABI. Raises OSError where the kernel has none or it is switched off."""
    return _done(_libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def landlock(version: int, files: bool, network: bool, scope: Scope) -> None:
    """Forbids all use of files, all TCP, and what is in `scope`, for good.

    From ABI 4 on for `network`, from 6 on for `scope`. no_new_privs must be set.
    """
    rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    ruleset = _Ruleset((1 << rights) - 1 if files else 0, 3 if network else 0, int(scope))
    size = 8 if version < 4 else 16 if version < 6 else 24
    arguments = (ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    descriptor = _done(_libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), *arguments))
    try:
        _done(_libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT), ctypes.c_int(descriptor), ctypes.c_uint32(0)))
    finally:
        os.close(descriptor)


def filter_system_calls(instructions: list[tuple[int, int, int, int]]) -> None:
    """Installs a BPF program (code, jump if true, jump if false, value) before every system call, for good.

    no_new_privs must be set.
    """
    program = (_Instruction * len(instructions))(*instructions)
    _control(_PR_SET_SECCOMP, 2, ctypes.byref(_Filter(len(instructions), program)))
