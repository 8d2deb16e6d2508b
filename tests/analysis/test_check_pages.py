"""Checks on a page: a figure a kind, verdicts in colour, the last check row by row."""

from pathlib import Path

from playwright.sync_api import Page

from analysis.page import write_page
from analysis.pages_check import check_sections
from tests.analysis.check_results import HISTORY
from tests.browsing import see_all


def test_a_figure_a_kind_and_a_table_of_the_last_check() -> None:
    *figures, last = check_sections(HISTORY)
    assert [section.title.split()[0] for section in figures] == ["Golden", "Errors", "What", "Speed"]
    golden, errors, _, speed = ({trace.name: trace for trace in one.figure.data} for one in figures)
    assert list(golden["same"].y) == [0.0]
    assert [round(y, 6) for y in golden["regressed"].y] == [1.0]
    assert golden["regressed"].x[0] == "2026-01-12T04:00:00Z"
    assert list(errors["regressed"].y) == [9.0]  # of no errors there is no ratio
    assert [round(y, 6) for y in speed["regressed"].y] == [25.0]
    assert golden["same"].marker.color != golden["regressed"].marker.color
    assert "2 checks, 1 of them failed" in figures[0].note
    assert [row[2] for row in last.rows] == ["regressed", "regressed", "skipped", "same"]
    assert "failed, in speed, detector" in last.note


def test_no_check_has_no_section() -> None:
    assert check_sections([]) == []


def test_a_browser_draws_them(tmp_path: Path, page: Page) -> None:
    write_page(tmp_path / "page.html", "Checks", check_sections(HISTORY))
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    assert see_all(page) == 4
    assert errors == []
