"""`scalelab solve` as a user runs it: a file, a model behind a server, an answer; and what it refuses."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm.sandbox.jail import Jail
from rlm.sandbox.layers import missing
from tests.serving import completion, reader

CONTEXT = "x\ny\n" * 20


def scalelab(root: Path, place: Path, *arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[str]":
    """The command line."""
    return subprocess.run(
        [sys.executable, "-m", "experiments", *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(root)},
        input=stdin.decode("latin-1"),
        encoding="latin-1",
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "context.txt").write_text(CONTEXT)
    return tmp_path


ASKED = ("solve", "--question", "How many x?", "--context", "context.txt", "--lm", "openai:m")


@pytest.mark.parametrize(
    ("added", "told"),
    [
        (("--unsafe-local",), "--unsafe-local is of the open profile: add --profile open, or leave it out"),
        (("--lm", "openai:m") * 2, "lm: 3 models, but depth 1 calls no more than 2: give fewer, or depth 2"),
    ],
    ids=["unsafe", "models"],
)
def test_what_would_do_nothing_is_refused(root: Path, place: Path, serve, added: tuple[str, ...], told: str) -> None:
    url = serve(reader, {"max_model_len": 4096}).url
    done = scalelab(root, place, *ASKED, "--base-url", url, *added)
    assert (done.returncode, done.stderr) == (2, f"scalelab: {told}\n")


def test_an_answer_its_cost_its_trace_and_its_page(root: Path, place: Path, serve) -> None:
    url = serve(reader, {"max_model_len": 4096}).url
    outs = ("--trace", "run.jsonl", "--html", "run.html", "--json", "found.json")
    done = scalelab(root, place, *ASKED, "--base-url", url, *outs)
    assert (done.returncode, done.stdout) == (0, "20\n"), done.stderr
    assert done.stderr.startswith("sandbox: interpreter, process\nsolver 0: nothing printed\ndone: 11 calls")
    found = json.loads((place / "found.json").read_text())
    assert {name: found[name] for name in ("answer", "status", "depth", "calls", "usd", "trace")} == {
        "answer": 20,
        "status": "done",
        "depth": 1,
        "calls": 11,
        "usd": 0.0,
        "trace": "run.jsonl",
    }
    assert "How many x?" in (place / "run.html").read_text()
    again = scalelab(root, place, *ASKED, "--base-url", url, "--trace", "run.jsonl", "--resume", "--json", "-")
    assert json.loads(again.stdout)["answer"] == 20


def test_standard_input_and_folders(root: Path, place: Path, serve) -> None:
    url = serve(reader, {"max_model_len": 4096}).url
    asked = [*ASKED, "--base-url", url]
    asked[4] = "-"
    assert scalelab(root, place, *asked, stdin=CONTEXT.encode()).stdout == "20\n"
    asked[4] = "."
    assert scalelab(root, place, *asked).stdout == "20\n"


def test_open_programs_have_all_of_python_and_say_what_holds_them(root: Path, place: Path, serve) -> None:
    def reads(asked: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        return completion(asked, "```python\nimport re\nanswer(len(re.findall('x', str(context))))\n```")

    url = serve(reads, {"max_model_len": 4096}).url
    with Jail(unsafe=True) as jail:
        lacking = missing(jail.layers)
    if lacking:
        pytest.skip(lacking)
    done = scalelab(root, place, *ASKED, "--base-url", url, "--profile", "open")
    assert done.stdout == "20\n", done.stderr
    assert done.stderr.startswith("sandbox: environment, ")
    assert ", seccomp\n" in done.stderr


def test_a_dry_run_says_what_would_be_asked_and_asks_nothing(root: Path, place: Path, serve) -> None:
    server = serve(reader, {"max_model_len": 4096})
    done = scalelab(root, place, *ASKED, "--base-url", server.url, "--dry-run")
    assert done.stdout.startswith("80 characters in 40 lines, about 1 windows of m; sealed profile, depth 1")
    assert not server.heard


def test_a_budget_that_ends_is_told(root: Path, place: Path, serve) -> None:
    url = serve(reader, {"max_model_len": 4096}).url
    done = scalelab(root, place, *ASKED, "--base-url", url, "--max-calls", "5")
    assert (done.returncode, done.stdout) == (1, "no answer\n")
    assert "exhausted (the budget's calls: 1 asked for, 0 left): 5 calls" in done.stderr


def test_the_pages_command_and_its_lines_of_python(root: Path, place: Path, serve) -> None:
    url = serve(reader, {"max_model_len": 4096}).url
    section = (root / "docs/long-context.md").read_text().partition("## Ask about a text that no window holds\n")[2]
    blocks = re.findall(r"```(python|sh)\n(scalelab solve .*?|from .*?)```", section, re.DOTALL)[:2]
    assert [language for language, _ in blocks] == ["sh", "python"]
    (place / "archive.txt").write_text(CONTEXT)
    command, snippet = (re.sub(r"http://\S+/v1", url, code).replace("MODEL", "m") for _, code in blocks)
    assert scalelab(root, place, *shlex.split(command)[1:]).stdout == "20\n"
    assert (place / "run.html").exists()
    ran = subprocess.run(
        [sys.executable, "-c", snippet],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "20\n"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"--context": "nowhere"}, "context nowhere does not exist: name a file, a folder or -"),
        ({"--context": "binary"}, "context binary: a NUL after byte 0: it is no text; convert it first"),
        ({"--question": " "}, "the question is empty: ask something"),
        ({"--lm": "openai:other"}, "model 'other': URL has m"),
        ({"--lm": "gpt"}, "--lm 'gpt': give builtin, hf:PATH or openai:MODEL"),
        ({"--lm": "builtin"}, "params.yaml is not there: run at the root of a scalelab checkout"),
        ({"--lm": "hf:nowhere"}, "lm hf:nowhere: no config.json there: name a Hugging Face directory"),
        (
            {"--base-url": "http://127.0.0.1:9/v1"},
            "base_url http://127.0.0.1:9/v1: Connection error. start the server,",
        ),
        ({"--max-usd": "1"}, "--max-usd 1 needs prices: give --usd-read and --usd-written"),
        ({"--max-calls": "-1"}, "budget: calls -1: give 0 or more"),
        ({"--depth": "-1"}, "depth -1: give 0 or more"),
        ({"--html": "out.html"}, "--html out.html is drawn from a trace: give --trace too"),
        ({"--trace": "binary"}, "trace binary is there already: name another file, or resume it"),
        ({"--json": "context.txt"}, "--json context.txt is that of --context too: name another file"),
        ({"--trace": "t", "--html": "t"}, "--html t is that of --trace too: name another file"),
        ({"--trace": "t", "--html": "."}, "--html . is a folder: name another file"),
        ({"--base-url": "localhost:8000"}, "base_url localhost:8000: it has no http:// or https://: give one as http:"),
        ({"--lm": "builtin", "--window": "4096"}, "--window 4096: --lm builtin has its own: leave it out"),
    ],
)
def test_bad_input_is_refused_in_a_line(place: Path, newcomer, serve, changed: dict[str, str], told: str) -> None:
    (place / "binary").write_bytes(b"\0")
    server = serve(reader, {"max_model_len": 4096})
    asked = dict(zip(ASKED[1::2], ASKED[2::2], strict=True)) | {"--base-url": server.url} | changed
    refused = newcomer.refusal("solve", *(part for pair in asked.items() for part in pair))
    assert refused.startswith(f"scalelab: {told.replace('URL', server.url)}")
    assert not server.heard
