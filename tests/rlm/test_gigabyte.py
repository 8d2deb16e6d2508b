"""A context of a gigabyte, with characters of one to four bytes: neither host nor jail holds it, nor waits for it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from rlm.lm import Messages, Scripted
from rlm.sandbox.open import Open
from rlm.sandbox.sealed import Sealed
from rlm.sandbox.session import Sandbox
from rlm.solver import RLM
from rlm.text import Text

BYTES = 1 << 30
LINE = "line {0:09d}: a caf\u00e9, \u6f22\u5b57 and \U0001f600 that say nothing, {0} times over and over again\n"
LINES_A_PART = 20_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("gigabyte") / "context.txt"
    with place.open("wb") as file:
        for first in range(0, 1 << 30, LINES_A_PART):
            file.write("".join(map(LINE.format, range(first, first + LINES_A_PART))).encode())
            if file.tell() >= BYTES:
                break
    yield place
    place.unlink()


def held() -> int:
    """Bytes that this process and all below it have in memory; a page that several map counts once."""
    here, num_bytes = psutil.Process(), 0
    for process in (here, *here.children(recursive=True)):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            num_bytes += process.memory_full_info().pss
    return num_bytes


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """The most bytes that were held beyond those at the start, when processes of earlier tests may be there still."""
    most, over, before = 0, threading.Event(), held()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, held() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    yield lambda: most
    over.set()
    thread.join()


def solve(text: Text, sandbox: Callable[[], Sandbox], program: str) -> tuple[object, float]:
    """The answer, and the seconds."""

    def answer(messages: Messages) -> str:
        return f"```python\n{program}\n```" if len(lm.heard) == 1 else messages[-1].content[:14]

    lm = Scripted(answer)
    began = time.perf_counter()
    found = RLM(lm, sandbox).solve("What does line 000000005 say?", text)
    assert found.status == "done"
    return found.answer, time.perf_counter() - began


@pytest.mark.proof
@pytest.mark.timeout(300)
def test_a_few_lines_of_a_gigabyte_cost_nothing_and_all_of_it_no_copy(path: Path, peak: Callable[[], int]) -> None:
    """Opening reads it once; the last program of the open profile then looks at every byte."""
    text = Text.open(path)
    few = "answer(ask_all('q', [context.lines(5, 6), context.lines(9000000, 9000002)]))"
    for sandbox in (Sealed, Open):
        answer, seconds = solve(text, sandbox, few)
        assert answer == ["line 000000005", "line 009000000"]
        assert seconds < 2
    assert peak() < 0.2 * text.num_bytes
    answer, _ = solve(text, Open, "answer([context.find('nowhere'), context.count('\\n') == context.num_lines])")
    assert answer == [-1, True]
    assert peak() < 1.2 * text.num_bytes
