"""The pages of `--html`: what they hold, and that a browser without a network draws every figure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page

from analysis.curves.extrapolate import extrapolate
from analysis.curves.table import read_curves
from analysis.design import choose_runs
from analysis.forecast import Forecaster
from analysis.page import Section, write_page
from analysis.pages import curves_page, design_page, forecast_page
from analysis.pages_law import MEANINGS, fit_page
from analysis.pages_saturation import saturation_page
from analysis.saturation import fit_saturation
from analysis.scaling import fit_law
from analysis.wording import plain
from tests.analysis.test_saturation import SETTINGS, family
from tests.browsing import complaints_of, see_all


def texts(sections: list[Section]) -> str:
    return " ".join(
        " ".join([s.title, s.note, *s.columns, *(cell for row in s.rows for cell in row)]) for s in sections
    )


@pytest.mark.parametrize("form", ["hoffmann", "kaplan", "repeated", "fixed-n", "fixed-d", "power"])
def test_every_law_has_a_page_of_what_it_has(sweep: pd.DataFrame, quick, form: str, tmp_path: Path) -> None:
    points = sweep.assign(unique_tokens=np.minimum(sweep["tokens"], 2_100_000))
    law = fit_law(points, replace(quick, law=form), {"runs.csv": "digest"})
    title, sections = fit_page(points, law)
    assert title == "Scaling law of runs.csv"
    said = texts(sections)
    for name, value in law["params"].items():
        assert f"{MEANINGS.get(name, name)} {plain(value, 4)} " in said
    drawn = [section.title for section in sections if section.figure is not None]
    assert ("Equal compute" in drawn) == (form in ("hoffmann", "kaplan"))
    assert ("Loss against tokens" in drawn) == (form not in ("fixed-d", "repeated"))
    assert ("Loss against parameters" in drawn) == (form == "fixed-d")
    for finding in law["diagnostics"]:
        assert finding["remedy"] in said
    write_page(tmp_path / "page.html", title, sections)
    assert "Scaling law of runs.csv" in (tmp_path / "page.html").read_text()


def test_what_a_table_says_cannot_break_the_page(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "<b>", [Section("</script>", "a & b", None, ("x",), [("<i>",)])])
    page = (tmp_path / "page.html").read_text()
    assert "&lt;/script&gt;" in page
    assert "<td>&lt;i&gt;</td>" in page


def test_a_browser_draws_every_page(sweep: pd.DataFrame, sweep_law: dict, tmp_path: Path, page: Page) -> None:
    forecaster = Forecaster.of(sweep_law)
    flops = 10 * forecaster.ranges["flops"][1]
    runs = choose_runs(forecaster, flops, flops / 10, 3)
    found = forecaster.best(flops) | {"warnings": ["far out"]}
    table = pd.concat([family("fresh", 1), family("epochs", 2)], ignore_index=True)
    rows = [f"{x},{2 + 50 * x**-0.5},{'test' if x > 400 else 'train'}\n" for x in range(100, 900, 50)]
    (tmp_path / "curves.csv").write_text("x,y,split\n" + "".join(rows))
    curves = read_curves(tmp_path / "curves.csv")
    (curve,) = curves
    ahead = extrapolate(curve.log_x_N, curve.log_y_N, np.log(curve.test_x_T))
    low, high = (np.exp(ahead.log_y_T + sign * ahead.half_width_T) for sign in (-1, 1))
    told = {"x": curve.test_x_T, "yhat": np.exp(ahead.log_y_T), "lo95": low, "hi95": high}
    pages = [
        (fit_page(sweep, sweep_law), 5),
        (forecast_page(forecaster, found), 1),
        (design_page(forecaster, {"forecast_flops": flops, "budget": flops / 10, "runs": runs}), 1),
        (saturation_page(table, fit_saturation(table, SETTINGS)), 3),
        (curves_page(curves, pd.DataFrame(told, index=curve.test_rows_T)), 1),
    ]
    complaints = complaints_of(page)
    for (title, sections), least in pages:
        write_page(tmp_path / "page.html", title, sections)
        page.goto((tmp_path / "page.html").as_uri(), wait_until="load")
        num_figures = sum(section.figure is not None for section in sections)
        assert num_figures >= least
        assert see_all(page) == num_figures
    assert complaints == []
