"""The report opened from disk in a real browser: every figure is drawn, and nothing is asked of the network."""

import re
from pathlib import Path

import pandas as pd
from playwright.sync_api import Page, expect

from analysis.inference import analyse
from analysis.pages_inference import inference_sections
from analysis.pages_longcontext import longcontext_sections
from analysis.report import FIGURES, write_report
from tests.analysis.inference_rows import inference_table
from tests.analysis.longcontext_rows import longcontext_table

# The law's figures, the held-out one, those of inference and of long contexts.
NUM_FIGURES = len(FIGURES) + 1 + 8 + 2


def test_every_figure_is_drawn_without_a_network(
    sweep: pd.DataFrame, sweep_law: dict, tmp_path: Path, page: Page
) -> None:
    report = tmp_path / "report.html"
    measured = inference_table()
    told = {
        "inference": inference_sections(measured | analyse(measured)),
        "longcontext": longcontext_sections(longcontext_table()),
    }
    write_report(sweep, sweep_law, report, {"revision": "abc"}, **told)
    complaints: list[str] = []
    requested: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(report.as_uri(), wait_until="load")
    plots = page.locator(".js-plotly-plot")
    expect(plots).to_have_count(NUM_FIGURES)
    for index in range(NUM_FIGURES):
        plot = plots.nth(index)
        marks = plot.locator(".gl-container canvas, svg.main-svg .trace path")
        expect(marks.first).to_be_attached()
        size = plot.locator("svg.main-svg").first.bounding_box()
        assert size is not None
        assert min(size["width"], size["height"]) > 100
    surface = page.locator("#figure-surface .gl-container canvas")
    assert surface.evaluate("canvas => canvas.getContext('webgl2') !== null || canvas.getContext('webgl') !== null")
    assert complaints == []
    assert {re.split("[:#]", url)[0] for url in requested} <= {"file", "blob", "data"}
