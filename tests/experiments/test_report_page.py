"""The report of the committed results, as files say it and as a browser without a network shows it."""

import ast
import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from playwright.sync_api import Page, expect

from experiments.report import write_own_report
from experiments.standing import UNTOLD
from tests.browsing import DRAWN, complaints_of, see_all

MOST_BYTES = 8_000_000
HANGS_AFTER_SECONDS = 60
DESKTOP, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
# Notes when the first figure can be pointed at, in seconds since the navigation.
FIRST_FIGURE = """
new MutationObserver((_, observer) => {
  if (!document.querySelector(".js-plotly-plot .nsewdrag, .js-plotly-plot .gl-container canvas")) return;
  window.firstFigure = performance.now() / 1000;
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
"""


@pytest.fixture(scope="session")
def make_project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A new folder with the committed params and results, without corpus and runs."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("reported")
        shutil.copy(root / "params.yaml", folder)
        (folder / "results").mkdir()
        for path in (root / "results").iterdir():
            if path.suffix in (".json", ".csv"):
                shutil.copy(path, folder / "results")
        return folder

    return make


@pytest.fixture(scope="session")
def project(make_project: Callable[[], Path]) -> Path:
    """The folder with its report. Read only."""
    folder = make_project()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert write_own_report(dry_run=True).startswith("would write results/report.html from results/law.json, ")
        assert not (folder / "results/report.html").exists()
        assert write_own_report(dry_run=False).startswith(f"report: {folder}/results/report.html")
    return folder


def test_the_page_is_one_small_file_whose_links_resolve(project: Path) -> None:
    report = project / "results/report.html"
    assert report.stat().st_size < MOST_BYTES
    text = report.read_text()
    assert text.count("plotly.js v") == 1
    own = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    names = re.findall(r' id="([^"]+)"', own)
    assert len(set(names)) == len(names)
    links = re.findall(r'(?:href|src)="([^"]*)"', own)
    assert {link.removeprefix("#") for link in links if link != "data:,"} <= set(names)
    assert {"law", "saturation", "emergence", "inference", "longcontext", "cost", "provenance"} <= set(names)
    for row in json.loads((project / "results/law.json").read_text())["selection"]:
        own = own.replace(row["reason"] or "\0", "")
    assert not re.findall(r"\d\.\d+e\+\d", own), "a number with an exponent"


def test_the_summary_says_what_the_results_say(project: Path) -> None:
    text = (project / "results/report.html").read_text()
    law = json.loads((project / "results/law.json").read_text())
    assert f'<div class="value">{100 * law["heldout"]["mean_abs_rel_error"]:.2f}%</div>' in text
    low, high = (10**end for end in law["exponents"]["a_ci95"])
    assert f"times as large ({low:.2g} to {high:.2g})" in text
    speeds = json.loads((project / "results/inference.json").read_text())["rows"]
    best = max((row for row in speeds if row["status"] == "ok"), key=lambda row: row["ci95"][0])
    assert f'<div class="value">{best["ratio"]:.3g} times</div>' in text
    assert text.count('<div class="answer') == 6
    assert "Nothing measured yet: <code>scalelab check</code> makes it." in text


def test_without_a_corpus_no_chapter_is_said_to_be_of_other_runs(project: Path) -> None:
    text = (project / "results/report.html").read_text()
    assert "of other runs than" not in text
    assert text.count(UNTOLD) == 2 * 5  # over each answer of the summary and over each chapter


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_browser_draws_everything_light_and_dark(
    project: Path, page: Page, size: dict, record_property: Callable[[str, object], None]
) -> None:
    complaints, requested = complaints_of(page), []
    page.on("request", lambda request: requested.append(request.url))
    page.set_viewport_size(size)
    page.emulate_media(color_scheme="light")
    page.add_init_script(FIRST_FIGURE)
    page.goto(f"{(project / 'results/report.html').as_uri()}#loss", wait_until="load")
    page.wait_for_function("window.firstFigure")
    seconds = page.evaluate("window.firstFigure")
    record_property("seconds_to_first_figure", seconds)
    print(f"first figure after {seconds:.2f} s at a width of {size['width']}")
    assert seconds < HANGS_AFTER_SECONDS
    assert see_all(page) == page.locator("script[type='application/json']").count() > 30
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    ink = "getComputedStyle(document.querySelector('#figure-loss .xtick text')).fill"
    before = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{ink} !== {json.dumps(before)}")
    expect(page.locator(".js-plotly-plot")).to_have_count(page.locator(".figure").count())
    assert complaints == []
    assert {re.split("[:#]", url)[0] for url in requested} <= {"file", "blob", "data"}


