"""What a user sees of long contexts: every number is one of the table, every sentence follows from it."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from playwright.sync_api import Page, expect

from analysis.figures_longcontext import means_over_tasks, score_against_length, score_against_tokens
from analysis.longcontext import (
    MATCHED,
    arm_name,
    arms_of,
    compared,
    contrast_of,
    is_baseline,
    matched,
    noted_windows,
    rows_of,
    shared_windows,
)
from analysis.page import Section
from analysis.pages_longcontext import QUESTION, longcontext_sections
from analysis.paired import contrasts, mean_interval
from analysis.report import Group, write_report
from analysis.wording_longcontext import rot_sentence, summary
from experiments import kept, longcontext_report
from tests.analysis.longcontext_rows import CHANCE, LOST_ON, READINGS, WINDOW, longcontext_table
from tests.analysis.test_pages import texts
from tests.browsing import complaints_of, see_all


@pytest.fixture(scope="module")
def table() -> dict:
    """The content of longcontext.json, read back as a page reads it."""
    return json.loads(json.dumps(longcontext_table()))


@pytest.fixture
def changed(table: dict) -> dict:
    """Another one, to be changed."""
    return copy.deepcopy(table)


def titled(sections: list[Section], title: str) -> Section:
    (section,) = [section for section in sections if section.title.startswith(title)]
    return section


def drawn(figure: go.Figure) -> list[tuple]:
    """Arm, place, score and interval of every point but those of chance."""
    return [
        (trace.name, x, y, y - below, y + above)
        for trace in figure.data
        if trace.name != "chance"
        for x, y, below, above in zip(trace.x, trace.y, trace.error_y.arrayminus, trace.error_y.array, strict=True)
    ]


def numbers(points: list[tuple]) -> np.ndarray:
    return np.array([point[1:] for point in sorted(points)], dtype=float)


def test_every_score_is_drawn_once_with_its_interval(table: dict) -> None:
    figure = score_against_length(table)
    told = [(arm_name(row), row["length_windows"], row["accuracy"], *row["ci95"]) for row in table["rows"]]
    assert [name for name, *_ in sorted(drawn(figure))] == [name for name, *_ in sorted(told)]
    np.testing.assert_allclose(numbers(drawn(figure)), numbers(told), atol=1e-12)
    assert [note.text for note in figure.layout.annotations] == [
        f"<b>{task}</b><br><sup>reads {reading}</sup>" for task, reading in READINGS.items()
    ]
    floors = [trace for trace in figure.data if trace.name == "chance"]
    assert len(floors) == len(READINGS)
    assert all(set(trace.y) == {CHANCE} and trace.line.dash == "dot" for trace in floors)


def test_sealed_and_open_programs_are_never_one_line(table: dict) -> None:
    figure = score_against_length(table)
    dashes = {trace.name: trace.line.dash for trace in figure.data}
    assert (dashes["rlm-1, sealed"], dashes["rlm-1, open"]) == ("solid", "dash")
    for trace in figure.data[1 : len(arms_of(table["rows"])) + 1]:
        assert len(set(trace.x)) == len(trace.x)
    titles = [section.title for section in longcontext_sections(table)]
    assert titles[:2] == [f"{QUESTION} Programs: sealed", f"{QUESTION} Programs: open"]


def test_costs_are_of_the_noted_length_and_of_the_longest_that_all_arms_share(table: dict) -> None:
    assert (noted_windows(table), shared_windows(table)) == (64, 16)
    figure = score_against_tokens(table)
    assert figure.layout.annotations[0].text == "<b>mean over tasks</b>"
    means, points = figure.data[0].xaxis, []
    for trace in figure.data:
        if trace.xaxis != means:
            points += drawn(go.Figure(trace))
            assert trace.marker.symbol.startswith("circle" if "64 windows" in trace.text[0] else "x")
    told = [
        (arm_name(row), row["tokens"], row["accuracy"], *row["ci95"])
        for windows in (16, 64)
        for row in rows_of(table, length_windows=windows)
    ]
    np.testing.assert_allclose(numbers(points), numbers(told), atol=1e-12)


def test_means_over_tasks_are_of_the_same_tasks_for_every_arm(changed: dict) -> None:
    changed["rows"].remove(rows_of(changed, task="count", arm="bm25", length_windows=64)[0])
    figure = score_against_tokens(changed)
    for trace in [one for one in figure.data if one.xaxis == figure.data[0].xaxis and "64 windows" in one.text[0]]:
        own = [r for r in rows_of(changed, length_windows=64) if arm_name(r) == trace.name and r["task"] != "count"]
        assert trace.y[0] == pytest.approx(np.mean([row["accuracy"] for row in own]))
        assert trace.error_y.array[0] == pytest.approx(
            np.sqrt(sum((row["ci95"][1] - row["accuracy"]) ** 2 for row in own)) / len(own)
        )


def test_a_mean_over_tasks_is_left_open_where_all_answers_are_right() -> None:
    """Of three tasks, 40 of 40 each: Wilson's ends are z^2 / (40 + z^2) below, together a square root of three less."""
    right = longcontext_table(("chain", "count", "argmax"), (64,), (("bm25", None),))
    for row in right["rows"]:
        row |= {"scores": [1.0] * 40, "accuracy": 1.0, "ci95": list(mean_interval([1.0] * 40))}
    (found,) = means_over_tasks(right, 64)
    z2 = 1.959964**2
    assert found["ci95"] == pytest.approx([1 - z2 / (40 + z2) / np.sqrt(3), 1])


