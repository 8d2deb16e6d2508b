"""The open sandbox's layers, that nothing of it stays behind, and how soon a session starts."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm.sandbox import seccomp
from rlm.sandbox.jail import Jail
from rlm.sandbox.layers import LAYERS, REQUIRED
from rlm.sandbox.session import Limits
from tests.rlm.sandbox.attack import PRELUDE
from tests.rlm.sandbox.scene import ROOT

# Processes of a jail without sessions: the zygote, and the one that waits for it.
IDLE = 2
LIMITS = Limits(seconds=5.0, memory_bytes=128 << 20)


def members(leader: int) -> list[int]:
    """Processes, zombies too, of the session that a zygote leads."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                found.append(int(folder.name))
    return found


def opened() -> set[tuple[str, str]]:
    """Descriptors of this process and what they are of."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that the folder was read by
            found.add((path.name, str(path.readlink())))
    return found


def eventually(holds: Callable[[], bool], seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


# Layers.


def test_missing_layers_are_an_error_unless_unsafe() -> None:
    for name in REQUIRED:
        with pytest.raises(ValueError, match=f"{name}: left out.*--unsafe-local") as raised:
            Jail(without=[name])
        assert "\n" not in str(raised.value)
    with Jail(unsafe=True, without=LAYERS) as jail, jail.session({}, LIMITS) as session:
        assert set(jail.layers.values()) == {True, False}
        assert session.run("1 + 1").printed == "2\n"
    with pytest.raises(ValueError, match="the layers are"):
        Jail(without=["walls"])  # pyright: ignore[reportArgumentType]


def test_every_layer_is_reported(jail: Jail) -> None:
    assert set(jail.layers) == {"environment", *LAYERS}
    assert all(jail.layers[name] is True for name in REQUIRED)
    assert all(value is True or (isinstance(value, str) and value) for value in jail.layers.values())


@pytest.mark.skipif(seccomp.kernel.MACHINE != "x86_64", reason="code of x86_64")
def test_calls_of_another_architecture_kill() -> None:
    program = """
import ctypes, mmap, sys
from rlm.sandbox import kernel, seccomp
memory = mmap.mmap(-1, 4096, prot=7)
memory.write(bytes.fromhex('b814000000' 'cd80' 'c3'))  # getpid of i386
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
if sys.argv[1] == 'filtered':
    kernel.forgo_privileges()
    kernel.filter_system_calls(seccomp.program('x86_64'))
call()
"""
    codes = [
        subprocess.run([sys.executable, "-c", program, how], cwd=ROOT, timeout=60).returncode
        for how in ("free", "filtered")
    ]
    if codes[0] != 0:
        pytest.skip("the kernel answers no calls of i386")
    assert codes[1] == -signal.SIGSYS


# Nothing stays behind.


def test_nothing_runs_on_between_programs(jail: Jail) -> None:
    session = jail.session({}, LIMITS)
    ran = session.run(PRELUDE + "os.write(3, end(mark()))\nwhile True: pass")
    assert (ran.error, ran.lost) == (None, False)
    assert session._child is not None
    fdinfo = Path(f"/proc/self/fdinfo/{session._child._process}").read_text()
    process = next(int(line.split()[1]) for line in fdinfo.splitlines() if line.startswith("Pid:"))
    stat = Path(f"/proc/{process}/stat")
    assert eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    ticks = stat.read_text().rpartition(")")[2].split()[11]
    time.sleep(0.2)
    assert stat.read_text().rpartition(")")[2].split()[11] == ticks
    session.close()


def test_only_its_own_mark_ends_a_program(jail: Jail) -> None:
    with jail.session({}, LIMITS) as session:
        assert session.run(PRELUDE + "before = mark()").error is None
        for forged in ("end(before)", "end('')", """frame(b'{"done":null}')"""):
            ran = session.run(f"os.write(3, {forged})")
            assert ran.lost
            assert ran.error is not None
            assert "an end that is not its own" in ran.error
            assert session.run(PRELUDE + f"before = {'0' * 16!r}").error is None


def test_what_is_said_after_the_end_is_not_the_next_programs(jail: Jail) -> None:
    with jail.session({}, LIMITS) as session:
        late = """frame(b'{"printed":"late"}')"""
        assert not session.run(PRELUDE + f"os.write(3, end(mark()) + {late})\nwhile True: pass").lost
        ran = session.run("print('on time')")
        assert (ran.printed, ran.lost) == ("", True)
        assert ran.error is not None
        assert "it spoke between programs" in ran.error


def test_200_sessions_leave_no_descriptor_and_no_process(jail: Jail) -> None:
    leader = jail._process.pid
    descriptors = opened()
    for number in range(200):
        with jail.session({}, LIMITS) as session:
            assert session.run(f"{number}").printed == f"{number}\n"
    assert opened() - descriptors == set()
    assert eventually(lambda: len(members(leader)) <= IDLE)


def test_lost_sessions_leave_nothing_either(jail: Jail) -> None:
    leader = jail._process.pid
    descriptors = opened()
    with jail.session({}, LIMITS) as session:
        for _ in range(20):
            assert session.run("import os\nos._exit(1)").lost
    assert opened() - descriptors == set()
    assert eventually(lambda: len(members(leader)) <= IDLE)


def test_the_end_of_a_jail_ends_its_sessions() -> None:
    with Jail() as jail:
        sessions = [jail.session({}, LIMITS) for _ in range(3)]
        assert [session.run("1").printed for session in sessions] == ["1\n"] * 3
        leader = jail._process.pid
        assert len(members(leader)) >= 4
    assert members(leader) == []
    with pytest.raises(ValueError, match="closed"):
        sessions[0].run("1")


def test_the_end_of_the_host_ends_all() -> None:
    program = """
from rlm.sandbox.jail import Jail
from rlm.sandbox.session import Limits
jail = Jail()
session = jail.session({'tell': lambda: print(jail._process.pid, flush=True)}, Limits(seconds=60))
session.run("tell()\\nwhile True: pass")
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        leader = int(host.stdout.readline())
        assert len(members(leader)) >= 2
        host.kill()
    assert eventually(lambda: members(leader) == [])


def test_the_end_of_the_zygote_is_told() -> None:
    with Jail() as jail:
        running = jail.session({}, LIMITS)
        assert running.run("1").printed == "1\n"
        for process in members(jail._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        assert running.run("1").lost
        with pytest.raises(RuntimeError, match="open a new jail"):
            running.run("1")


def test_sessions_run_beside_each_other(jail: Jail) -> None:
    printed: dict[int, str] = {}

    def work(number: int) -> None:
        with jail.session({"ask": lambda: number}, LIMITS) as session:
            session.run("import time\nx = ask()")
            printed[number] = session.run("time.sleep(.2)\nx").printed

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert printed == {number: f"{number}\n" for number in range(5)}


def test_a_session_is_closed_under_a_running_program(jail: Jail) -> None:
    session = jail.session({}, LIMITS)
    session.run("1")
    timer = threading.Timer(0.2, session.close)
    timer.start()
    ran = session.run("while True: pass")
    timer.join()
    assert ran.lost
    assert ran.seconds < LIMITS.seconds / 2