def test_figures_give_their_data_and_their_picture_away(project: Path, page: Page, tmp_path: Path) -> None:
    page.goto((project / "results/report.html").as_uri(), wait_until="load")

    def taken(kind: str, name: str) -> Path:
        with page.expect_download() as download:
            page.locator(f"button[data-take={kind}][data-of={name}]").click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        return path

    runs = pd.read_csv(project / "results/points.csv")
    table = pd.read_csv(taken("csv", "loss"), dtype={"trace": str})
    drawn = table[table["text"].notna()]
    assert len(drawn) == len(runs)
    np.testing.assert_allclose(np.sort(drawn["y"]), np.sort(runs["loss"]))
    np.testing.assert_allclose(np.sort(drawn["x"]), np.sort(runs["tokens"]))
    np.testing.assert_allclose(np.sort(drawn["y_high"] - drawn["y_low"]), np.sort(4 * runs["loss_se"]))
    assert set(drawn["trace"]) == set(runs["size"].astype(str))
    surface = pd.read_csv(taken("csv", "surface"))
    p = json.loads((project / "results/law.json").read_text())["params"]
    law = p["E"] + p["A"] / surface["x"] ** p["alpha"] + p["B"] / surface["y"] ** p["beta"]
    sheet = surface["trace"] == "law"
    assert sheet.sum() == 1600
    np.testing.assert_allclose(surface["z"][sheet], law[sheet])
    assert taken("png", "loss").read_bytes().startswith(b"\x89PNG")
    # A panel is named in its rows: every score of the map stands under its ability.
    place = page.get_by_role("heading", name="Parameters and tokens").locator("xpath=..")
    page.evaluate("window.scrollTo(0, 0)")
    name = place.get_attribute("id")
    assert name is not None
    with taken("csv", name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["panel"] for row in rows} >= {"induction direct emergent", "parity steps undetermined"}
    assert all(0 <= float(row["value"]) <= 1 for row in rows if row["value"])


def test_a_link_into_a_fold_opens_it_and_what_is_in_it_is_drawn(project: Path, page: Page) -> None:
    page.goto((project / "results/report.html").as_uri(), wait_until="load")
    fold = page.locator("#inference-kept-1")
    assert fold.get_attribute("open") is None
    inside = fold.locator(".figure").first
    page.evaluate(f"location.hash = {json.dumps(inside.get_attribute('id'))}")
    expect(inside).to_have_class(DRAWN)
    page.get_by_role("link", name="Saturation", exact=True).click()
    expect(page.locator("nav a[aria-current]")).to_have_text("Saturation")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".js-plotly-plot")).to_have_count(page.locator(".figure").count())


def test_what_has_no_results_says_what_makes_them(
    make_project: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_project()
    monkeypatch.chdir(folder)
    for name in ("law.json", "saturation.json", "emergence.json", "inference.json"):
        (folder / "results" / name).unlink()
    write_own_report(dry_run=False)
    text = (folder / "results/report.html").read_text()
    for command in ("dvc repro law", "dvc repro saturation", "dvc repro emergence", "dvc repro inference"):
        assert f"Nothing measured yet: <code>{command}</code> makes it." in text
    assert "dvc repro longcontext" not in text
    for path in (folder / "results").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="holds no results to report: run `dvc repro law`"):
        write_own_report(dry_run=False)


def test_dvc_knows_what_the_page_is_made_of(root: Path) -> None:
    """Every module of figures, pages and words that drawing the report imports is a dependency of its stage."""
    listed = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]["report"]["deps"]
    pending, reached = {"experiments.report"}, set()
    while pending:
        name = pending.pop()
        reached.add(name)
        pending |= {one for one in imported(root, name) if one.startswith(("analysis.", "experiments."))} - reached
    drawing = re.compile(r"analysis\.(answers|costs|figures|pages?|panels|report|wording)(_[a-z]+)?")
    files = {f"{name.replace('.', '/')}.py" for name in reached if drawing.fullmatch(name)}
    assert len(files) > 20
    files |= {
        f"analysis/{name}" for name in ("base.html.j2", "canvas.html.j2", "report.html.j2", "page.css", "page.js")
    }
    assert files <= set(listed)


def imported(root: Path, name: str) -> set[str]:
    """The modules that a module imports from, and the modules among what it imports."""
    path = root / f"{name.replace('.', '/')}.py"
    nodes = ast.walk(ast.parse(path.read_text())) if path.is_file() else ()
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {f"{node.module}" for node in found} | {
        f"{node.module}.{each.name}" for node in found for each in node.names
    }