def test_comparisons_are_with_the_best_baseline_of_the_same_items(table: dict) -> None:
    section = titled(longcontext_sections(table), "rlm-1 against")
    noted = [row for row in section.rows if row[1] == "sealed" and row[3] == "64"]
    assert [row[0] for row in noted] == list(READINGS)
    for row in noted:
        own = rows_of(table, task=row[0], length_windows=64)
        best = max((one for one in own if not one["arm"].startswith("rlm")), key=lambda one: one["accuracy"])
        (solver,) = rows_of(table, task=row[0], length_windows=64, arm="rlm-1", profile="sealed")
        assert row[4] == f"{CHANCE:.2f}"
        assert row[6].startswith(f"{arm_name(best)} {best['accuracy']:.3g} (")
        assert float(row[7].split()[0]) == pytest.approx(solver["accuracy"] - best["accuracy"], abs=0.0051)
        times = f"{solver['tokens'] / best['tokens']:.3g}"
        assert row[8] == f"{times} ({times} to {times})", "every item takes as many tokens"
        (alone,) = rows_of(table, task=row[0], length_windows=64, arm="rlm-0")
        assert float(row[9].split()[0]) == pytest.approx(solver["accuracy"] - alone["accuracy"], abs=0.0051)
    assert all("sealed" not in row[6] for row in section.rows if row[1] == "open")
    assert {row[3] for row in section.rows} == {"64", "256"}
    assert [row[0] for row in section.rows if row[3] == "64" and row[1] == "open"] == list(READINGS)


def test_the_best_baseline_is_one_that_can_be_compared(changed: dict) -> None:
    """The best of count was run on other items, the next failed before it was asked: then it is the third."""
    alike = [one for one in rows_of(changed, task="count", length_windows=64) if is_baseline(one, "sealed")]
    first, second, third, *_ = sorted(alike, key=lambda one: -one["accuracy"])
    first["num_items"], second["tokens"] = 16, 0
    (solver,) = rows_of(changed, task="count", length_windows=64, arm="rlm-1", profile="sealed")
    found = compared(changed, solver)
    assert found.other is third
    assert found.contrast is not None
    assert (found.contrast["arm"], found.contrast["against"]) == ("rlm-1", third["arm"])


def test_baselines_that_guess_are_told(changed: dict) -> None:
    assert "The best baseline is itself not above chance on 0 of the 10 tasks. " in summary(changed, "sealed")
    for task in ("chain", LOST_ON):
        for row in rows_of(changed, task=task, length_windows=64):
            if is_baseline(row, "sealed"):
                row["chance"] = 0.9999
    said = summary(changed, "sealed")
    assert "not above chance on 2 of the 10 tasks, 1 of them among those on which rlm-1 scores higher. " in said


def test_the_summary_counts_what_the_intervals_tell(table: dict) -> None:
    said = summary(table, "sealed")
    verdicts = []
    for task in READINGS:
        own = rows_of(table, task=task, length_windows=64)
        best = max((one for one in own if not one["arm"].startswith("rlm")), key=lambda one: one["accuracy"])
        (told,) = [
            one for one in table["contrasts"]
            if (one["arm"], one["profile"], one["task"], one["length_windows"]) == ("rlm-1", "sealed", task, 64)
            and one["against"] == best["arm"]
        ]  # fmt: skip
        verdicts.append(np.sign(told["ci95"]).sum())
    higher, lower = sum(v == 2 for v in verdicts), sum(v == -2 for v in verdicts)
    assert lower == 1
    assert said.startswith(
        f"At 64 windows of {WINDOW} tokens, rlm-1 scores higher than the best baseline on {higher} of 10 tasks, "
        "lower on 1, "
    )
    assert f"Recursion loses on {LOST_ON} (summary 1.00, rlm-1 " in said
    assert "It shows no gain on semniah (bm25 1.00, rlm-1 1.00 for 55.5 times the tokens)" in said
    assert "At the longest, 256 windows, " in said
    assert "Where one window holds the whole text, direct is above chance on 10 of 10 tasks. " in said


