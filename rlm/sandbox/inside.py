"""What runs in a session's process: programs, one after another, in one namespace.

A program shares this interpreter and may rewrite all that is here. That is allowed for: the kernel confines the
process, and the host believes nothing that it says.
"""

import ast
import builtins
import fcntl
import gc
import io
import linecache
import os
import re
import resource
import signal
import sys
import traceback
import types
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NoReturn

from rlm.sandbox import kernel, layers, values
from rlm.sandbox.binding import Bound, bind
from rlm.sandbox.layers import Layer, Memory
from rlm.sandbox.line import Line, Output

_SOCKET, _CONTEXT, _SPARE = 3, 4, 100
_RECURSION, _COLLECT = 1000, (700, 10, 10)
_MAX_LINES, _MAX_LINE_CHARACTERS = 10, 400
_NAME = re.compile(r'File "(<program) \d+(>)"')


class Told:
    """Ends whatever is raised within it, and keeps what a program is told of it."""

    def __init__(self) -> None:
        self.error: str | None = None

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: Any) -> bool:
        if error is None or kind is None:
            return True
        self.error = kind.__name__  # where its own text cannot be had
        with suppress(BaseException):
            self.error = _described(error, frames)
        return True


def _described(error: BaseException, frames: types.TracebackType | None) -> str:
    """The last lines of the traceback, of which the frames are the program's own."""
    shown = traceback.TracebackException(type(error), error, None, compact=True)
    own = [entry for entry in traceback.extract_tb(frames) if entry.filename.startswith("<program")]
    head = ["Traceback (most recent call last):\n", *traceback.format_list(own)] if own else []
    lines = "".join([*head, *shown.format_exception_only()]).splitlines()[-_MAX_LINES:]
    return _NAME.sub(r'File "\1\2"', "\n".join(line[:_MAX_LINE_CHARACTERS] for line in lines))


def forwarder(name: str, line: Line, output: Output, bound: Bound) -> Callable[..., Any]:
    """What stands for a function of the host."""

    def call(*arguments: Any, **named: Any) -> Any:
        crossing = [values.encode(list(arguments), bound.refer), values.encode(named, bound.refer)]
        frame = values.pack({"call": name, "args": crossing[0], "kwargs": crossing[1]})
        if len(frame) > values.MAX_CALL_BYTES:
            raise ValueError(f"{name}: {len(frame)} bytes in one call, at most {values.MAX_CALL_BYTES}")
        with line.shield():
            output.flush()
            line.send(frame)
            answer = line.receive()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return values.decode(answer["value"], bound.restore)

    call.__name__ = call.__qualname__ = name
    return call


def run(program: str, number: int, namespace: dict[str, Any], output: Output) -> None:
    """Executes; the value of an expression at the end is printed as a prompt does."""
    # A name of its own, so that a later error in a function shows the function's lines.
    name = f"<program {number}>"
    tree = ast.parse(program, name)
    linecache.cache[name] = (len(program), None, program.splitlines(True), name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
        if value is not None:
            output.write(f"{value!r}\n")


def main(descriptor: int, received: list[int], skip: Collection[Layer], memory: Memory) -> NoReturn:
    """Takes the session's socket and the context's file, where there is one; never returns."""
    kernel.die_with_parent()
    _keep(descriptor, *received)
    line = Line(_SOCKET)
    signal.signal(signal.SIGINT, line.interrupt)
    output = Output(line)
    start = line.receive()
    bound = Bound({})
    if received:
        bound = bind(_CONTEXT, start["extra"])
        memory = Memory(memory.limit, memory.before + os.fstat(_CONTEXT).st_size)
        os.close(_CONTEXT)
    held = layers.confine(skip, memory)
    line.send(values.pack({"layers": held}))
    functions = {name: forwarder(name, line, output, bound) for name in start["functions"]}
    _serve(line, output, bound.names, functions, memory if held["limits"] is True else None)


def _serve(
    line: Line,
    output: Output,
    names: dict[str, Any],
    functions: dict[str, Callable[..., Any]],
    memory: Memory | None,
) -> NoReturn:
    """Programs, one after another; within `memory`, where it holds."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    namespace = module.__dict__
    namespace.update(names, __builtins__=builtins)
    number = 0
    bounds = None if memory is None else (memory.bounds(headroom=False), memory.bounds(headroom=True))

    def attempt(program: str) -> None:
        if bounds is None:
            run(program, number, namespace, output)
            return
        # What the error of too much memory is told in is beyond the programs' share.
        within, beyond = bounds
        resource.setrlimit(resource.RLIMIT_AS, within)
        try:
            run(program, number, namespace, output)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, beyond)

    while True:
        request = line.receive()
        number += 1
        namespace.update(functions)  # a program that bound such a name has lost it for itself only
        _settle(line)
        output.begin(request["printed"])
        sys.stdout = sys.stderr = output
        sys.stdin = io.StringIO()
        sys.unraisablehook = _tell_ignored
        # The outer one: for an interrupt that comes before or after the program itself.
        interrupted, told = Told(), Told()
        with interrupted, line.program(), told:
            attempt(request["program"])
        _settle(line)
        output.flush()
        line.send(values.pack({"done": interrupted.error or told.error, "mark": request["mark"]}))


def _tell_ignored(raised: Any) -> None:
    """For an error in a finaliser: without frames, which may be the sandbox's own."""
    print(f"Exception ignored: {raised.exc_type.__name__}: {raised.exc_value}", file=sys.stderr)


def _settle(line: Line) -> None:
    """Undoes what a program may have set for the interpreter."""
    signal.signal(signal.SIGINT, line.interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    sys.settrace(None)
    sys.setprofile(None)
    sys.setrecursionlimit(_RECURSION)
    gc.callbacks.clear()
    gc.set_threshold(*_COLLECT)
    gc.enable()


def _keep(descriptor: int, context: int | None = None) -> None:
    """Closes all that is open but the standard files, the socket and the context, which get fixed places."""
    spare = fcntl.fcntl(descriptor, fcntl.F_DUPFD, _SPARE)
    spare_context = None if context is None else fcntl.fcntl(context, fcntl.F_DUPFD, _SPARE)
    os.dup2(spare, _SOCKET, inheritable=False)
    if spare_context is not None:
        os.dup2(spare_context, _CONTEXT, inheritable=False)
    os.closerange(_SOCKET + 1 if spare_context is None else _CONTEXT + 1, os.sysconf("SC_OPEN_MAX"))
