"""Programs, functions, limits and contexts of the open sandbox."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm.sandbox.binding import Context
from rlm.sandbox.confined import Confined
from rlm.sandbox.jail import Jail
from rlm.sandbox.session import Functions, Limits
from rlm.text import Text

LIMITS = Limits(seconds=5.0, memory_bytes=128 << 20)
Start = Callable[..., Confined]


@pytest.fixture
def start(jail: Jail) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def start(
            functions: Functions | None = None, limits: Limits = LIMITS, context: Context | None = None
        ) -> Confined:
            return stack.enter_context(jail.session(functions or {}, limits, context))

        yield start


# Programs.


def test_names_stay_and_the_last_value_is_printed(start: Start) -> None:
    session = start()
    assert session.run("x = [1]\nprint('a')\n'b'").printed == "a\n'b'\n"
    assert session.run("x.append(2)\nx").printed == "[1, 2]\n"
    assert session.run("None").printed == session.run("").printed == session.run("# nothing").printed == ""
    assert session.run("import sys\nprint('e', file=sys.stderr)").printed == "e\n"


def test_errors_are_told_by_the_programs_own_frames_and_leave_names(start: Start) -> None:
    session = start()
    ran = session.run("import json\nkept = 1\n\ndef f(text):\n    return json.loads(text)\n\nf('{')")
    assert not ran.lost
    assert ran.error is not None
    assert ran.error.splitlines()[0] == "Traceback (most recent call last):"
    assert 'File "<program>", line 5, in f' in ran.error
    assert ran.error.count("File ") == 2
    assert "JSONDecodeError" in ran.error
    later = session.run("print(kept)\nf('[')")
    assert later.printed == "1\n"
    assert "return json.loads(text)" in (later.error or "")
    assert "SyntaxError" in (session.run("x = = 1").error or "")
    assert len((session.run("def g(n): return g(n - 1) if n else 1 / 0\ng(300)").error or "").splitlines()) <= 10


def test_dataclasses_and_modules_work(start: Start) -> None:
    program = """
import re, json, math, collections, itertools, functools, statistics, datetime, string, textwrap, random, bisect, heapq
import operator, typing, hashlib, decimal, fractions, uuid, csv, pprint
from dataclasses import dataclass
@dataclass
class Point:
    x: int
