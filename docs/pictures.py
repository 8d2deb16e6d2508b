"""The pictures of these pages, figures of a report found by heading: `python docs/pictures.py REPORT FOLDER`."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURES = {
    "law": "Loss against tokens",
    "saturation": "Loss far past the compute-optimal tokens",
    "emergence": "Thresholds and widths",
    "inference": "What does each acceleration gain, and at what size?",
    "longcontext": "Scores as texts grow",
}


def main(report: Path, folder: Path) -> None:
    """Writes a PNG a page into the folder; raises where the report has no figure of that heading."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],  # WebGL without a GPU
        )
        page = browser.new_page(viewport={"width": 1100, "height": 1200})
        page.set_default_timeout(100_000)  # Three dimensions are drawn without a GPU.
        page.goto(report.resolve().as_uri())
        for name, heading in PICTURES.items():
            figure = page.locator(f'.figure[aria-label="{heading}"]').first  # of the laptop's rows, before archives
            figure.scroll_into_view_if_needed()  # It is drawn when somebody comes near.
            figure.locator(".main-svg").first.wait_for()
            figure.screenshot(path=folder / f"{name}.png")
            print(folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
