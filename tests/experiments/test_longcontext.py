"""The long-context stage on a tiny project: a world, a model of it that has hardly learnt, rows, and refusals."""

import json
import re
import shlex
from typing import Any

import pytest

from analysis.pages_longcontext import longcontext_sections
from analysis.wording_longcontext import AT_CHANCE, BOUNDS, summary
from evals.longcontext import tasks
from evals.longcontext.job import GATES
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.task import ROOM, items
from evals.longcontext.world import WINDOW
from experiments import longcontext
from experiments.longcontext import is_of_present_grid, print_longcontext
from experiments.longcontext_report import OTHER_RUNS
from experiments.project import Project
from rlm.policy import root_prompt
from tests.analysis.longcontext_rows import longcontext_table
from tests.analysis.test_pages import texts
from tests.conftest import Workplace

MODEL = "w0016-s0"
TASKS, ARMS = ("chain", "argmax"), ("direct", "truncation", "map-reduce", "rlm-1")


@pytest.fixture(scope="module")
def place(make_workplace: Any) -> Workplace:
    place = make_workplace()
    training = {**place.tree["suites"]["law"]["training"], "sequence_length": WINDOW, "batch_tokens": 512}
    grid = [{"sizes": [16], "tokens": [10_240]}]
    place.set("world", {"lessons": 100, "held_out": 8, "words": 1200})
    place.set("suites.policy", {"family": "decoder", "data": "world", "grid": grid, "training": training})
    measured = [{"tasks": list(TASKS), "arms": list(ARMS), "windows": [1, 2], "items": 4}]
    measured.append({"tasks": ["chain"], "arms": ["direct"], "windows": [1], "items": 4, "profile": "open"})
    gates = [{"tasks": ["argmax"], "windows": [2], "items": 4}]
    place.set("longcontext", {"model": f"policy/{MODEL}", "measured": measured, "gates": gates})
    assert place.scalelab("world").stdout == f"100 lessons of {place_tokens(place):,} tokens\n"
    place.trained("policy")
    return place


def place_tokens(place: Workplace) -> int:
    return json.loads((place.path / "data/world/tokens/manifest.json").read_text())["train"]["tokens"]


@pytest.fixture(scope="module")
def found(place: Workplace) -> dict[str, Any]:
    done = place.scalelab("longcontext")
    assert done.returncode == 0, done.stderr
    assert "accuracy of policy/w0016-s0" in done.stdout
    return json.loads((place.path / "results/longcontext.json").read_text())


def test_a_row_of_each_task_arm_and_length(found: dict[str, Any]) -> None:
    rows = found["rows"]
    assert sorted((row["task"], row["arm"], row["length_windows"]) for row in rows) == sorted(
        (task, arm, windows) for task in TASKS for arm in ARMS for windows in (1, 2)
    )
    for row in rows:
        assert row["num_items"] == len(row["scores"]) == 4
        low, high = row["ci95"]
        assert low <= row["accuracy"] == sum(row["scores"]) / 4 <= high
        assert row["profile"] == ("sealed" if row["arm"] == "rlm-1" else None)
        assert 0 <= WINDOW * row["length_windows"] - ROOM - row["length_tokens"] < 15
        assert row["calls"] >= 1
        assert row["tokens"] == sum(row["tokens_by_item"]) / 4
        assert row["tokens"] > 100 or row["arm"] == "rlm-1"
    read = {row["length_windows"]: row["tokens"] for row in rows if (row["task"], row["arm"]) == ("argmax", "direct")}
    assert read[2] - read[1] == pytest.approx(WINDOW, abs=40), "a window more is read at once"


def test_a_call_for_each_chunk(found: dict[str, Any]) -> None:
    mapped = next(row for row in found["rows"] if (row["task"], row["arm"]) == ("argmax", "map-reduce"))
    assert mapped["calls"] >= 2


def test_the_table_has_what_the_pages_are_tested_with(found: dict[str, Any]) -> None:
    other = longcontext_table(("chain", "argmax"), (1, 2), (("direct", None), ("rlm-1", "sealed")))
    assert set(found) == set(other)
    for part in ("rows", "contrasts"):
        assert {frozenset(one) for one in found[part]} == {frozenset(one) for one in other[part]}
    assert set(found["model"]) == set(other["model"])
    assert set(found["gates"]) == set(other["gates"]) == set(AT_CHANCE | BOUNDS)
    for gate, (entry,) in found["gates"].items():
        assert set(other["gates"][gate][0]) <= set(entry)
    assert "nan" not in texts(longcontext_sections(found))


