"""A model behind a server, whatever the server does: a real one over HTTP that misbehaves as it is told."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from rlm.budget import Budget
from rlm.lm import Message, ModelError, Price
from rlm.server import Server, connect
from rlm.solver import RLM, Solution
from rlm.trace import read_events
from tests.serving import Answer, completion, reader


def solve(url: str, path: Path, **settings: Any) -> Solution:
    """How many x there are: twenty."""
    lm = Server("m", 4096, url, timeout=settings.pop("timeout", 20.0), num_retries=settings.pop("num_retries", 2))
    return RLM(lm, trace=path, leaf_tokens=64, **settings).solve("How many x?", "x\ny\n" * 20)


def test_it_answers_and_what_it_counts_is_in_the_ledger(serve, tmp_path: Path) -> None:
    server = serve(reader)
    found = solve(server.url, tmp_path / "t")
    assert (found.answer, found.status, found.calls) == (20, "done", 11)
    calls = [event for event in read_events(tmp_path / "t") if event["event"] == "call"]
    words = sum(len(message["content"].split()) for asked in server.heard for message in asked["messages"])
    assert sum(call["prompt_tokens"] for call in calls) == words
    assert {asked["temperature"] for asked in server.heard} == {0.0}


def test_one_server_answers_one_run_after_another(serve) -> None:
    lm = Server("m", 4096, serve(reader).url)
    for _ in range(2):
        assert RLM(lm).solve("How many x?", "x\ny\n" * 20).answer == 20


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "completion_tokens": 3}, {"prompt_tokens": -1}])
def test_what_the_server_does_not_count_counts_as_the_most_it_can_be(serve, tmp_path: Path, usage) -> None:
    def uncounted(asked: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        status, body, headers = completion(asked, "```python\nanswer(1)\n```")
        return status, json.dumps(json.loads(body) | {"usage": usage}).encode(), headers

    found = solve(serve(uncounted).url, tmp_path / "t")
    (call,) = (event for event in read_events(tmp_path / "t") if event["event"] == "call")
    lm = Server("m", 4096, "http://127.0.0.1:9/v1")
    messages = tuple(Message(role, content) for role, content in call["messages"])
    assert found.tokens == lm.most_tokens(messages) + 1024


def once(answer: Answer, bad: tuple[int, bytes, dict[str, str]]) -> Answer:
    """The third request goes wrong."""
    number = iter(range(10_000))
    return lambda asked: bad if next(number) == 2 else answer(asked)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_may_succeed_the_second_time_is_asked_again(serve, tmp_path: Path, status: int) -> None:
    server = serve(once(reader, (status, b'{"error": {"message": "busy"}}', {"retry-after-ms": "10"})))
    found = solve(server.url, tmp_path / "t")
    assert (found.answer, found.status, found.calls, len(server.heard)) == (20, "done", 12, 12)
    calls = [event for event in read_events(tmp_path / "t") if event["event"] == "call"]
    (failed,) = [call for call in calls if call["error"]]
    assert failed["error"].startswith(f"m: the server answered {status}: ")
    assert (failed["completion_tokens"] == 0) == (status < 500)
    assert found.tokens == sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
    again = solve(server.url, tmp_path / "t", resume=True)
    assert (again.answer, again.calls, again.tokens, len(server.heard)) == (20, 12, found.tokens, 12)


def test_what_is_asked_again_passes_no_cap(serve, tmp_path: Path) -> None:
    server = serve(once(reader, (503, b"{}", {"retry-after-ms": "10"})))
    found = solve(server.url, tmp_path / "t", budget=Budget(calls=11), max_turns=1)
    assert (found.status, found.calls, len(server.heard)) == ("exhausted", 11, 11)


def test_each_attempt_costs_what_it_may_have_and_waits_longer(serve, tmp_path: Path) -> None:
    """The last is refused before anything is read; the others may have been read and answered."""
    statuses = iter([500, 503, 429])
    server = serve(lambda asked: (next(statuses), b"{}", {}))
    began = time.perf_counter()
    found = solve(server.url, tmp_path / "t")
    assert 1.5 * 0.75 <= time.perf_counter() - began < 10
    assert (found.status, found.calls, len(server.heard)) == ("failed", 3, 3)
    first, second, third = (event for event in read_events(tmp_path / "t") if event["event"] == "call")
    assert first["completion_tokens"] == second["completion_tokens"] == 1024
    assert first["prompt_tokens"] == second["prompt_tokens"] > 1000
    assert (third["prompt_tokens"], third["completion_tokens"]) == (0, 0)
    assert found.tokens == 2 * (first["prompt_tokens"] + 1024)


@pytest.mark.parametrize(
    ("headers", "budget", "status"),
    [
        ({"retry-after": "121"}, Budget(), "failed"),
        ({"x-should-retry": "false"}, Budget(), "failed"),
        ({"retry-after": "60"}, Budget(seconds=30), "exhausted"),
    ],
    ids=["too late", "refused", "no time"],
)
def test_what_is_not_waited_for(serve, tmp_path: Path, headers: dict[str, str], budget: Budget, status: str) -> None:
    server = serve(lambda asked: (429, b"{}", headers))
    began = time.perf_counter()
    found = solve(server.url, tmp_path / "t", budget=budget)
    assert time.perf_counter() - began < 10
    assert (found.status, found.calls, len(server.heard)) == (status, 1, 1)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ((200, b"<html>gateway</html>", {"content-type": "text/html"}), "a malformed reply"),
        ((200, b'{"choices": ', {}), "a malformed reply"),
        ((200, b'{"choices": []}', {}), "a malformed reply"),
        ((200, b'{"choices": [{"message": {"content": null}}]}', {}), "a malformed reply"),
        ((200, b"[1, 2]", {}), "a malformed reply"),
        ((400, b'{"error": {"message": "too long for me"}}', {}), "the server answered 400: .*too long for me"),
        ((400, b'{"detail": "pinned to another"}', {}), "the server answered 400: .*pinned to another"),
        ((401, b'{"error": {"message": "who are you"}}', {}), "the server answered 401: .*who are you"),
    ],
    ids=["html", "cut", "no choice", "null", "list", "400", "detail", "401"],
)
def test_what_will_not_is_told_in_a_line_and_resumed(serve, tmp_path: Path, bad, told: str) -> None:
    """The program hears of it; the run goes on from its trace, and asks what has no answer yet."""
    server = serve(once(reader, bad))
    found = solve(server.url, tmp_path / "t", max_turns=1)
    assert found.status == "exhausted"
    failed = [event for event in read_events(tmp_path / "t") if event["event"] == "call" and event["error"]]
    assert len(failed) == 1
    assert re.search(told, failed[0]["error"])
    assert "\n" not in failed[0]["error"]
    heard = len(server.heard)
    assert solve(server.url, tmp_path / "t", max_turns=1, resume=True).answer == 20
    assert len(server.heard) == heard + 1


def test_a_server_that_dies_is_told_of_and_the_run_goes_on_with_another(serve, tmp_path: Path) -> None:
    server = serve(reader)

    server.answer = lambda asked: reader(asked) if len(server.heard) < 6 else None
    found = solve(server.url, tmp_path / "t", num_retries=0, concurrency=1)
    assert (found.status, found.answer, found.reason) == ("failed", None, "m: Connection error.")
    answered = sum(event["event"] == "call" and not event["error"] for event in read_events(tmp_path / "t"))
    another = serve(reader)
    assert solve(another.url, tmp_path / "t", resume=True).answer == 20
    assert len(another.heard) == 11 - answered


def test_a_slow_reply_is_not_waited_for(serve, tmp_path: Path) -> None:
    def slow(asked: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        time.sleep(1.0)
        return reader(asked)

    found = solve(serve(slow).url, tmp_path / "t", timeout=0.2, num_retries=1)
    assert (found.status, found.reason) == ("failed", "m: Request timed out.")


@pytest.mark.parametrize(
    ("entry", "pages"),
    [
        ({"max_model_len": 8192}, {}),
        ({"context_length": 8192}, {}),
        ({"meta": {"n_ctx": 8192}}, {}),
        ({}, {"/props": {"default_generation_settings": {"n_ctx": 8192}}}),
    ],
    ids=["vLLM", "OpenRouter", "meta", "llama.cpp"],
)
def test_the_window_is_read_from_the_server(serve, entry: dict, pages: dict) -> None:
    assert connect("m", serve(reader, entry, pages).url).window == 8192


def test_what_cannot_be_reached_or_is_not_there_is_refused(serve) -> None:
    url = serve(reader).url
    with pytest.raises(ValueError, match=f"window: {url} does not tell that of m; give --window"):
        connect("m", url)
    assert connect("m", url, window=1000).window == 1000
    with pytest.raises(ValueError, match=f"model 'other': {url} has m"):
        connect("other", url)
    with pytest.raises(ValueError, match=r"base_url http://127.0.0.1:9/v1: Connection error. start the server"):
        connect("m", "http://127.0.0.1:9/v1")
    with pytest.raises(ValueError, match=r"base_url http://\[::bad: Invalid port: ':bad': give one as"):
        connect("m", "http://[::bad")


def test_a_website_is_no_server_of_models(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(handler: Any) -> None:
        handler.give(200, b"<html></html>", {"content-type": "text/html"})

    server = serve(reader)
    monkeypatch.setattr(server.RequestHandlerClass, "do_GET", page)
    for window in (None, 4096):
        with pytest.raises(ValueError, match=f"base_url {server.url}: its list of models is no JSON: give one as http"):
            connect("m", server.url, window=window)
    with pytest.raises(ValueError, match="base_url localhost:1: it has no http:// or https://: give one as http"):
        connect("m", "localhost:1")


def test_what_does_not_fit_the_window_is_no_answer(serve, run) -> None:
    """Servers that read past it answer what a model was never trained for."""

    def long(asked: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        return completion(asked, "word " * 9)

    lm = Server("m", 10, serve(long).url)
    assert run(lm.complete((Message("user", "one"),), 9)).tokens == 10
    with pytest.raises(ModelError, match="m: 2 tokens read and 9 written do not fit a window of 10: give less text"):
        run(lm.complete((Message("user", "one two"),), 9))


def test_a_prompt_never_has_more_tokens_than_are_reserved() -> None:
    lm = Server("m", 1000, "http://127.0.0.1:9/v1", price=Price(1.0, 2.0))
    messages = (Message("user", "\u6f22" * 100),)
    assert (lm.num_tokens(messages), lm.most_tokens(messages)) == (100, 300 + 256 + 64)
    assert lm.most_tokens((Message("user", "a" * 5000),)) == 1000
