"""Programs in what a model wrote: found, and parsed."""

import ast
import re
import textwrap
import threading

# CPython 3.11 counts the depth of a tree that it makes for all threads together: two at once raise SystemError.
PARSING = threading.Lock()


def parsed(program: str) -> ast.Module:
    """The program's tree; raises SyntaxError for what is no Python."""
    with PARSING:
        try:
            return ast.parse(program)
        except (ValueError, RecursionError, MemoryError) as error:  # a NUL or a surrogate, and brackets in brackets
            raise SyntaxError(str(error) or "nested too deeply") from None


def is_program(text: str) -> bool:
    """Whether it is Python."""
    try:
        parsed(text)
    except SyntaxError:
        return False
    return True


FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([^`\n]*?)[ \t]*$", re.MULTILINE)
LANGUAGES = ("", "python", "python3", "py", "repl")


def fenced_program(reply: str) -> str | None:
    """What stands in the first fence for Python, or for no language.

    A program may have fences in its strings: of the lines that could close it, the first counts after which it can be
    parsed, and where none can, the first. A fence that nothing closes ends with the reply.
    """
    place = 0
    while opening := FENCE.search(reply, place):
        fence, body = opening[1], opening.end() + 1
        closing = re.compile(rf"^[ \t]*{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
        ends = [found.start() for found in closing.finditer(reply, body)] or [len(reply)]
        if opening[2].lower() in LANGUAGES:
            programs = [textwrap.dedent(reply[body:end]) for end in ends]
            return next((program for program in programs if is_program(program)), programs[0])
        closed = closing.search(reply, body)
        if closed is None:
            return None
        place = closed.end()
    return None