def test_the_status_tells_it_and_that_it_is_of_other_rows(place: Workplace, found: dict[str, Any]) -> None:
    said = place.scalelab("status").stdout
    assert f"long contexts: {len(found['rows'])} rows of policy/{MODEL}\n" in said
    assert f"sealed programs: {summary(found, 'sealed')}\n" in said
    assert OTHER_RUNS not in said
    kept = json.loads(json.dumps(place.tree))
    try:
        place.set("longcontext.seed", 5)
        assert f"{OTHER_RUNS}\nlong contexts: " in place.scalelab("status").stdout
    finally:
        place.tree = kept
        place.write()


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [
        ("measured", "tasks", ["chain"]),
        ("measured", "arms", ["direct", "truncation", "map-reduce", "rlm-1", "bm25"]),
        ("measured", "windows", [1, 2, 4]),
        ("measured", "items", 5),
        ("gates", "items", 5),
        ("gates", "tasks", ["chain"]),
    ],
)
def test_a_table_of_another_grid_is_not_current(
    place: Workplace, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch, block: str, key: str, value: Any
) -> None:
    monkeypatch.chdir(place.path)
    kept = json.loads(json.dumps(place.tree))
    assert is_of_present_grid(Project.here())
    try:
        place.tree["longcontext"][block][0][key] = value
        place.write()
        assert not is_of_present_grid(Project.here())
    finally:
        place.tree = kept
        place.write()


def test_a_table_of_other_code_libraries_or_words_read_is_not_current(
    place: Workplace, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.path)
    of_other = [
        (longcontext, "MEASURED_BY", ("rlm",)),
        (longcontext, "READINGS", 5),
        (longcontext.importlib.metadata, "version", lambda library: "0"),
    ]
    for where, name, value in of_other:
        with monkeypatch.context() as patched:
            patched.setattr(where, name, value)
            assert not is_of_present_grid(Project.here())
    assert is_of_present_grid(Project.here())


def test_a_table_that_says_nothing_of_its_rows_is_not_current(
    place: Workplace, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.path)
    told = place.path / "results/longcontext.json"
    kept = told.read_text()
    try:
        told.write_text(json.dumps({name: value for name, value in found.items() if name != "identity"}))
        assert not is_of_present_grid(Project.here())
    finally:
        told.write_text(kept)


def test_the_table_goes_to_mlflow(place: Workplace, found: dict[str, Any]) -> None:
    assert "results/longcontext.json" in place.scalelab("sync", "--dry-run").stdout


def test_sealed_and_open_programs_are_printed_apart(
    found: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    sealed = next(row for row in found["rows"] if row["arm"] == "rlm-1")
    opened = {**sealed, "profile": "open", "accuracy": 0.123}
    print_longcontext({**found, "rows": [*found["rows"], opened]})
    printed = capsys.readouterr().out
    assert "rlm-1, sealed" in printed
    assert "rlm-1, open" in printed
    assert f"0.12 ({sealed['ci95'][0]:.2f} to" in printed


def test_gates_stand_beside_the_rows(found: dict[str, Any]) -> None:
    gates = found["gates"]
    assert set(gates) == set(GATES)
    for rows in gates.values():
        (row,) = rows
        assert (row["task"], row["length_windows"], row["num_items"]) == ("argmax", 2, 4)
    assert gates["oracle_program"][0]["calls"] > 1, "the right program asks leaves, whatever they say"


def test_arms_are_compared_on_the_same_items(found: dict[str, Any]) -> None:
    pairs = {(one["task"], one["length_windows"], one["against"]): one for one in found["contrasts"]}
    assert set(pairs) == {
        (task, windows, arm) for task in TASKS for windows in (1, 2) for arm in ARMS if arm != "rlm-1"
    }
    accuracy = {(row["task"], row["length_windows"], row["arm"]): row["accuracy"] for row in found["rows"]}
    for (task, windows, arm), pair in pairs.items():
        difference = accuracy[task, windows, "rlm-1"] - accuracy[task, windows, arm]
        assert pair["difference"] == pytest.approx(difference)
        assert pair["ci95"][0] <= pair["difference"] <= pair["ci95"][1]
        least, most = pair["tokens_ratio_ci95"]
        assert least * (1 - 1e-9) <= pair["tokens_ratio"] <= most * (1 + 1e-9)


def test_the_model_is_named_with_what_it_was_trained_on(place: Workplace, found: dict[str, Any]) -> None:
    record = json.loads((place.path / f"runs/policy/{MODEL}/t10240/record.json").read_text())
    model = found["model"]
    assert (model["name"], model["trained_tokens"]) == (f"policy/{MODEL}", 10_240)
    assert model["params"] == record["params_total"]
    assert set(model["reading_accuracy"]) >= {"kinds", "kinds, line by line", "rows", "facts", "events"}
    assert all(0 <= share <= 1 for share in model["reading_accuracy"].values())
    assert found["inputs"] == {f"policy/{MODEL}": model["digest"]}


def test_rows_are_kept(place: Workplace, found: dict[str, Any]) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (place.path / "runs/longcontext").iterdir()}
    assert len(kept) == 16 + len(GATES) + 1, "and how well a leaf reads"
    assert place.scalelab("longcontext", "--dry-run").stdout.rstrip().endswith("0 to measure")
    assert place.scalelab("longcontext").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    again = json.loads((place.path / "results/longcontext.json").read_text())
    assert again["rows"] == found["rows"]


