"""Dials: what they say where they stand, against the results themselves; and one turned in a real JupyterLab."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from analysis import dials
from analysis.forecast import Forecaster
from analysis.points import read_points
from tests.web import free_port, served

DRAWN_WITHIN_MS = 120_000  # the page is large and the kernel imports scipy, slowly on a busy machine


@pytest.fixture(scope="module")
def results(root: Path) -> Path:
    """The committed results."""
    return root / "results"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def lines(dial: Any) -> list[str]:
    return re.findall(r"<div>(.*?)</div>", dial.children[-2].value)


def drawn(dial: Any) -> list[dict[str, Any]]:
    """Traces of the figure."""
    return dial.children[-1].outputs[0]["data"]["application/vnd.plotly.v1+json"]["data"]


def test_budget_dial_says_what_the_law_says_and_draws_it(results: Path) -> None:
    law = read(results / "law.json")
    dial = dials.budget_dial(law)
    flops, served = dial.children[:2]
    told = set()
    for exponent in (13.0, 14.0):
        flops.value = 10**exponent
        best = Forecaster.of(law).best(flops.value)
        low, high = best["pi95"]
        assert f"loss {best['loss']:.4f} ({low:.4f} to {high:.4f}, 95% of further runs)" in lines(dial)
        (star,) = (trace for trace in drawn(dial) if trace.get("name") == "the forecast")
        assert star["y"] == [best["loss"]]
        assert np.isclose(star["x"][0], flops.value)
        told.add(lines(dial)[1])
    assert len(told) == 2
    # Serving out of the same budget: the loss can only be higher, and too much of it is refused in words.
    served.value = 1e7
    assert float(re.findall(r"loss (\S+)", " ".join(lines(dial)))[0]) > best["loss"]
    served.value = 1e12
    assert "cost" in lines(dial)[0]
    assert dial.children[-1].outputs == ()


def test_dial_of_the_docs_is_made_of_anyones_law(results: Path, root: Path) -> None:
    (documented,) = re.findall(r"```python\n(.*?)```", (root / "docs/notebooks.md").read_text(), re.DOTALL)
    there: dict[str, Any] = {}
    exec(
        documented.replace("LAW.json", str(results / "law.json")).replace("\nbudget_dial(", "\ndial = budget_dial("),
        there,
    )
    assert lines(there["dial"]) == lines(dials.budget_dial(read(results / "law.json")))


def test_eps_dial_has_the_written_numbers_where_there_are_some(results: Path) -> None:
    found = read(results / "saturation.json")
    dial = dials.eps_dial(read_points(results / "saturation_points.csv"), found)
    slider = dial.children[0]
    slider.value = 0.05
    assert lines(dial)[0] == "Doubling the data lowers the loss by less than 3.4%:"  # as the report's answer has it
    exact = [line for line in lines(dial) if "parameters" in line]
    assert len(exact) == len(found["sizes"])
    assert all("(" in line for line in exact)
    # At an eps that was not drawn the chosen form alone tells, between its neighbours.
    reached = [size for size in found["sizes"] if all(entry["reached"] for entry in size["d_sat"][:2])]
    assert reached
    for size in reached:
        later, entry, earlier = (dials.saturation_at(size, eps) for eps in (0.03, 0.04, 0.05))
        assert later["tokens"] > entry["tokens"] > earlier["tokens"]
    slider.value = 0.04
    assert not any("(" in line for line in lines(dial) if "parameters" in line)


def test_every_place_of_the_other_dials_says_something_and_draws(results: Path) -> None:
    scores, labels = pd.read_csv(results / "emergence_scores.csv"), read(results / "emergence.json")
    table, contexts = read(results / "inference.json"), read(results / "longcontext.json")
    made = (dials.task_dial(scores, labels), dials.technique_dial(table), dials.windows_dial(contexts))
    for dial in made:
        said = set()
        menu = dial.children[0]
        for index in range(len(menu.options)):
            menu.index = index
            said.add(dial.children[-2].value)
            assert drawn(dial)
        assert len(said) == len(menu.options)
    techniques, sizes = made[1].children[:2]
    techniques.value = "speculative"
    for row in (row for row in table["rows"] if row["technique"] == "speculative"):
        sizes.value = float(row["params"])
        assert f"{row['ratio']:.3g}" in lines(made[1])[0]
    techniques.value = "int8-weight-only"
    assert lines(made[1]) == [f"int8-weight-only was not measured at {dials.si(sizes.value)} parameters."]


@pytest.fixture
def lab(root: Path, tmp_path: Path) -> Iterator[str]:
    """Address of a real JupyterLab, without this machine's settings, on a checkout with the committed results."""
    place = tmp_path / "checkout"
    shutil.copytree(root / "analysis" / "notebooks", place / "analysis" / "notebooks")
    shutil.copytree(root / "results", place / "results", ignore=shutil.ignore_patterns("*.html"))
    (place / "params.yaml").touch()
    port = free_port()
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "RUNTIME", "DATA")}
    # All cells are in the page, not only those in view.
    settings = tmp_path / "config" / "lab" / "user-settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    own |= {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(root)}
    # No token: the port is this machine's alone, for as long as the test takes.
    command = ["jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--ServerApp.root_dir={place}"]
    address = f"http://127.0.0.1:{port}"
    with served(command, f"{address}/api", place, tmp_path / "lab.log", {**os.environ, **own}):
        yield address


@pytest.mark.timeout(400)
def test_budget_slider_in_a_browser_changes_what_stands_below_it(lab: str, page: Page) -> None:
    page.set_default_timeout(DRAWN_WITHIN_MS)
    expect.set_options(timeout=DRAWN_WITHIN_MS)
    page.goto(f"{lab}/lab/tree/analysis/notebooks/scaling.ipynb")
    expect(page.locator(".jp-NotebookPanel .jp-CodeCell").first).to_be_visible()
    expect(page.get_by_text("| Idle")).to_be_visible()
    page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
    page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
    told = page.locator(".widget-html", has_text="FLOPs:").first
    expect(told).to_contain_text("best size")
    before = told.inner_text()
    slider = page.locator(".widget-slider .noUi-handle").first
    slider.focus()
    slider.press("ArrowRight")
    expect(told).not_to_contain_text(before.splitlines()[0])
    after = told.inner_text()
    spent = [float(re.findall(r"Of (\S+) FLOPs", text)[0]) for text in (before, after)]
    assert np.isclose(spent[1] / spent[0], 10**0.1, rtol=0.01)
    losses = [float(re.findall(r"loss (\S+)", text)[0]) for text in (before, after)]
    assert losses[1] < losses[0]
    expect(page.locator(".jp-OutputArea .js-plotly-plot").first).to_be_attached()
