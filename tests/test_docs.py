"""README and the pages of docs: short, linked, and with pictures that can be drawn anew."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import links, pages

PAGES = pages()


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(root: Path, page: str) -> None:
    missing = {str(path.resolve().relative_to(root)) for path in links(root / page) if not path.exists()}
    assert not missing


def test_every_page_is_in_the_index(root: Path) -> None:
    linked = {path.resolve() for path in links(root / "docs/README.md")}
    assert {root / page for page in PAGES if page.startswith("docs/") and page != "docs/README.md"} <= linked


def test_readme_is_read_in_a_minute(root: Path) -> None:
    text = (root / "README.md").read_text()
    assert text.count("\n") < 130
    cells = re.findall(r"^\| `[^`]+` \| (.*) \|$", text, re.MULTILINE)
    assert max(map(len, cells)) < 110


@pytest.fixture
def headings(root: Path) -> dict[str, str]:
    """Of the figures that are drawn, by the name of their picture."""
    return dict(re.findall(r'^    "(\w+)": "(.*)",$', (root / "docs/pictures.py").read_text(), re.MULTILINE))


def test_pictures_are_figures_of_the_report(root: Path, headings: dict[str, str]) -> None:
    report = (root / "results/report.html").read_text()
    for name, heading in headings.items():
        assert f'aria-label="{heading}"' in report
        assert (root / "docs" / f"{name}.png").stat().st_size < 100_000
        assert any(f"]({name}.png)" in (root / page).read_text() for page in PAGES)


@pytest.mark.usefixtures("browser")
def test_pictures_are_drawn_from_a_report(root: Path, tmp_path: Path, headings: dict[str, str]) -> None:
    figures = [
        f'<div class="figure" aria-label="{heading}"><svg class="main-svg"/></div>' for heading in headings.values()
    ]
    (tmp_path / "report.html").write_text("<!DOCTYPE html><body>" + "".join(figures))
    command = [sys.executable, str(root / "docs/pictures.py"), str(tmp_path / "report.html"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    drawn = {path.stem: path.read_bytes()[:4] for path in tmp_path.glob("*.png")}
    assert drawn == dict.fromkeys(headings, b"\x89PNG")


@pytest.fixture(scope="module")
def pipeline(root: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """The stages, and the arrows between them, as DVC sees them."""
    done = subprocess.run(["dvc", "dag", "--mermaid"], cwd=root, capture_output=True, text=True, check=True)
    names = dict(re.findall(r'(node\d+)\["(.+?)"\]', done.stdout))
    arrows = re.findall(r"(node\d+)-->(node\d+)", done.stdout)
    return list(names.values()), [(names[source], names[target]) for source, target in arrows]


def test_readmes_drawing_is_the_pipeline_in_short(root: Path, pipeline) -> None:
    """Each of its arrows is a way through the pipeline, and every stage that trains nothing is on it."""
    stages, arrows = pipeline
    (drawing,) = re.findall(r"```mermaid\nflowchart LR\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    drawn = set()
    for line in re.sub(r'\[".*?"\]', "", drawing).splitlines():
        sources, targets = (side.split(" & ") for side in line.strip().split(" --> "))
        drawn |= set(itertools.product(sources, targets))
    reached = {stage: {stage} for stage in stages}
    for _ in stages:
        for source, target in arrows:
            reached[source] |= reached[target]
    assert all(target in reached[source] for source, target in drawn)
    assert {name for arrow in drawn for name in arrow} == {name for name in stages if "-" not in name}


def test_the_pipelines_drawing_is_the_pipeline(root: Path, pipeline) -> None:
    page = (root / "docs/pipeline.md").read_text()
    (drawing,) = re.findall(r"```mermaid\nflowchart LR\n(.*?)```", page, re.DOTALL)
    lines = [line.strip() for line in drawing.splitlines()]
    arrows = [tuple(line.split(" --> ")) for line in lines if "-->" in line]
    stages = [line for line in lines if re.fullmatch(r"[a-z-]+", line) and line != "end"]
    assert sorted(stages) == sorted(pipeline[0])
    assert sorted(arrows) == sorted(pipeline[1])


@pytest.mark.parametrize("name", ["dvc", "recovery", "pipeline"])
def test_links_lead_somewhere(root: Path, name: str) -> None:
    page = root / "docs" / f"{name}.md"
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", page.read_text())):
        other = page.parent / target if target else page
        headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings]
