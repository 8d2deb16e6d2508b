"""The sealed profile: no program gets a word of the text but by a model, and none outlives its limits."""

import time
from collections.abc import Iterator

import pytest

from rlm.sandbox.sealed import Sealed
from rlm.sandbox.session import Limits, Session
from rlm.text import Text

SECRET = "quetzal"
CONTEXT = f"the first line\nthe word is {SECRET}\nthe last line\n"
LIMITS = Limits(seconds=0.5, memory_bytes=64 << 20, printed=500, calls=2000)


@pytest.fixture(scope="module")
def sealed() -> Iterator[Sealed]:
    with Sealed() as sandbox:
        yield sandbox


@pytest.fixture
def heard() -> list[object]:
    """What the host's function was called with."""
    return []


@pytest.fixture
def session(sealed: Sealed, heard: list[object]) -> Iterator[Session]:
    def ask(question: str, text: Text | str) -> str:
        heard.append(text)
        return f"read {len(str(text))}"

    def fail() -> None:
        raise OSError("/secret/path is gone")

    one = sealed.session({"ask": ask, "fail": fail}, LIMITS, Text.of(CONTEXT), "What is on a first line?")
    yield one
    one.close()


LEAKS = {
    "str": "print(str(context))",
    "repr": "repr(context)",
    "format": "f'{context} {context!r} {context:>20}'",
    "percent": "print('%s %r' % (context, context))",
    "value": "context",
    "list": "print([context, {'a': context}])",
    "iterate": "for part in context: print(part)",
    "index": "print(context[0])",
    "slice": "print(context[0:20])",
    "concatenate": "print('' + context)",
    "join": "print(''.join(context.split(8)))",
    "contains": "print('quetzal' in context)",
    "compare": "print(context == 'the first line', context < 'z')",
    "compare parts": "a, b = context.lines(0, 1), context.lines(1, 2)\nprint(a < b, sorted([a, b]))",
    "hash": "print(hash(context))",
    "bytes": "print(bytes(context))",
    "encode": "print(context.encode())",
    "attribute": "print(context.text)",
    "private": "print(context._text, context.__dict__)",
    "vars": "print(vars(context))",
    "dir": "print([getattr(context, name) for name in dir(context)])",
    "getattr": "print(getattr(context, 'te' + 'xt'))",
    "source": "print(context.lines(0, 9).source.data)",
    "question": "print(context.question)",
    "method": "print(context.lines.__self__)",
    "globals": "print(ask.__globals__, ask.__closure__)",
    "class": "print(type(context).__init__, type(context).__mro__)",
    "subclasses": "print(().__class__.__base__.__subclasses__())",
    "json": "import json\nprint(json.dumps(context))",
    "json default": "import json\nprint(json.dumps(context, default=str))",
    "error": "raise ValueError(context)",
    "assert": "assert context == 'x', context",
    "key error": "{}[context]",
    "int": "int(context)",
    "len": "print(len(context))",
    "max": "print(max(context.split(8)))",
    "set": "print(set(context.split(8)))",
    "counter": "from collections import Counter\nprint(Counter(context.split(8)))",
    "grep": "print(context.grep('quetzal')[0].size)",
    "grep all": "print([context.grep(c) for c in 'abcdefghijklmnopqrstuvwxyz'])",
    "grep empty": "print(context.grep(''))",
    "open": "print(open('/etc/passwd').read())",
    "file": "print(open('/proc/self/environ').read())",
    "path": "from pathlib import Path\nprint(Path('/etc/passwd').read_text())",
    "import os": "import os\nprint(os.environ)",
    "import re": "import re\nprint(re.findall('q.*', str(context)))",
    "import sys": "import sys\nprint(sys.modules)",
    "import builtins": "__import__('os').system('id')",
    "eval": "print(eval('__import__(\"os\").environ'))",
    "exec": "exec('import os')\nprint(os.getcwd())",
    "host error": "fail()",
    "what Python cannot parse": 'import re\nprint(f"{re.findall(\'q.*\', str(context))[0]}{dict(a=1)["a"]}")',
    "peek at another": "print(context.lines(1, 2).lines(0, 1))",
}


