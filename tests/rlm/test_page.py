"""A trace as a page: the tree, what each program did and cost; in a browser, and safe whatever a model wrote."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rlm.lm import Messages, Price, Scripted
from rlm.page import SHOWN, tree, write_page
from rlm.solver import RLM
from rlm.trace import read_events

if TYPE_CHECKING:
    from playwright.sync_api import Page

EVIL = "<script>document.title = 'broken'</script>"


def answer(messages: Messages) -> str:
    """A root that hands two parts to solvers; each asks a reader, who writes HTML and far too much."""
    if not messages[0].content.startswith("You answer"):
        return EVIL + "a" * (SHOWN + 10)
    if "whole" in messages[1].content:
        return (
            "```python\nfound = rlm_all('part', context.split(8))\nprint(undefined)\n```"
            if len(messages) == 2
            else ("```python\nanswer(len(found))\n```")
        )
    return "```python\nprint(ask('q', context))\nanswer(1)\n```"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "run.jsonl"
    RLM(Scripted(answer, price=Price(1.0, 2.0)), depth=2, trace=path).solve(f"whole {EVIL}", "x\ny\n" * 4)
    return path


def test_the_tree_has_every_call_under_who_made_it(trace: Path) -> None:
    events = read_events(trace)
    root = tree(events)
    calls = [event for event in events if event["event"] == "call"]
    assert root.total("calls") == len(calls) == 2 + 2 * 2
    assert root.total("tokens") == sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
    assert root.total("usd") == pytest.approx(sum(call["usd"] for call in calls))
    kinds = [step.begin["question"] if hasattr(step, "begin") else step["event"] for step in root.steps]
    assert kinds == ["call", "part", "part", "program", "call", "program"]


def test_what_did_not_begin_is_refused() -> None:
    with pytest.raises(ValueError, match="no run that began"):
        tree([])


def test_a_run_that_a_crash_ended_is_drawn_as_far_as_it_went(trace: Path, tmp_path: Path) -> None:
    write_page(read_events(trace)[:6], tmp_path / "run.html")
    assert "not ended" in (tmp_path / "run.html").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_in_a_browser(trace: Path, tmp_path: Path, page: "Page", scheme, width: int) -> None:
    write_page(read_events(trace), tmp_path / "run.html")
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((tmp_path / "run.html").as_uri())
    assert told == []
    assert page.title() == f"whole {EVIL}"
    assert page.locator("details.node").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    reply = page.locator("details.ask").first
    reply.locator("summary").click()
    assert "characters more in the trace" in reply.inner_text()
    assert "NameError: name 'undefined' is not defined" in page.inner_text("body")
