"""`transformers serve` on a checkpoint of ours: through HTTP a solver finds what it finds with the folder itself."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.import_utils import is_serve_available

from rlm.hf import HuggingFace
from rlm.lm import Message, ModelError
from rlm.policy import Trained, root_prompt
from rlm.prompts import Chat
from rlm.server import Server, connect
from rlm.solver import RLM
from rlm.trace import last_run, read_events
from tests.rlm.served import CONTEXT, KINDS, PROGRAM, QUESTION, WINDOW, Served, train

pytestmark = pytest.mark.skipif(not is_serve_available(), reason="needs transformers[serving]: fastapi and uvicorn")

FOUND = list(KINDS.values())
NUM_CALLS = 1 + len(KINDS)


def page_command(root: Path, begin: str, **words: str) -> list[str]:
    """The command of docs/own-models.md that begins so, with these words for the placeholders."""
    (command,) = re.findall(rf"`({begin} [^`]*\bDIR\b[^`]*)`", (root / "docs/own-models.md").read_text())
    return shlex.split(re.sub(r"\b[A-Z]+\b", lambda word: shlex.quote(words[word[0]]), command))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def served(folder: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """As the page starts it; a test that kills it starts it again."""
    server = Served(page_command(root, "transformers serve", DIR=str(folder)), tmp_path_factory.mktemp("home"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


def calls(trace: Path) -> list[tuple[Any, ...]]:
    """What was asked, answered and counted; side by side is in no order."""
    fields = ("kind", "messages", "reply", "prompt_tokens", "completion_tokens")
    return sorted(tuple(event[name] for name in fields) for event in read_events(trace) if event["event"] == "call")


def programs(trace: Path) -> list[str]:
    return [event["code"].strip() for event in read_events(trace) if event["event"] == "program"]


@pytest.mark.parametrize("prompts", [Trained(), Chat()], ids=["trained", "chat"])
def test_answers_programs_and_tokens_are_those_of_the_folder(
    served: Served, folder: Path, tmp_path: Path, prompts: Trained | Chat
) -> None:
    before, through, direct = served.num_chats, tmp_path / "through", tmp_path / "direct"
    lm = connect(str(folder), served.url, window=WINDOW)
    found = RLM(lm, prompts=prompts, trace=through).solve(QUESTION, CONTEXT)
    expected = RLM(HuggingFace(folder), prompts=prompts, trace=direct).solve(QUESTION, CONTEXT)
    assert (found.answer, found.status, found.calls) == (FOUND, "done", NUM_CALLS)
    assert (found.answer, found.tokens) == (expected.answer, expected.tokens)
    assert programs(through) == programs(direct) == [PROGRAM]
    assert calls(through) == calls(direct)
    assert served.num_chats == before + NUM_CALLS


def test_the_pages_commands(served: Served, folder: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "archive.txt").write_text(CONTEXT)
    words = {"Q": QUESTION, "FILE": "archive.txt", "DIR": str(folder), "TOKENS": str(WINDOW)}
    _, *command = page_command(root, "scalelab solve", **words)
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *command, "--base-url", served.url, "--json", "found.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "found.json").read_text())
    assert (told["answer"], told["status"], told["calls"]) == (FOUND, "done", NUM_CALLS)


def test_what_it_does_not_tell_and_what_it_does_not_have(served: Served, folder: Path) -> None:
    with pytest.raises(ValueError, match=f"window: {served.url} does not tell that of {folder}; give --window"):
        connect(str(folder), served.url)
    found = RLM(connect("other", served.url, window=WINDOW)).solve(QUESTION, CONTEXT)
    assert (found.status, found.tokens) == ("failed", 0)
    assert re.fullmatch(r"other: the server answered 400: .* pinned to .*; requested 'other'.*", found.reason)


def test_an_answer_is_no_longer_than_was_asked_and_a_prompt_no_longer_than_the_window(
    served: Served, folder: Path, run
) -> None:
    asked = (Message("user", root_prompt(QUESTION, len(KINDS), 1)),)
    reply = run(connect(str(folder), served.url, window=WINDOW).complete(asked, 3))
    assert (reply.text, reply.completion_tokens) == ("answer(ask_all", 3)
    with pytest.raises(ModelError, match="9 tokens read and 3 written do not fit a window of 9: give less text"):
        run(connect(str(folder), served.url, window=9).complete(asked, 3))


def test_a_server_that_is_killed_is_told_of_in_a_line_and_the_run_goes_on_with_the_next(
    served: Served, folder: Path, tmp_path: Path
) -> None:
    """Two sub-calls are under way when it is killed; of the four, one or two have been answered."""
    path = tmp_path / "trace"

    def kill(event: dict[str, Any]) -> None:
        if event["event"] == "call" and event["kind"] == "ask":
            served.kill()

    lm = Server(str(folder), WINDOW, served.url, num_retries=0)
    found = RLM(lm, prompts=Trained(), trace=path, listen=kill, concurrency=2).solve(QUESTION, CONTEXT)
    assert (found.status, found.answer, found.reason) == ("failed", None, f"{folder}: Connection error.")
    asked = [event for event in read_events(path) if event["event"] == "call"]
    answered = [call["key"] for call in asked if not call["error"]]
    assert 1 < len(answered) < NUM_CALLS

    served.start()
    lm = connect(str(folder), served.url, window=WINDOW)
    found = RLM(lm, prompts=Trained(), trace=path, resume=True).solve(QUESTION, CONTEXT)
    assert (found.answer, found.status) == (FOUND, "done")
    assert found.calls == NUM_CALLS + len(asked) - len(answered)
    again = [event for event in last_run(read_events(path)) if event["event"] == "call"]
    assert sorted(event["key"] for event in again if event["replayed"]) == sorted(answered)
    assert served.num_chats == NUM_CALLS - len(answered)
