"""A page as a reader goes through it: figures are drawn when they come into sight."""

import re

from playwright.sync_api import Page, expect

DRAWN = re.compile("js-plotly-plot")


def see_all(page: Page) -> int:
    """Opens every fold and brings every figure into sight, which must be drawn then; returns how many there are."""
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    figures = page.locator(".figure").all()
    for figure in figures:
        figure.scroll_into_view_if_needed()
        expect(figure).to_have_class(DRAWN)
        expect(figure.locator(".gl-container canvas, svg.main-svg .trace :is(path, text)").first).to_be_attached()
    return len(figures)


def complaints_of(page: Page) -> list[str]:
    """Grows by every error on the console and every request that failed."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    return found