def test_the_model_is_there_to_be_asked(place: Workplace, found: dict[str, Any]) -> None:
    """It has learnt nothing: what counts is that a run ends, in the model's own language, and says how."""
    (place.path / "lines.txt").write_text("ana 0 3 1 4 : zorp\neli 2 2 0 1 : fram\n")
    asked = ("solve", "--question", "which kind is most common ?", "--context", "lines.txt")
    done = place.scalelab(*asked, "--trace", "trace.jsonl", "--json", "-", "--max-calls", "3")
    answer = json.loads(done.stdout)
    assert answer["status"] in ("exhausted", "failed", "done")
    assert 1 <= answer["calls"] <= 3
    assert done.returncode == (1 if answer["status"] == "failed" or answer["answer"] is None else 0)
    events = [json.loads(line) for line in (place.path / "trace.jsonl").read_text().splitlines()]
    (role, content) = next(event for event in events if event["event"] == "call")["messages"][0]
    assert (role, content) == ("user", root_prompt("which kind is most common ?", 2, 1))
    refused = place.scalelab(*asked, "--lm", "builtin", "--lm", "openai:m")
    assert refused.returncode == 2
    assert refused.stderr.startswith("scalelab: --lm builtin is asked in a language of its own")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("longcontext.model", "law/w0016-s0", "longcontext.model is 'law/w0016-s0': name a suite whose data is world"),
        ("longcontext.model", "policy/w0032-s0", "longcontext.model is 'policy/w0032-s0': choose one of w0016-s0"),
        ("longcontext.model", "policy", "longcontext: model is 'policy': give suite/cell, as policy/w0064-s0"),
        ("longcontext.measured", [], "longcontext: measured is empty: give at least one block"),
        ("world.words", 7, "world: num_words 7: give 1,200 to 30,000"),
    ],
)
def test_one_line_for_what_cannot_be_measured(place: Workplace, key: str, value: Any, told: str) -> None:
    kept = json.loads(json.dumps(place.tree))
    try:
        place.set(key, value)
        assert told in place.refusal("longcontext")
    finally:
        place.tree = kept
        place.write()


def test_lessons_of_other_settings_are_refused(place: Workplace) -> None:
    kept = json.loads(json.dumps(place.tree))
    try:
        place.set("world.lessons", 101)
        assert "data/world/tokens was built from other settings" in place.refusal("train", "policy")
    finally:
        place.tree = kept
        place.write()


def test_the_pages_item_of_the_built_in_models_world(place: Workplace, found: dict[str, Any]) -> None:
    page = (place.root / "docs/long-context.md").read_text()
    draw, ask = (shlex.split(line)[1:] for line in re.findall(r"^scalelab (?:item|solve).*item\.txt$", page, re.M))
    told = place.scalelab(*draw).stdout
    question = ask[ask.index("--question") + 1]
    assert f"\nquestion: {question}\n" in told
    (item,) = items(tasks.TASKS["argmax"], Lexicon(0, 1200), 16, 1, 0, "held-out")
    assert (place.path / "item.txt").read_text() == item.context
    assert told.endswith(f"\nright answer: {item.gold}\n")
    asked = place.scalelab(*ask)  # of a model that has hardly learnt
    assert asked.returncode in (0, 1)
    assert re.search(r"^(done|exhausted|failed).*: \d+ calls, ", asked.stderr, re.M)
    assert "there is no such task: give one of semniah, " in place.refusal("item", "nope")
    assert "--windows 0: give 1 or more" in place.refusal("item", "chain", "--windows", "0")
    assert "--out nowhere/x cannot be written (No such file" in place.refusal("item", "chain", "--out", "nowhere/x")