def test_the_summary_turns_with_the_numbers(changed: dict) -> None:
    for one in changed["contrasts"]:
        low, high = sorted(map(abs, one["ci95"]))
        one["ci95"] = [-high - 0.2, -low - 0.1]
    said = summary(changed, "sealed")
    assert "higher than the best baseline on 0 of 10 tasks, lower on 10" in said
    assert said.count("Recursion loses on ") == 1
    assert "no gain" not in said
    note = titled(longcontext_sections(changed), "rlm-1 against").note
    tasks = ", ".join(READINGS)
    assert f"Calls of the model add to programs alone (rlm-0) on 0 of 10 tasks; they lose on {tasks}. " in note
    assert "(rlm-2) add to that on 10 of 10 tasks. " in note
    assert f"It is not above chance on {LOST_ON}." in note


def test_steps_are_told_by_verdict(changed: dict) -> None:
    """Calls lose on one task, show no gain on another, and add on the rest."""
    for one in changed["contrasts"]:
        if one["length_windows"] == 64 and one["against"] == "rlm-0":
            one["ci95"] = {"chain": [-0.3, -0.1], "count": [-0.1, 0.2]}.get(one["task"], [0.1, 0.3])
    note = titled(longcontext_sections(changed), "rlm-1 against").note
    assert "(rlm-0) on 8 of 10 tasks; they lose on chain; no gain is shown on count. " in note


def test_the_baseline_that_falls_is_one_of_as_many_tasks_as_any(changed: dict) -> None:
    """map-reduce ends highest; without a task of it at 64 windows, it stands beside no baseline of all ten."""
    assert "over 10 tasks goes from " in rot_sentence(changed, "sealed")
    assert " for map-reduce, which ends highest of the baselines with as many " in rot_sentence(changed, "sealed")
    changed["rows"].remove(rows_of(changed, task="count", arm="map-reduce", length_windows=64)[0])
    assert "over 10 tasks goes from " in rot_sentence(changed, "sealed")
    assert "map-reduce" not in rot_sentence(changed, "sealed")


def test_a_contrast_is_found_whichever_way_round_and_in_its_own_profile() -> None:
    row = {"task": "t", "length_windows": 4, "arm": "rlm-2", "profile": "sealed"}
    told = {**row, "arm": "rlm-1", "against": "rlm-2", "difference": 0.2, "ci95": [0.1, 0.4], "tokens_ratio": 0.5}
    told["tokens_ratio_ci95"] = [0.25, 0.8]
    found = contrast_of({"contrasts": [told]}, row, "rlm-1")
    assert found is not None
    assert (found["difference"], found["ci95"], found["tokens_ratio"]) == (-0.2, [-0.4, -0.1], 2)
    assert found["tokens_ratio_ci95"] == [1.25, 4]
    assert contrast_of({"contrasts": [told]}, row | {"profile": "open"}, "rlm-1") is None


def test_gates_stand_beside_the_results_and_say_where_they_fail(table: dict) -> None:
    said = longcontext_sections(table)
    gates = {row[0]: row[2] for row in titled(said, "Honesty gates").rows}
    assert gates["shuffled leaf"] == "at chance in 9 of 10; above it: semniah, 256 windows 0.40, chance 0.08"
    assert gates["constant leaf"] == "at chance in 10 of 10"
    assert gates["oracle program"] == "0.99 on average, least 0.90 (semniah, 256 windows)"
    beside = titled(said, "Gates beside the results")
    first = dict(zip(beside.columns, beside.rows[0], strict=True))
    (row,) = rows_of(table, task="semniah", length_windows=256, arm="rlm-1", profile="open")
    assert first["rlm-1, open"].startswith(f"{row['accuracy']:.3g} (")
    assert first["regex"] == "0.08 (0.03 to 0.13), lines"


