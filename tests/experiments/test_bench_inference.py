"""`scalelab bench inference` as its users run it."""

import json
import subprocess

import pytest


@pytest.fixture(scope="module")
def checkpoint(trained) -> str:
    return str(trained.branch(163_840) / "checkpoint")


def asked(workplace, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return workplace.scalelab("bench", "inference", "--prompt", "16", "--output", "8", "--batch", "2", *arguments)


def test_a_trained_model_has_rows_with_their_checks(workplace, checkpoint: str) -> None:
    done = asked(workplace, "--model", checkpoint, "--technique", "kv-cache", "--json", "-")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [(row["technique"], row["status"]) for row in result["rows"]] == [("kv-cache", "ok")]
    assert result["machine"]["bytes_per_second"] > 1e8
    assert result["machine"]["flops_per_second"]["float32"] > 1e9
    assert result["control"]["repetitions"] == 20
    assert [(check["kind"], check["value"], check["passed"]) for check in result["rows"][0]["checks"]] == [
        ("token-exact", 1.0, True), ("repeated", 1.0, True),
    ]  # fmt: skip


def test_what_would_run_is_said_and_nothing_left(workplace, checkpoint: str) -> None:
    done = asked(workplace, "--model", checkpoint, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "every technique on" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nowhere"], "nowhere is no checkpoint: give a folder with a config.json"),
        (["--text", "nowhere.txt"], "--text nowhere.txt is no file: name one, or leave it out"),
        (["--training-text", "nowhere.txt"], "--training-text nowhere.txt is no file"),
        (["--technique", "magic"], "technique 'magic': give one of kv-cache"),
        (["--technique", "static-cache x batching"], "technique 'static-cache x batching': give one of kv-cache"),
        (["--output", "60"], "prompt_tokens 16 and new_tokens 60: the window of "),
    ],
)
def test_bad_input_is_one_line(workplace, checkpoint: str, arguments: list[str], message: str) -> None:
    model = [] if arguments[0] == "--model" else ["--model", checkpoint]
    assert message in workplace.refusal("bench", "inference", "--prompt", "16", *model, *arguments)