print(Point(1), datetime.datetime.strptime('2020-01-02', '%Y-%m-%d').year, 'x'.encode('utf-16'), hash('x') and 1)
"""
    ran = start().run(program)
    assert ran.error is None
    assert ran.printed.startswith("Point(x=1) 2020 b'")
    assert "ModuleNotFoundError" in (start().run("import torch").error or "")


def test_a_program_that_does_not_encode_is_told(start: Start) -> None:
    session = start()
    assert "UnicodeEncodeError" in (session.run("x = '\ud800'").error or "")
    assert "null bytes" in (session.run("x = '\0'").error or "")
    assert session.run("1").printed == "1\n"


def test_printing_ends_at_the_limit_and_survives_a_kill(start: Start) -> None:
    session = start(limits=Limits(seconds=0.3, printed=10))
    ran = session.run("for i in range(10**3): print(i)")
    assert (ran.printed, ran.error) == ("0\n1\n2\n3\n4\n", None)
    assert session.run("print('\\ud800' * 5)").printed == "\\ud800\\ud8"
    lost = session.run("import signal\nprint('here')\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass")
    assert lost.lost
    assert lost.printed == "here\n"


# Functions of the host.


def test_values_go_to_functions_and_come_back(start: Start) -> None:
    seen: list[Any] = []

    def echo(*values: Any, **named: Any) -> Any:
        seen.append((values, named))
        return {"values": list(values), "named": named}

    value = [None, True, 2, 2.5, "\u00e9\0", {"k": []}]
    ran = start({"echo": echo}).run(
        f"print(echo(*{value!r}, end=(1, 2)) == {{'values': {value!r}, 'named': {{'end': [1, 2]}}}})"
    )
    assert (ran.printed, ran.error) == ("True\n", None)
    assert seen == [(tuple(value), {"end": [1, 2]})]


def test_what_a_function_raises_is_told_without_paths(start: Start) -> None:
    def missing() -> None:
        Path("/root/secret/place").read_text()

    def wrong() -> None:
        raise LookupError("no such thing")

    session = start({"missing": missing, "wrong": wrong, "odd": object})
    assert session.run("try: wrong()\nexcept RuntimeError as e: print(e)").printed == "LookupError: no such thing\n"
    told = session.run("missing()").error or ""
    assert told.splitlines()[-1].startswith("RuntimeError: ")
    assert "secret" not in told
    assert "confined.py" not in told
    assert "a object cannot cross" in (session.run("odd()").error or "")
    assert "a set cannot cross" in (session.run("wrong({1})").error or "")
    assert "TypeError" in (session.run("wrong(1)").error or "")


def test_what_is_no_exception_passes_through_and_ends_the_session(start: Start) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    session = start({"stop": stop})
    session.run("x = 1")
    with pytest.raises(KeyboardInterrupt):
        session.run("try: stop()\nexcept BaseException: pass")
    assert "NameError" in (session.run("x").error or "")


def test_an_interrupt_of_the_host_passes_through(start: Start) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: Any) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    session = start()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupted):
            session.run("while True: pass")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert session.run("1").printed == "1\n"


def test_calls_are_counted_for_each_program(start: Start) -> None:
    session = start({"tick": lambda: None}, Limits(calls=3))
    assert session.run("for _ in range(3): tick()").error is None
    assert "CallsExhausted" in (session.run("for _ in range(4): tick()").error or "")


def test_the_clock_stands_while_a_function_runs(start: Start) -> None:
    session = start({"wait": lambda: time.sleep(0.4)}, Limits(seconds=0.3))
    ran = session.run("wait()\nwait()")
    assert ran.error is None
    assert ran.seconds < 0.3


def test_a_session_runs_one_program_at_a_time(start: Start) -> None:
    session = start({"again": lambda: session.run("1")})
    assert "one program at a time" in (session.run("again()").error or "")
    assert session.run("1").printed == "1\n"


def test_shadowed_functions_are_back_for_the_next_program(start: Start) -> None:
    session = start({"ask": lambda: 7})
    assert "not callable" in (session.run("ask = 1\nask()").error or "")
    assert session.run("ask()").printed == "7\n"


def test_an_interrupt_never_tears_a_frame(start: Start) -> None:
    session = start({"tick": lambda: "x" * 1000}, Limits(seconds=0.1))
    session.run("n = 0")
    for count in range(1, 9):
        ran = session.run("n += 1\nwhile True:\n    tick()\n    print('y' * 10)")
        assert not ran.lost
        assert "TimeoutError" in (ran.error or "")
        assert session.run("n").printed == f"{count}\n"


# Limits.


def test_time_is_over_gently_where_it_can_be(start: Start) -> None:
    session = start(limits=Limits(seconds=0.2))
    ran = session.run("x = 1\nwhile True: pass")
    assert not ran.lost
    assert "stopped after 0.2 s" in (ran.error or "")
    assert 0.2 <= ran.seconds < 0.7
    assert session.run("x").printed == "1\n"
    assert session.run("import itertools\nall(itertools.repeat(1))").lost
    assert "NameError" in (session.run("x").error or "")


def test_memory_is_over_gently_where_it_can_be(start: Start) -> None:
    session = start()
    ran = session.run("x = 1\nkept = []\nwhile True: kept.append('a' * 1000)")
    assert not ran.lost
    assert "MemoryError" in (ran.error or "")
    assert session.run("del kept\nx").printed == "1\n"
    assert session.run("len(bytearray(100 << 20))").printed == f"{100 << 20}\n"


# The context.

WHOLE = "caf\u00e9 au lait\n\u6f22\u5b57\nthe last line\n"


def test_the_context_reads_as_on_the_host_and_is_left_alone(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "context"
    path.write_text(WHOLE)
    session = start(context=Context.of(Text.open(path), "what ?"))
    assert session.run("str(context)").printed == f"{WHOLE!r}\n"
    told = "len(context), context.num_lines, context[0:4], context.find('last'), list(context.lines(1, 2))"
    assert session.run(told).printed == f"({len(WHOLE)}, 3, 'caf\u00e9', {WHOLE.find('last')}, ['\u6f22\u5b57'])\n"
    writing = "import os\nfor fd in range(3, 16):\n    try: os.write(fd, b'')\n    except OSError: pass"
    assert session.run(writing).error is None
    assert path.read_text() == WHOLE


def test_parts_cross_as_places(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "context"
    path.write_text(WHOLE)
    text, seen = Text.open(path), []
    session = start({"ask": seen.append}, context=Context.of(text.lines(1, 3), "what ?"))
    assert session.run("ask([context, context.lines(0, 1), str(context.lines(0, 1))])").error is None
    ((whole, first, literal),) = seen
    assert [(part.source, str(part)) for part in (whole, first)] == [
        (text.source, "\u6f22\u5b57\nthe last line\n"),
        (text.source, "\u6f22\u5b57\n"),
    ]
    assert literal == "\u6f22\u5b57\n"


@pytest.mark.parametrize(
    ("start_end", "told"),
    [((2, 1), "ends before"), ((0, 10**9), f"of {len(WHOLE.encode())}"), ((4, 9), "cut a character")],
)
def test_forged_places_end_the_session(start: Start, tmp_path: Path, start_end: tuple[int, int], told: str) -> None:
    path = tmp_path / "context"
    path.write_text(WHOLE)
    seen: list[Any] = []
    session = start({"ask": seen.append}, context=Context.of(Text.open(path), "what ?"))
    forged = 'import os, struct\nbody = b\'{"call":"ask","args":[{"$text":[%d,%d]}],"kwargs":{}}\'\n'
    forged += "os.write(3, struct.pack('>I', len(body)) + body)\nprint(os.read(3, 99)[4:])"
    assert session.run(forged % (0, 3)).printed == "b'{\"value\":null}'\n"
    assert str(seen[0]) == "caf"
    lost = session.run(forged % start_end)
    assert lost.lost
    assert told in (lost.error or "")
