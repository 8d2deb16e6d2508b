"""What an attack on the sandbox is."""

from dataclasses import dataclass
from typing import Literal

# Whether it must succeed without any sandbox: as anyone, as root only, on some machines only, or never, because without
# a sandbox there is nothing to attack or too much would be harmed.
Outside = Literal["anyone", "root", "some", "never"]


@dataclass(frozen=True)
class Attack:
    """A program that succeeds where it prints WON, prints a secret of the scene, or leaves a mark on it."""

    group: str
    name: str
    outside: Outside
    program: str

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


def table(group: str, rows: dict[str, tuple[Outside, str]]) -> list[Attack]:
    return [Attack(group, name, outside, program) for name, (outside, program) in rows.items()]


# What every program begins with; the names in capitals are the scene's. `end` forges the frame that ends a program.
PRELUDE = """
import ctypes, json, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *arguments):
    outcome = libc.syscall(ctypes.c_long(number), *arguments)
    if outcome < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return outcome
def frame(body):
    return struct.pack(">I", len(body)) + body
def mark():
    below = sys._getframe()
    while "request" not in below.f_locals:
        below = below.f_back
    return below.f_locals["request"]["mark"]
def end(mark):
    return frame(json.dumps({"done": None, "mark": mark}).encode())
"""
