"""The system calls that a program may make: those of a computation in memory and of its one open socket."""

import errno

from rlm.sandbox import kernel

# Numbers on x86_64 and aarch64; None where a machine has no such call. Everything else is refused, so a call that a
# later kernel adds is too. No clone: a second process is out of reach of the limits, and a thread would outlive its
# program and escape the interrupt that ends it, while the host's functions run one at a time anyway. No kill, not even
# of itself: os._exit is left. No call that takes a path or makes a descriptor.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "readv": (19, 65),
    "write": (1, 64),
    "futex": (202, 98),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "brk": (12, 214),
    "madvise": (28, 233),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "pause": (34, None),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getrusage": (98, 165),
    "times": (100, 153),
    "close": (3, 57),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Memory that can be written is never run, so machine code has no way in.
NOT_EXECUTABLE: dict[str, tuple[int, int]] = {"mmap": (9, 222), "mprotect": (10, 226)}
OWN_LIMITS = (302, 261)  # prlimit64, with process 0
CLONE3 = (435, 435)

_ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERROR = 0x8000_0000, 0x7FFF_0000, 0x0005_0000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets into what the filter is shown
_X32 = 0x4000_0000  # the other table of calls that x86_64 answers to

Instruction = tuple[int, int, int, int]


def _argument(index: int) -> Instruction:
    """Loads the low half of an argument: both machines are little-endian."""
    return (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * index)


def _case(number: int, *then: Instruction) -> list[Instruction]:
    return [(_EQUAL, 0, len(then), number), *then]


def program(machine: str) -> list[Instruction]:
    """The filter for `machine`. Raises OSError where its calls are not known."""
    if machine not in _ARCHITECTURES:
        raise OSError(f"the system calls of {machine} are not known")
    column = list(_ARCHITECTURES).index(machine)
    refuse, allow = (_RETURN, 0, 0, _ERROR | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_ABOVE, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for numbers in ALLOWED.values():
        number = numbers[column]
        lines += [] if number is None else _case(number, allow)
    for pair in NOT_EXECUTABLE.values():
        lines += _case(pair[column], _argument(2), (_ANY_BIT, 0, 1, kernel.EXECUTABLE), refuse, allow)
    lines += _case(OWN_LIMITS[column], _argument(0), (_EQUAL, 0, 1, 0), allow, refuse)
    # What libc falls back from, to the clone that is then refused.
    lines += _case(CLONE3[column], (_RETURN, 0, 0, _ERROR | errno.ENOSYS))
    return [*lines, refuse]