def test_matched_tokens_are_counted_by_arm(table: dict) -> None:
    section = titled(longcontext_sections(table), f"For at most {MATCHED:g} times the tokens")
    told = {row[:2]: row for row in section.rows}
    own = [one for one in matched(table) if (one["against"], one["profile"]) == ("map-reduce", "sealed")]
    higher, lower = sum(one["ci95"][0] > 0 for one in own), sum(one["ci95"][1] < 0 for one in own)
    counts = (str(len(own)), str(higher), str(lower), str(len(own) - higher - lower))
    assert told["map-reduce", "sealed"][2:6] == counts
    assert dict(zip(section.columns, told["map-reduce", "sealed"], strict=True))["higher"] == str(higher)


def test_tokens_are_matched_up_to_the_threshold_and_not_beyond() -> None:
    """Of the solver alone, and whatever it scores."""
    table = longcontext_table(("count",), (4,), (("bm25", None), ("rlm-1", "sealed"), ("rlm-2", "sealed")))
    found = {}
    for tokens in (0.01, MATCHED - 0.01, MATCHED, MATCHED + 0.01):
        for row in table["rows"]:
            row["tokens_by_item"] = [100.0 if row["arm"] == "bm25" else 100.0 * tokens] * 40
        pairs = {"contrasts": contrasts(table["rows"], ("rlm-1", "rlm-2"))}
        found[tokens] = [(one["arm"], one["against"]) for one in matched(pairs)]
    within = [("rlm-1", "bm25"), ("rlm-1", "rlm-2")]
    assert list(found.values()) == [within, within, within, [("rlm-1", "rlm-2")]]


def test_a_run_without_an_answer_is_told(changed: dict) -> None:
    (row,) = rows_of(changed, task="chain", length_windows=64, arm="rlm-1", profile="sealed")
    row |= {"failed": 3, "exhausted": 5, "reason": "max_turns 12: no final answer until then"}
    rows_of(changed, task="count", length_windows=4, arm="bm25")[0].update(failed=1, reason="no line fits")
    items = sum(one["num_items"] for one in changed["rows"])
    note = titled(longcontext_sections(changed), "Scores as").note
    assert note.endswith(
        f" Of {items:,} items 9 ended without a final answer, most often 20% of rlm-1, sealed on chain, 64 windows "
        "(max_turns 12: no final answer until then)."
    )


def test_a_small_table_says_what_is_missing() -> None:
    small = longcontext_table(("count",), (1, 4), (("direct", None), ("bm25", None)))
    small |= {"gates": {}}
    said = longcontext_sections(small)
    assert said[0].note == "No row is of rlm-1: 4 rows are of other arms alone."
    assert [section.title for section in said[1:]] == ["Scores as texts grow", "What a right answer costs"]
    alone = longcontext_table(("count",), (1, 4), (("rlm-1", "open"),))
    assert "no baseline is compared with rlm-1" in summary(alone, "open")
    short = longcontext_table(("count",), (1, 4), (("rlm-1", "open"),))
    short["rows"] += longcontext_table(("count",), (64,), (("bm25", None),))["rows"]
    assert summary(short, "open") == "rlm-1 was not measured at 64 windows or more."
    assert "nan" not in texts(longcontext_sections(short))


def test_the_report_shows_own_results_and_those_of_the_archive(
    table: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(longcontext_report, "LONGCONTEXT", tmp_path / "results" / "longcontext.json")
    monkeypatch.setattr(kept, "ARCHIVE", tmp_path / "archive")
    assert longcontext_report.report_sections() == []
    for folder in ("results", "archive/epyc"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "longcontext.json").write_text(json.dumps(table))
    sections = longcontext_report.report_sections()
    own, archived = sections[: len(sections) // 2], sections[len(sections) // 2 :]
    assert [(section.title, section.note) for section in archived] == [(one.title, one.note) for one in own]
    assert {section.origin for section in archived} == {"epyc, longcontext preset, revision 0123abc"}
    assert {section.origin for section in own} == {""}


@pytest.mark.parametrize("width", [1400, 390])
def test_a_browser_draws_the_section(table: dict, tmp_path: Path, page: Page, width: int) -> None:
    complaints = complaints_of(page)
    write_report([Group("longcontext", "Long contexts", longcontext_sections(table))], tmp_path / "report.html", {})
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((tmp_path / "report.html").as_uri(), wait_until="load")
    assert see_all(page) == 2
    expect(page.get_by_role("heading", name=f"{QUESTION} Programs: sealed")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []


def test_the_notebook_tells_any_table(table: dict, root: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "longcontext.json").write_text(json.dumps(table))
    for name in ("analysis/notebooks/longcontext.ipynb", "params.yaml"):
        shutil.copy(root / name, tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "--nbmake", "longcontext.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
