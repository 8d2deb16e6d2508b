"""What a person sees of published runs: the real MLflow interface in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from experiments import track
from tests.web import free_port, served

DRAWN_WITHIN_MS = 60_000  # the interface fetches its table after the page, slowly on a busy machine


@pytest.fixture
def mlflow_server(tracking_uri: str, tmp_path: Path) -> Iterator[str]:
    """Address of a real `mlflow ui` on the test's database."""
    address = f"http://127.0.0.1:{free_port()}"
    command = ["mlflow", "ui", "--backend-store-uri", tracking_uri, "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    with served(command, f"{address}/health", tmp_path, tmp_path / "server.log"):
        yield address


def test_interface_shows_parent_and_children(writer, tracking_uri: str, mlflow_server: str, page: Page) -> None:
    sweep = writer.sweep(2)
    writer.write(sweep)
    track.sync(writer.runs, [sweep], tracking_uri=tracking_uri)
    expect.set_options(timeout=DRAWN_WITHIN_MS)
    page.goto(f"{mlflow_server}/#/experiments")
    page.get_by_text("Model training", exact=True).click()
    page.get_by_role("link", name="scalelab/law").first.click()
    parent = page.get_by_role("link", name=f"law-{sweep.identity[:8]}")
    expect(parent).to_be_visible()
    page.get_by_role("gridcell").filter(has=parent).get_by_role("button").click()
    for cell in sweep.cells:
        expect(page.get_by_role("link", name=cell.name)).to_be_visible()
    page.get_by_role("link", name=sweep.cells[1].name).click()
    expect(page.get_by_role("heading", name=sweep.cells[1].name)).to_be_visible()
    page.get_by_role("tab", name="Model metrics").click()
    for group in ("trunk", "validation"):  # the interface groups metrics by what stands before the slash
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