@pytest.mark.parametrize("program", LEAKS.values(), ids=LEAKS)
def test_no_program_gets_a_word_of_the_text(session: Session, program: str) -> None:
    ran = session.run(program)
    told = f"{ran.printed}{ran.error}"
    assert not any(word in told for word in ("the word", "root:", "HOME", "True"))
    assert SECRET not in told or SECRET in program
    assert SECRET not in ran.printed
    assert session.run("print(1 + 1)").printed == "2\n"


def test_sizes_lines_and_literals_of_the_question_are_told(session: Session) -> None:
    assert session.run("print(context.size, context.num_lines)").printed == f"{len(CONTEXT)} 3\n"
    assert session.run("[part.size for part in context.split(20)]").printed == "[15, 20, 14]\n"
    assert session.run("[line.size for line in context.grep('first line')]").printed == "[15]\n"
    assert "it stands neither in the question nor in an answer" in (session.run("context.grep('last')").error or "")


def test_literals_of_an_answer_are_told_too(session: Session) -> None:
    assert "neither" in (session.run("context.grep('the')[0].size").error or "")
    assert session.run("ask('q', context)").printed == "'read 49'\n"
    assert session.run("context.grep('read 4')").printed == "[]\n"


def test_texts_reach_the_host_whole(session: Session, heard: list[object]) -> None:
    assert session.run("ask('q', context.lines(1, 2))").printed == "'read 20'\n"
    assert str(heard[0]) == f"the word is {SECRET}\n"
    session.run("ask('q', text='a literal')")
    assert heard[1] == "a literal"


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("while True: pass", "TimeoutError"),
        ("x = 10 ** 10 ** 8", "MemoryError"),
        ("x = [0] * 10 ** 9", "MemoryError"),
        ("x = 'a'\nwhile True: x += x", "MemoryError"),
        ("def f(): return f()\nf()", "RecursionError"),
        ("(" * 3000 + ")" * 3000, "SyntaxError"),
        ("sum(range(10 ** 12))", "TimeoutError"),
        ("for _ in range(10 ** 9): ask('q', 'x')", "RuntimeError"),
        ("raise SystemExit", "SystemExit"),
        ("import time\ntime.sleep(100)", "ImportError"),
        ("while True:\n    try:\n        while True: pass\n    except BaseException: pass", "TimeoutError"),
        ("\ud800", "SyntaxError"),
        ("a\0b", "SyntaxError"),
    ],
)
def test_what_takes_too_much_ends_and_the_next_program_runs(session: Session, program: str, error: str) -> None:
    began = time.perf_counter()
    ran = session.run(program)
    assert time.perf_counter() - began < LIMITS.seconds + 2
    assert error in (ran.error or "")
    assert session.run("print(1 + 1)").printed == "2\n"


def test_what_is_printed_is_kept_to_the_limit(session: Session) -> None:
    ran = session.run("for number in range(1000): print('0123456789')")
    assert ran.printed == "0123456789\n" * 45 + "01234" + "\n[10500 characters more]\n"
    assert "TimeoutError" in (session.run("while True: print('x' * 100)").error or "")


def test_names_stay_after_an_error_and_go_with_a_lost_session(session: Session) -> None:
    assert session.run("kept = 1\n1 / 0").error == "ZeroDivisionError: division by zero"
    assert session.run("kept").printed == "1\n"
    assert session.run("while True: pass").lost
    assert session.run("kept").error == "NameError: name 'kept' is not defined"


def test_sessions_know_nothing_of_each_other(sealed: Sealed) -> None:
    first, second = (sealed.session({}, LIMITS, Text.of("text"), "q") for _ in range(2))
    first.run("mine = 1")
    assert second.run("mine").error == "NameError: name 'mine' is not defined"
    first.close()
    again = sealed.session({}, LIMITS, Text.of("text"), "q")
    assert again.run("mine").error == "NameError: name 'mine' is not defined"
    for session in (second, again):
        session.close()


def test_seconds_are_the_programs_own(sealed: Sealed) -> None:
    session = sealed.session({"wait": lambda: time.sleep(0.8)}, LIMITS, Text.of("text"), "q")
    ran = session.run("wait()")
    assert (ran.error, ran.lost) == (None, False)
    assert ran.seconds < 0.4
    session.close()


@pytest.mark.parametrize("name", ["seconds", "memory_bytes", "printed", "calls"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} 0: give more than 0"):
        Limits(**{name: 0})
